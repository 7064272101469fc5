"""What was tried for a bar that is missed, as `docs/performance.md` says it, by the start of a row's name; `LOG.md` has the figures."""

STEP = (
    "fewer calls in a step, oneDNN's products, numpy's exponentials, whole tables, numba "
    "([decision 72](decisions/072-no-compiled-kernel.md)); a compiled kernel, which is in "
    "([decision 76](decisions/076-compiled-kernel.md)) and not in results without a share for it"
)
TRIED = {
    "fit": STEP,
    "tutorial": STEP,
    "zipf": STEP,
    "distinct": f"the step is products and exponentials for the most part; {STEP}",
    "features": STEP,
    "ingest: train": (
        "the compiled softmax of a batch, some 7,500 queries × 2,650 candidates, takes 44 ms of processor time at 86 billion operations a second and "
        "core ([decision 76](decisions/076-compiled-kernel.md)): two cores give at most 370,000 examples a second, and the bar asks for more "
        "where TFRS makes more than 15,000"
    ),
    "evaluate": (
        "sorting each query's scores, fewer pairs at a time, comparing into bytes, sums as a product "
        "(`benchmarks/LOG.md`, *`evaluate` in 8 ms*); ranks by narrower numbers and counts in place of sorts are in "
        "([decision 72](decisions/072-no-compiled-kernel.md)), and a compiled count, then "
        "all of it in one compiled call ([decision 76](decisions/076-compiled-kernel.md)), which results of before 30 November 2026 do not have"
    ),
    "shortlist train, factorization": (
        "1.5 s are the imports of torch and Polars; AdamW, what a batch's queries chose elsewhere and the gradient of unit-length rows are "
        "compiled or in fewer operations ([decision 76](decisions/076-compiled-kernel.md)), which took 3.8 s to 3.1; what is left is 528 steps "
        "of 1,024 pairs, and fewer or larger ones would be another model"
    ),
    "exact: a query, and numpy's sum": (
        "smaller copies, which take longer for one query (bfloat16, int8; [decision 62](decisions/062-bfloat16-vectors.md)); both read the vectors once, "
        "and another run of 30 November 2026 took 7.6 ms for either: then the memory was slower, and the products were faster"
    ),
    "index 200,000": (
        "scans by Faiss, ScaNN and int8 products, calibration and 3 bits of turbovec ([decision 54](decisions/054-quantized-scan.md), "
        "`benchmarks/LOG.md`); ranking in C, which left 0.025 of 0.062 ms around the scan ([decision 77](decisions/077-index-library.md)): "
        "runs are between 18 and 24"
    ),
}


def tried(name: str) -> str:
    """Returns what was tried for a row of this name; an empty text where nothing is noted."""
    starts = [start for start in TRIED if name.startswith(start)]
    return TRIED[max(starts, key=len)] if starts else ""
