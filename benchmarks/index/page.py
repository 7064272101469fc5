"""`python -m benchmarks.index.page`: docs/indexes.md, in both languages, and its picture, from `results/PROCESSOR/index_*.json` alone."""

from pathlib import Path
from statistics import median

from benchmarks.korean import CODES, in_language, place, template
from benchmarks.report import DOCS, RESULTS, SIZES, load_latest, machine
from benchmarks.table import bar_text, figure
from shortlist.tuning.picture import curve_svg
from shortlist.tuning.spaces import TITLES

TEMPLATE = Path(__file__).parent / "page_template.md"
PAGE = DOCS / "indexes.md"
PARTS = ("index_filters", "index_congruence", "index_load", "index_bundle", "index_mutations")
HEAD = "| | settings | recall, mean | a query on one core | 99th percentile | build | memory of the build |"


def page(read: dict[str, dict], code: str = "en") -> str:
    """Returns the text of `docs/indexes.md`, in English or in Korean."""
    text = template(TEMPLATE, code)
    for name, value in parts(read).items():
        text = text.replace("{{" + name + "}}", in_language(value, code))
    return text


def parts(read: dict[str, dict]) -> dict[str, str]:
    """Returns what the template leaves open, in English."""
    sizes = [read[name] for name in SIZES if name in read]
    return {
        "machine": machine(sizes[0]),
        "parts": "\n\n".join(_part(read[name]) for name in PARTS if name in read),
        "figures": "\n\n".join(_table(result, machine(sizes[0])) for result in sizes),
    }


def _part(result: dict) -> str:
    """Every row of a benchmark of ours alone, medians over its runs."""
    lines = [f"**{result['what']}**", "", "| | measured | bar |", "|---|---|---|"]
    for row in result["rows"]:
        bar = "" if row["bar"] is None else bar_text(row)
        lines.append(f"| {row['name']} | {figure(row['ours'], row['unit'])} | {bar} |")
    return "\n".join([*lines, "", *(f"- {caveat}" for caveat in result["caveats"]), "", f"`{result['command']}`"])


def _table(result: dict, usual: str) -> str:
    """A result; the machine is named where it is not the usual one."""
    where = "" if machine(result) == usual else f" ({machine(result)})"
    lines = [f"**{result['what']}**{where}", "", HEAD, "|---" * (HEAD.count("|") - 1) + "|"]
    for side, report in result["sides"].items():
        values = {name: median(run[name] for run in report["runs"]) for name in _numbers(report["runs"])}
        lines.append("| " + " | ".join(_cells(side, report["runs"][0], values, _kind(result))) + " |")
    lines += [f"\nNot measured: {side}: {reason}" for side, reason in result["missing"].items()]
    if "curve" in result:
        lines += ["", *_curve(result)]
    return "\n".join(lines)


def _numbers(runs: list[dict]) -> list[str]:
    return [name for name, value in runs[0].items() if isinstance(value, (int, float))]


def _kind(result: dict) -> str:
    """Our index as the result names it."""
    return TITLES[result["settings"]["kind"]] if "settings" in result else "ours"


def _cells(side: str, run: dict, values: dict, kind: str) -> tuple[str, ...]:
    if side == "exact search":
        both = f"{values['milliseconds']:.3g} ms ({values['milliseconds_all_cores']:.3g} on all)"
        return (side, "", "1", both, f"{values['milliseconds_99']:.3g} ms", "", "")
    if side == "ours":
        settings = ", ".join(f"{name} {run[name]}" for name in ("leaves_to_search", "reorder") if name in run)
    else:
        settings = f"{run['recipe']}, effort {run['setting']:.0f}"
    recall = f"{1 - values['missed']:.4f}"
    if "worst_1" in values:
        recall += f"; worst 5% {values['worst_5']:.3f}, worst 1% {values['worst_1']:.3f}"
    tail = f"{values['milliseconds_99']:.3g} ms" if "milliseconds_99" in values else ""
    build = (f"{values['build_seconds']:.3g} s", f"{values['build_memory_gb']:.1f} GB")
    return (
        f"{kind} (ours)" if side == "ours" else side,
        settings,
        recall,
        f"{values['milliseconds']:.3g} ms",
        tail,
        *build,
    )


def _curve(result: dict) -> list[str]:
    """The setting that was fastest for each recall, as the tuner timed it (on all cores, beside other settings)."""
    best: list[dict] = []
    for point in sorted(result["curve"], key=lambda point: (-point["recall"], point["milliseconds"])):
        if not best or point["milliseconds"] < best[-1]["milliseconds"]:
            best.append(point)
    shown = best[::-1]
    shown = shown[:: max(1, len(shown) // 8)]
    lines = ["As the tuner saw it:", "", "| recall | " + " | ".join(f"{point['recall']:.3f}" for point in shown) + " |"]
    lines += ["|---" * (len(shown) + 1) + "|"]
    return [*lines, "| ms | " + " | ".join(f"{point['milliseconds']:.3g}" for point in shown) + " |"]


def picture(result: dict) -> str:
    """Returns the recall-latency curve of a result as the product draws it; its own race gives the ring."""
    n, dim = _shape(result)
    ours, exact = (result["sides"][side]["runs"] for side in ("ours", "exact search"))
    k, missed = result["parameters"]["k"], median(run["missed"] for run in ours)
    points = [{**point, "recall": {"mean": point["recall"]}} for point in result["curve"]]
    return curve_svg(
        {
            "recall": result["parameters"]["recall"],
            "k": k,
            "candidates": n,
            "dim": dim,
            "reason": result["what"],
            "curves": {result["settings"]["kind"]: sorted(points, key=lambda point: point["recall"]["mean"])},
            "chosen": {
                "backend": result["settings"]["kind"],
                "milliseconds": median(run["milliseconds"] for run in ours),
                "exact_milliseconds": median(run["milliseconds"] for run in exact),
                "recalls": [{"k": k, "mean": 1 - missed}],
            },
        }
    )


def _shape(result: dict) -> tuple[int, int]:
    """Returns how many vectors of how many numbers, from the folder's name."""
    n, dim = result["parameters"]["data"].rpartition("index-")[2].split("x")
    return int(n), int(dim)


if __name__ == "__main__":
    results = load_latest(RESULTS)
    for language in CODES:
        place(PAGE, language).write_text(page(results, language))
    (DOCS / "performance" / "tuning.svg").write_text(picture(results[SIZES[0]]))
