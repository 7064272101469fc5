"""`docs/performance.md` and its pictures, made from `results/*.json` alone."""

import json
from pathlib import Path
from statistics import median

from benchmarks.catalogue import BENCHMARKS
from benchmarks.curves import CURVES
from benchmarks.table import bar_text, figure

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parent.parent / "docs"
TEMPLATE = Path(__file__).parent / "performance_template.md"
SIZES = (
    "index_1e6",
    "index_1e7",
    "index_2e5",
    "index_2e5_outside",
    "index_5e4",
    "index_5e4_outside",
)  # of `python -m benchmarks.index`
WORKLOADS = {
    "tutorial": "a step of the tutorial's fit",
    "zipf": "a step on a million queries and a million Zipf candidates",
    "distinct": "a step of 8,192 distinct rows, dim 64",
    "evaluate": "evaluate: 20,000 test pairs",
}


def write(results: Path = RESULTS, docs: Path = DOCS) -> str:
    """Writes the page and its pictures; returns the table of bars."""
    read = load(results)
    folder = docs / "performance"
    folder.mkdir(parents=True, exist_ok=True)
    for name in CURVES:
        if name in read:
            draw(read[name], folder / f"{name}.png")
    (docs / "performance.md").write_text(page(read))
    return bars_table(read)


def load(results: Path) -> dict[str, dict]:
    """Returns the results that are there, by name, in the catalogue's order, those of the index last."""
    paths = {name: results / f"{name}.json" for name in (*BENCHMARKS, *SIZES)}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def page(read: dict[str, dict]) -> str:
    """Returns the text of `docs/performance.md`."""
    parts = {
        "machine": machine(read["fit"]),
        "bars": bars_table(read),
        "limits": limits_table(read["limits"]),
        "shares": shares_table(read["limits"]),
        "curves": "\n".join(_curve(name, read[name]) for name in CURVES if name in read),
        "closest": closest(read),
        "versions": versions_table(read),
    }
    text = TEMPLATE.read_text()
    for name, value in parts.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def machine(result: dict) -> str:
    """Returns the machine in a sentence."""
    where = result["environment"]
    return (
        f"{where['processor']}, {where['usable_cores']} cores, {where['memory_gb']} GB, {where['system']}, "
        f"Python {where['python']}"
    )


def bars_table(read: dict[str, dict]) -> str:
    """Returns every row with a bar of the catalogue's benchmarks, as Markdown."""
    rows = [row for result in read.values() for row in result["rows"] if row["bar"] is not None]
    return _table(rows)


def limits_table(result: dict) -> str:
    """Returns each stage beside its products and exponentials alone."""
    lines = ["| stage | ours | products and exponentials alone | share of the limit |", "|---|---|---|---|"]
    for row in result["rows"]:
        lines.append(
            f"| {WORKLOADS[row['name']]} | {row['ours'] * 1e3:.2f} ms | {row['peer'] * 1e3:.2f} ms | {row['ratio']:.0%} |"
        )
    return "\n".join(lines)


def shares_table(result: dict) -> str:
    """Returns where the time of a step goes, medians over the runs."""
    runs = result["sides"]["ours"]["runs"]
    named = [name.split(": ") for name in runs[0] if ": " in name]
    categories = list(dict.fromkeys(category for _, category in named))
    lines = ["| | " + " | ".join(categories) + " |", "|---" * (len(categories) + 1) + "|"]
    for step in dict.fromkeys(step for step, _ in named):
        shares = [median(run[f"{step}: {category}"] for run in runs) for category in categories]
        lines.append(f"| {WORKLOADS[step]} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
    return "\n".join(lines)


def closest(read: dict[str, dict]) -> str:
    """Returns the rows where a peer comes nearest, over all bars and curves."""
    rows = [
        (row["ratio"], f"{read[name]['what']}, {row['name']}" if name in CURVES else row["name"], row["peer_name"])
        for name in read
        if name != "limits"
        for row in read[name]["rows"]
        if row["ratio"] is not None and row["peer_name"] not in ("alone", "reading alone")
    ]
    return "\n".join(f"- {ratio:.1f}× {peer}: {what}" for ratio, what, peer in sorted(rows)[:8])


def versions_table(read: dict[str, dict]) -> str:
    """Returns the versions and threads of every side of the fit."""
    lines = ["| side | versions | threads |", "|---|---|---|"]
    for side, report in read["fit"]["sides"].items():
        versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
        threads = ", ".join(f"{name} {count}" for name, count in report["threads"].items()) or "its own default"
        lines.append(f"| {side} | {versions} | {threads} |")
    return "\n".join(lines)


def _curve(name: str, result: dict) -> str:
    peers = sorted({row["peer_name"] for row in result["rows"] if row["peer_name"]})
    lines = ["| | ours | " + " | ".join(peers) + " |", "|---" * (len(peers) + 2) + "|"]
    for point in dict.fromkeys(row["name"] for row in result["rows"]):
        rows = {row["peer_name"]: row for row in result["rows"] if row["name"] == point}
        ours = next(iter(rows.values()))["ours"]
        cells = [
            f"{rows[peer]['peer']:,.0f} ({rows[peer]['ratio']:.0f}×)" if peer in rows and rows[peer]["ratio"] else "–"
            for peer in peers
        ]
        lines.append(f"| {point} | {ours:,.0f} | " + " | ".join(cells) + " |")
    head = f"### {result['what'].capitalize()}\n\n![{result['what']}](performance/{name}.png)\n"
    return (
        f"{head}\nNanoseconds per pair, and how many times ours that is; `{result['command']}`.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def _table(rows: list[dict]) -> str:
    lines = ["| | ours | peer | | ratio | to its fastest run | bar | |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.1f}×"
        verdict = {True: "holds", False: "**missed**", None: ""}[row["holds"]]
        peer = "" if row["peer"] is None else figure(row["peer"], row["unit"])
        cells = (row["name"], figure(row["ours"], row["unit"]), peer, row["peer_name"] or "", ratio)
        cells += (_ratio_to_fastest(row), bar_text(row), verdict)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _ratio_to_fastest(row: dict) -> str:
    """Returns our median beside the peer's best run: some peers run at two speeds, and a median may fall on either."""
    if row["ratio"] is None:
        return ""
    least, most = row["spread"]["peer"]
    return f"{least / row['ours']:.1f}×" if row["compare"] == "peer/ours" else f"{row['ours'] / most:.1f}×"


def draw(result: dict, path: Path) -> None:
    """Draws a curve, both axes logarithmic: cost per pair of every side over what grows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure_, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    series: dict[str, dict[float, float]] = {}
    for row in result["rows"]:
        place = float(row["name"].split()[-1].replace(",", ""))
        series.setdefault("shortlist", {})[place] = row["ours"]
        if row["peer"] is not None:
            series.setdefault(row["peer_name"], {})[place] = row["peer"]
    for marker, (side, points) in zip("osD^v", series.items(), strict=False):
        width = 2.5 if side == "shortlist" else 1.2
        axes.plot(list(points), list(points.values()), marker=marker, label=side, linewidth=width)
    axes.set(xscale="log", yscale="log", ylabel="nanoseconds per pair", xlabel=result["rows"][0]["name"].split()[0])
    axes.set_title(result["what"], fontsize=11)
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    figure_.savefig(path, dpi=130)
    pyplot.close(figure_)
