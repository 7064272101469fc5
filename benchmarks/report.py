"""`docs/performance.md`, in both languages, and its pictures, made from `results/PROCESSOR/*.json` alone."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.catalogue import BENCHMARKS
from benchmarks.curves import CURVES
from benchmarks.harness import judged
from benchmarks.korean import CODES, in_language, place, template
from benchmarks.machine import folder_of as machine_folder
from benchmarks.table import bar_text, figure, times
from benchmarks.tried import tried

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parent.parent / "docs"
TEMPLATE = Path(__file__).parent / "performance_template.md"
SIZES = (
    "index_1e6",
    "index_1e6_outside",
    "index_1e7",
    "index_5e7",
    "index_2e5",
    "index_2e5_outside",
    "index_5e4",
    "index_5e4_outside",
)  # of `python -m benchmarks.index`
LIMITS = {"alone": "torch's", "fastest alone": "the fastest here"}  # sides of `limits`
WORKLOADS = {
    "tutorial": "a step of the tutorial's fit",
    "zipf": "a step on a million queries and a million Zipf candidates",
    "distinct": "a step of 8,192 distinct rows, dim 64",
    "evaluate": "evaluate: 20,000 test pairs",
}


def keep(result: dict, name: str, results: Path = RESULTS) -> None:
    """Writes a result into the folder of the processor that it was measured on."""
    folder = results / machine_folder(result["environment"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(result, indent=1) + "\n")


def write(results: Path = RESULTS, docs: Path = DOCS) -> str:
    """Writes the page and its pictures; returns the table of bars."""
    read, latest = load(results), load_latest(results)
    folder = docs / "performance"
    folder.mkdir(parents=True, exist_ok=True)
    for name in CURVES:
        if name in latest:
            draw(latest[name], folder / f"{name}.png")
    for code in CODES:
        place(docs / "performance.md", code).write_text(page(read, code))
    return bars_table(read)


def load(results: Path) -> dict[str, dict[str, dict]]:
    """Returns the results that are there by the folder of their processor, and by name: in the catalogue's order, the index last."""
    found = {}
    for folder in sorted(results.iterdir()):
        paths = {name: folder / f"{name}.json" for name in (*BENCHMARKS, *SIZES)}
        read = {name: _with_bars(name, json.loads(path.read_text())) for name, path in paths.items() if path.exists()}
        if read:
            found[folder.name] = read
    return found


def _with_bars(name: str, result: dict) -> dict:
    """Returns a result held to the bars of the catalogue, which may have been raised since."""
    if name not in BENCHMARKS:
        return result
    bars = {(row.name, peer, row.compare): row.bar for row in BENCHMARKS[name].rows for peer in row.peers or (None,)}
    rows = [
        judged(row, bars.get((row["name"], row["peer_name"], row["compare"]), row["bar"])) for row in result["rows"]
    ]
    return {**result, "rows": rows}


def load_latest(results: Path) -> dict[str, dict]:
    """Returns one result of each name, the newest."""
    read = load(results)
    names = [name for name in (*BENCHMARKS, *SIZES) if any(name in one for one in read.values())]
    return {name: max((one[name] for one in read.values() if name in one), key=_date) for name in names}


def _date(result: dict) -> str:
    return result["environment"]["date"]


def page(read: dict[str, dict[str, dict]], code: str = "en") -> str:
    """Returns the text of `docs/performance.md`, in English or in Korean."""
    text = template(TEMPLATE, code)
    for name, value in parts(read).items():
        text = text.replace("{{" + name + "}}", in_language(value, code))
    return text


def parts(read: dict[str, dict[str, dict]]) -> dict[str, str]:
    """Returns what the template leaves open, in English."""
    return {
        "machines": "\n".join(f"- {machine(next(iter(one.values())))}" for one in read.values()),
        "bars": bars_table(read),
        "missed": missed(read),
        "limits": _each(read, "limits", limits_table),
        "shares": _each(read, "limits", shares_table),
        "curves": "\n".join(_curve(name, one[name]) for name in CURVES for one in _measured(read, name)),
        "closest": "\n".join(f"\n{processor(one)}:\n\n{closest(one)}" for one in read.values()).strip(),
        "versions": _each(read, "fit", versions_table),
    }


def _each(read: dict[str, dict[str, dict]], name: str, table: Callable[[dict], str]) -> str:
    """Returns a table for each processor that has the result."""
    return "\n\n".join(f"{processor(one)}:\n\n{table(one[name])}" for one in _measured(read, name))


def _measured(read: dict[str, dict[str, dict]], name: str) -> list[dict[str, dict]]:
    """Returns the results of each processor on which our side of a benchmark did not stop."""
    return [one for one in read.values() if name in one and "ours" in one[name]["sides"]]


def processor(read: dict[str, dict]) -> str:
    """Returns the processor that these were measured on."""
    return str(next(iter(read.values()))["environment"]["processor"])


def machine(result: dict) -> str:
    """Returns the machine in a sentence."""
    where = result["environment"]
    return (
        f"{where['processor']}, {where['usable_cores']} cores, {where['memory_gb']} GB, {where['system']}, "
        f"Python {where['python']}"
    )


def bars_table(read: dict[str, dict[str, dict]]) -> str:
    """Returns every row with a bar, as Markdown: a line each, and what each processor reads."""
    lines: dict[tuple, dict[str, str]] = {}
    for name in (*BENCHMARKS, *SIZES):
        for where, one in read.items():
            for row in one[name]["rows"] if name in one else ():
                if row["bar"] is not None:
                    key = (_named(row), row["peer_name"] or "", bar_text(row))
                    lines.setdefault(key, {})[where] = _reading(row)
    heads = "".join(f" {processor(one)} |" for one in read.values())
    table = [f"| | against | bar |{heads}", "|---" * (3 + len(read)) + "|"]
    for (work, peer, bar), readings in lines.items():
        cells = " | ".join(readings.get(where, "–") for where in read)
        table.append(f"| {work} | {peer} | {bar} | {cells} |")
    return "\n".join(table)


def _reading(row: dict) -> str:
    """Returns our value, the peer's, and how many times ours that is; "missed" where the bar is."""
    verdict = {True: "", False: ", **missed**", None: ", not measured"}[row["holds"]]
    ours = figure(row["ours"], row["unit"])
    if row["ratio"] is None:
        return f"{ours}{verdict}"
    fastest = _ratio_to_fastest(row)
    return f"{times(row['ratio'])}: {ours} to {figure(row['peer'], row['unit'])} (fastest: {fastest}){verdict}"


def _named(row: dict) -> str:
    """Returns what a row is about; a stage of `limits` in words."""
    return (
        f"{WORKLOADS[row['name']]}: its limit"
        if row["peer_name"] == "alone" and row["name"] in WORKLOADS
        else row["name"]
    )


def missed(read: dict[str, dict[str, dict]]) -> str:
    """Returns a line for each bar that is missed, on which processor, and what was tried."""
    rows = [(processor(one), row) for one in read.values() for result in one.values() for row in result["rows"]]
    lines = [
        f"- {_named(row)}{', against ' + row['peer_name'] if row['peer_name'] else ''} – {_reading(row)}; "
        f"the bar is {bar_text(row)} ({where}). Tried: {tried(row['name']) or 'nothing yet'}."
        for where, row in rows
        if row["holds"] is False
    ]
    return "\n".join(lines) or "None."


def limits_table(result: dict) -> str:
    """Returns each stage beside its products and exponentials alone."""
    lines = ["| stage | ours | products and exponentials | share of the limit |", "|---|---|---|---|"]
    for row in (row for row in result["rows"] if row["ratio"] is not None):
        lines.append(
            f"| {WORKLOADS[row['name']]} | {row['ours'] * 1e3:.2f} ms | {LIMITS[row['peer_name']]}: {row['peer'] * 1e3:.2f} ms "
            f"| {row['ratio']:.0%} |"
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
        if row["ratio"] is not None and row["peer_name"] not in (*LIMITS, "reading alone")
    ]
    return "\n".join(f"- {times(ratio)} {peer}: {what}" for ratio, what, peer in sorted(rows)[:8])


def versions_table(fit: dict) -> str:
    """Returns the versions and threads of every side of the fit."""
    lines = ["| side | versions | threads |", "|---|---|---|"]
    for side, report in fit["sides"].items():
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
        f"{head}\nNanoseconds per pair, and how many times ours that is ({result['environment']['processor']}); `{result['command']}`.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def _ratio_to_fastest(row: dict) -> str:
    """Returns our median beside the peer's best run: some peers run at two speeds, and a median may fall on either."""
    if row["ratio"] is None:
        return ""
    least, most = row["spread"]["peer"]
    return times(least / row["ours"] if row["compare"] == "peer/ours" else row["ours"] / most)


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
