"""Every benchmark: its data, sides, parameters, bars and caveats."""

from benchmarks import als
from benchmarks.curves import CURVES
from benchmarks.harness import Benchmark, Row, Side
from benchmarks.index_parts import INDEX_PARTS
from benchmarks.sides import KERAS_RS, keras_rs_sides, ours_side, tfrs_side

MOVIELENS = {"seed": 42}
FIT = {"seed": 42, "rows": 80_000, "batch_size": 8192, "epochs": 5, "learning_rate": 0.1}
STEPS = {"batch_size": 8192}
QUICK_FIT = {"rows": 16_384, "epochs": 1}
ALS = {
    "queries": 6_040,
    "candidates": 3_533,
    "pairs": 575_000,
    "seed": 42,
    "dims": (64, 128),
    "threads": (1, 2),
    "sweeps": 5,
    "unobserved": 0.05,
    "regularization": 2.0,
}
SASREC = {
    "seed": 42,
    "dim": 64,
    "blocks": 2,
    "heads": 2,
    "dropout": 0.2,
    "learning_rate": 0.001,
    "batch_size": 128,
    "warm": 1,
}
SEQUENCES = {  # percentiles: how many pairs a user has
    "Beauty": {
        "users": 22_363,
        "items": 12_101,
        "length": 50,
        "percentiles": {
            0: 5,
            30: 5,
            40: 6,
            50: 6,
            60: 7,
            70: 8,
            80: 10,
            85: 12,
            90: 14,
            95: 21,
            97: 26,
            99: 43,
            100: 204,
        },
        "batches": 6,
    },
    "MovieLens-1M": {
        "users": 6_040,
        "items": 3_706,
        "length": 200,
        "percentiles": {
            0: 20,
            10: 27,
            20: 38,
            30: 51,
            40: 70,
            50: 96,
            60: 126,
            70: 173,
            80: 253,
            90: 400,
            95: 556,
            100: 2_314,
        },
        "batches": 4,
    },
}
SPORTS = {
    "Sports": {
        "users": 35_598,
        "items": 18_357,
        "length": 300,
        "percentiles": {
            0: 5,
            30: 5,
            40: 6,
            50: 6,
            60: 7,
            70: 8,
            80: 10,
            85: 11,
            90: 13,
            95: 18,
            97: 22,
            99: 32,
            100: 296,
        },
    }
}
QUICK_SPORTS = {"Sports": {**SPORTS["Sports"], "users": 300, "items": 200}}
QUICK_SEQUENCES = {name: {**table, "users": 500, "items": 300, "batches": 2} for name, table in SEQUENCES.items()}
RECIPES = ("tutorial", "factorization")  # of `shortlist train`
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1"}  # as implicit asks, which has threads of its own

FRESH_WEIGHTS = (
    "A peer's run is model.fit from the same fresh weights on a graph that is already traced and data that are already "
    "batched and cached: weights and accumulators are put back, the compiled function is kept. Ours is the whole call of "
    "fit with a new model, encoding included."
)
INTEGER_IDS = (
    "keras-rs gets integer ids and plain arrays, as in its tutorials; TFRS looks strings up in the model, as in its."
)
WARM_STEPS = (
    "A run trains on from the last one. Data are encoded (ours) or batched and cached (the peer) beforehand; the time is "
    "that of the epoch."
)

INDEX_MEASURED = (
    "index_exact",
    "index_filters",
    "index_congruence",
    "index_load",
    "index_bundle",
    "index_mutations",
)  # of INDEX_PARTS, those on record

BENCHMARKS = {
    "fit": Benchmark(
        what="the tutorial's fit on MovieLens-100k: 5 epochs, batch 8192, dim 32, no metrics in training",
        dataset="movielens",
        data=MOVIELENS,
        parameters=FIT,
        sides={"ours": ours_side("fit"), "tfrs": tfrs_side("fit"), **keras_rs_sides("fit")},
        rows=(Row("fit", "seconds", "s", 100, peers=("tfrs", *KERAS_RS)),),
        quick=QUICK_FIT,
        caveats=(FRESH_WEIGHTS, INTEGER_IDS),
    ),
    "fit_metrics": Benchmark(
        what="the same fit with top-1/5/10/50/100 on the training data in every epoch",
        dataset="movielens",
        data=MOVIELENS,
        parameters=FIT,
        sides={"ours": ours_side("fit_metrics"), "tfrs": tfrs_side("fit_metrics")},
        rows=(Row("fit with metrics", "seconds", "s", 180, peers=("tfrs",)),),
        runs=3,
        quick=QUICK_FIT,
        caveats=(FRESH_WEIGHTS, "TFRS measures each batch as it trains; ours measures all pairs after each epoch."),
    ),
    "evaluate": Benchmark(
        what="20,000 test pairs against the catalogue, top-1/5/10/50/100",
        dataset="movielens",
        data=MOVIELENS,
        parameters=FIT,
        sides={"ours": ours_side("evaluate"), "tfrs": tfrs_side("evaluate"), **keras_rs_sides("evaluate")},
        rows=(
            Row("evaluate", "seconds", "s", 100, peers=("tfrs",)),
            Row("evaluate", "seconds", "s", 10, peers=KERAS_RS),
        ),
        runs=9,
        quick=QUICK_FIT,
        caveats=(
            "TFRS: model.evaluate. keras-rs: model.predict of each pair's top 100 and a comparison in numpy, which is "
            "faster than its model.evaluate, since that computes the loss too.",
            "Ours is evaluate(baselines=()), seen items left in, as the peers do.",
        ),
    ),
    "evaluate_large": Benchmark(
        what="100,000 test pairs of as many queries against a million candidates, dim 32, top-1/5/10/50/100",
        dataset=None,
        data={},
        parameters={"queries": 100_000, "candidates": 1_000_000, "dim": 32, "product_queries": 20_480},
        sides={"ours": Side("benchmarks.large", "ours"), "alone": Side("benchmarks.large", "alone")},
        rows=(
            Row("evaluate, large", "ms_per_query", "ms/query", 0.5, peers=("alone",)),
            Row("evaluate, large", "seconds", "s", None),
            Row("evaluate, large: peak memory", "peak_rss_gb", "GB", 2, "at most"),
        ),
        runs=1,
        quick={"queries": 2_000, "candidates": 10_000, "product_queries": 2_048},
        caveats=(
            "Alone is the matrix product in tiles of 1024 x 1024, each written over the last, which is several times "
            "faster than whole rows; of 20,480 queries, since its time per query does not depend on their number. Ours is the whole call of evaluate(baselines=()).",
            "Peak memory is that of the whole process, its libraries and the training of one epoch included.",
        ),
    ),
    "zipf": Benchmark(
        what="a training step with a million queries and a million Zipf candidates, batch 8192, dim 32",
        dataset="zipf",
        data={"queries": 1_000_000, "candidates": 1_000_000, "pairs": 30 * 8192, "seed": 42},
        parameters={**STEPS, "queries": 1_000_000, "candidates": 1_000_000, "steps": 30, "dim": 32},
        sides={"ours": ours_side("steps"), "tfrs": tfrs_side("steps")},
        rows=(
            Row("zipf: step", "seconds_per_step", "s", 30, peers=("tfrs",)),
            Row("zipf: peak memory", "peak_rss_gb", "GB", 3, peers=("tfrs",)),
        ),
        quick={"queries": 20_000, "candidates": 20_000, "steps": 3},
        quick_data={"queries": 20_000, "candidates": 20_000, "pairs": 3 * 8192},
        caveats=(WARM_STEPS, "Peak memory is that of the whole process, its libraries included."),
    ),
    "distinct": Benchmark(
        what="a training step with nothing to deduplicate: 8192 distinct queries and candidates, dim 64",
        dataset="distinct",
        data={"rows": 200_000, "seed": 42},
        parameters={**STEPS, "queries": 200_000, "candidates": 200_000, "steps": 24, "dim": 64},
        sides={"ours": ours_side("steps"), "tfrs": tfrs_side("steps")},
        rows=(Row("distinct: step", "seconds_per_step", "s", 2.5, peers=("tfrs",)),),
        quick={"queries": 20_000, "candidates": 20_000, "steps": 2},
        quick_data={"rows": 20_000},
        caveats=(WARM_STEPS,),
    ),
    "huge_batch": Benchmark(
        what="batch 65,536 of distinct rows, dim 64, where a B x B float32 matrix has 17 GB",
        dataset="distinct",
        data={"rows": 131_072, "seed": 42},
        parameters={"batch_size": 65_536, "queries": 131_072, "candidates": 131_072, "steps": 2, "dim": 64},
        sides={"ours": ours_side("huge_batch")},
        rows=(
            Row("huge batch: memory above the tables", "gb_above_tables", "GB", 1.5, "at most"),
            Row("huge batch: step", "seconds_per_step", "s", None),
        ),
        runs=1,
        quick={"batch_size": 8192, "queries": 20_000, "candidates": 20_000, "steps": 2},
        quick_data={"rows": 20_000},
        caveats=("The process's peak, less what the imports took, less both tables and their accumulators.",),
    ),
    "features": Benchmark(
        what="towers with features and two dense layers on MovieLens-100k: 3 epochs, batch 8192, Adagrad 0.05",
        dataset="movielens",
        data=MOVIELENS,
        parameters={**FIT, "epochs": 3, "learning_rate": 0.05},
        sides={"ours": ours_side("features"), "tfrs": tfrs_side("features")},
        rows=(Row("features", "seconds", "s", 60, peers=("tfrs",)),),
        quick=QUICK_FIT,
        caveats=(
            FRESH_WEIGHTS,
            "At Adagrad 0.1 the dense layers collapse on both sides (loss at chance), hence 0.05; time does not depend "
            "on it.",
        ),
    ),
    "ingest": Benchmark(
        what="20 million string pairs in Parquet, shape of MovieLens-20M: encode, then an epoch at batch 8192, dim 32",
        dataset="ingest",
        data={"pairs": 20_000_000, "users": 138_493, "items": 26_744, "head": 30 * 8192, "seed": 42},
        parameters={**STEPS, "seed": 42, "steps": 30},
        sides={"ours": ours_side("ingest"), "tfrs": tfrs_side("ingest"), "reading alone": ours_side("read")},
        rows=(
            Row("ingest: encode", "encode_seconds", "s", 12, "at most"),
            Row("ingest: encode", "encode_seconds", "s", None, peers=("reading alone",)),
            Row("ingest: peak memory", "peak_rss_gb", "GB", 3, "at most"),
            Row("ingest: train", "examples_per_second", "examples/s", 25, "ours/peer", ("tfrs",)),
        ),
        runs=3,
        quick={"steps": 3},
        quick_data={"pairs": 300_000, "users": 5_000, "items": 2_000, "head": 3 * 8192},
        caveats=(
            "TFRS is measured on 30 steps from string tensors in memory, after a first pass; reading Parquet and making "
            "its vocabularies are left out of its time. Ours is a whole epoch.",
            "Ours encodes from the file: Dataset, and everything in fit before its first batch. Reading alone is Polars "
            "reading the two columns of that file.",
        ),
    ),
    "startup": Benchmark(
        what="`shortlist --help` and `import shortlist`",
        dataset=None,
        data={},
        parameters={},
        sides={"ours": ours_side("startup")},
        rows=(
            Row("shortlist --help", "help_seconds", "s", 0.3, "at most"),
            Row("import shortlist", "import_seconds", "s", 0.1, "at most"),
        ),
        runs=9,
        caveats=("Files are in the page cache; --help is the whole process, from start to end.",),
    ),
    "als": Benchmark(
        what="alternating least squares, 5 sweeps over 575,000 pairs in the shape of MovieLens-1M",
        dataset=None,
        data={},
        parameters=ALS,
        sides={
            "ours": Side("benchmarks.als", "ours", variables=ONE_BLAS_THREAD),
            "implicit": Side("benchmarks.als", "implicit", variables=ONE_BLAS_THREAD),
        },
        rows=tuple(
            row
            for name in als.settings(ALS)
            for row in (
                Row(f"ALS, {name}", name, "s", 1, peers=("implicit",)),
                Row(f"ALS, {name}: objective", f"{name}: objective", "", 0.999, peers=("implicit",)),
                Row(f"ALS, {name}: all threads", f"{name}: processor", "s", None, peers=("implicit",)),
                Row(f"ALS, {name}: from a table to a model", f"{name}: whole call", "s", None, peers=("implicit",)),
            )
        ),
        runs=5,
        quick={"queries": 300, "candidates": 200, "pairs": 6_000, "sweeps": 2},
        caveats=(
            "implicit with its defaults: conjugate gradients, from a sparse matrix to vectors; ours from arrays of pairs to "
            "vectors. The last row of each is the whole call of als, from a table of ids to a model.",
            "The penalty is the same for all rows, since implicit has no other. Both start from their own random vectors.",
        ),
    ),
    "sequence": Benchmark(
        what="an epoch of SASRec (64 numbers, 2 blocks, 2 heads), softmax over the whole catalogue, 128 sequences a batch",
        dataset="sequences",
        data={"tables": SEQUENCES, "seed": 42},
        parameters={**SASREC, "tables": SEQUENCES},
        sides={
            "ours": Side("benchmarks.sequences", "ours"),
            **{peer: Side(f"benchmarks.peers.{peer}.epoch", "epoch", peer) for peer in ("rectools", "replay")},
        },
        rows=tuple(
            row
            for name in SEQUENCES
            for row in (
                Row(f"SASRec, {name}: epoch", name, "s", 3, peers=("rectools", "replay")),
                Row(f"SASRec, {name}: all threads", f"{name}: processor", "s", None, peers=("rectools", "replay")),
            )
        ),
        runs=3,
        quick={"tables": QUICK_SEQUENCES},
        quick_data={"tables": QUICK_SEQUENCES},
        caveats=(
            "Tables in the shape of Amazon Beauty and of MovieLens-1M: users, items and lengths are theirs, which is what "
            "the time depends on. No user has more pairs than the model's length and one.",
            "Not a whole epoch: timed on 6 batches of 175 and on 4 of 48, after one from fresh weights, and multiplied up. The "
            "losses are those of these batches.",
            "All draw their batches from the whole table. The peers pad each sequence to the model's length, so their time is "
            "multiplied by batches; ours is by pairs.",
            "Ours also learns from each user's first pair, which has no history; the peers begin at the second.",
            "All threads: the processor time of the same batches.",
        ),
    ),
    "neighbours": Benchmark(
        what="tables of neighbours of 300,000 pairs in the shape of Amazon Sports, 100 for each item, one thread",
        dataset="sequences",
        data={"tables": SPORTS, "seed": 42},
        parameters={"tables": SPORTS, "neighbours": 100},
        sides={
            "ours": Side("benchmarks.neighbours", "ours", variables=ONE_THREAD),
            "implicit": Side("benchmarks.neighbours", "implicit", variables=ONE_THREAD),
        },
        rows=(
            Row("transitions", "transitions", "s", 1, peers=("implicit",)),
            Row("co-occurrence", "co-occurrence", "s", 1, peers=("implicit",)),
        ),
        quick={"tables": QUICK_SPORTS},
        quick_data={"tables": QUICK_SPORTS},
        caveats=(
            "implicit's is ItemKNN with BM25, from a sparse matrix to its table; ours are from a Dataset to theirs. Transitions "
            "read the order of time, which ItemKNN does not.",
        ),
    ),
    "train": Benchmark(
        what="`shortlist train` with one recipe, of two, on MovieLens-100k, from typing it to the saved bundle",
        dataset="movielens",
        data=MOVIELENS,
        parameters={"recipes": RECIPES},
        sides={"ours": ours_side("train_command")},
        rows=tuple(
            row
            for recipe in RECIPES
            for row in (
                Row(f"shortlist train, {recipe}: to the saved bundle", f"{recipe}: saved", "s", 3, "at most"),
                Row(f"shortlist train, {recipe}: the report's figures after it", f"{recipe}: report", "s", None),
            )
        ),
        caveats=(
            "Nine tenths of the rows are trained on, one is held out for the report's figures. Files are in the page cache, modules compiled.",
        ),
    ),
    "limits": Benchmark(
        what="a step and an evaluation of ours beside their matrix products and exponentials alone",
        dataset="movielens",
        data=MOVIELENS,
        parameters={
            **FIT,
            "zipf": 1_000_000,
            "distinct": 200_000,
            "steps": 10,
            "dims": {"tutorial": 32, "zipf": 32, "distinct": 64},
        },
        sides={
            "ours": Side("benchmarks.limits", "ours"),
            "alone": Side("benchmarks.limits", "floors"),
            "fastest alone": Side("benchmarks.limits", "fastest_floors"),
        },
        rows=tuple(
            Row(name, name, "s", bar, peers=(side,))
            for side, bars in {"alone": {"tutorial": 0.5}, "fastest alone": {"distinct": 0.7}}.items()
            for name, bar in {**dict.fromkeys(("tutorial", "zipf", "distinct", "evaluate")), **bars}.items()
        ),
        quick={**QUICK_FIT, "batch_size": 1024, "zipf": 20_000, "distinct": 20_000, "steps": 2},
        caveats=(
            "The ratio is the part of ours that the products and exponentials alone would take. The tutorial's step is the mean over "
            "its fit of five epochs.",
            "Alone are torch's, by MKL; the fastest alone are those of torch's MKL and oneDNN and of numpy's BLAS, with torch's or "
            "numpy's exponentials, whichever take least together.",
        ),
    ),
    **CURVES,
    **{name: part for name, part in INDEX_PARTS.items() if name in INDEX_MEASURED},
}
