"""`docs/quality.md`, in both languages, made from `results/quality/*.json`, `page_head.md` and the words of `notes.toml` alone."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.choose.tables import TABLES
from benchmarks.korean import CODES, in_language, place, template
from benchmarks.quality.baselines import BASELINES
from benchmarks.quality.protocols import PROTOCOLS, Protocol
from benchmarks.quality.runs import RESULTS, is_mixture
from benchmarks.quality.tune import tomllib

PAGE = Path(__file__).parents[2] / "docs" / "quality.md"
HEAD = Path(__file__).parent / "page_head.md"
NOTES = {code: Path(__file__).parent / name for code, name in (("en", "notes.toml"), ("ko", "notes.ko.toml"))}


def write(results: Path = RESULTS, page: Path = PAGE) -> str:
    """Writes the page in both languages; returns its English text."""
    for code in CODES:
        place(page, code).write_text(text_of(results, code), encoding="utf-8")
    return text_of(results)


def text_of(results: Path = RESULTS, code: str = "en") -> str:
    """The page's text, in English or in Korean."""
    text = in_language(made(results), code)
    for name, note in notes(code).items():
        text = text.replace("{{" + name + "}}", note.strip())
    return template(HEAD, code) + text


def notes(code: str) -> dict[str, str]:
    """What is said on a protocol, by "dataset protocol"."""
    return tomllib.loads(NOTES[code].read_text(encoding="utf-8"))


def made(results: Path) -> str:
    """What follows from the results, in English; "{{dataset protocol}}" is where its note goes."""
    read = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    parts = ["\n## In short\n", _summary(read), "", _mixtures(read), ""]
    noted = notes("en")
    for (dataset, name), protocol in PROTOCOLS.items():
        found = [result for result in read if _key(result) == (dataset, name)]
        note = f"{{{{{dataset} {name}}}}}" if f"{dataset} {name}" in noted else ""
        parts.append(_section(dataset, name, protocol, found, note))
    if (choice := _choice(results.parent / "choose.json")) is not None:
        parts.append(choice)
    parts.append(_searches(results / "tuning"))
    return "\n".join(parts).rstrip() + "\n"


def _choice(path: Path) -> str | None:
    """What `shortlist train` reaches without a recipe, by table; None where it was not run."""
    if not path.is_file():
        return None
    found = json.loads(path.read_text())
    lines = [
        "## Without a recipe {#choose}\n",
        f"`shortlist train` with nothing but the columns' names and `--budget {found['budget']}`, typed as a process of its own by "
        f"`{found['command']}`. Each figure was measured with the saved bundle on a test part that the command never saw, seen items "
        "excluded; mean ± standard deviation over seeds, which draw what is held out, weights and shuffling. The best cheap "
        "model is the best of popularity, transitions, co-occurrence, EASE and ALS fitted on the same training part, ± its "
        "standard error over queries. Seconds are from typing to the saved bundle.\n",
        "| table | measure | without a recipe | seeds | best cheap model | bar | aim | chosen | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, entry in found["tables"].items():
        table, runs = TABLES[name], [*entry["runs"].values()]
        for (metric, k), bar, aim in zip(table.measures, table.bars, table.aims, strict=True):
            label = f"{metric}_{k}"
            values = [run["figures"][label] for run in runs]
            spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
            cheap = {one: figures[label] for one, figures in entry.get("baselines", {}).items() if label in figures}
            best = max(cheap, key=lambda one: cheap[one][0], default="")
            beside = f"{best} {cheap[best][0]:.4f} ± {cheap[best][1]:.4f}" if best else "not run"
            chosen = ", ".join(dict.fromkeys(run["chosen"] for run in runs))
            seconds = ", ".join(f"{run['seconds_to_saved']:.0f}" for run in runs)
            lines.append(
                f"| {entry['what']} | {metric}@{k} | {mean(values):.4f}{spread} | {len(values)} | {beside} | {bar:.3f} | {aim:.3f} | "
                f"{chosen} | {seconds} |"
            )
    return "\n".join(lines) + "\n"


def _summary(read: list[dict[str, Any]]) -> str:
    """Our best dot product of each protocol beside its bars."""
    lines = ["| protocol | our best dot product | reached | bar | aim | |", "|---|---|---|---|---|---|"]
    for key, protocol in PROTOCOLS.items():
        found = _ours(read, key, mixed=False)
        if not found:
            lines.append(f"| {protocol.what} | not run | | {_bars(protocol, 'bar')} | {_bars(protocol, 'aim')} | |")
            continue
        best = _best(found)
        lines.append(
            f"| {protocol.what} | {_recipe(best)} | {_reached(best)} | {_bars(protocol, 'bar')} | {_bars(protocol, 'aim')} | "
            f"{_verdict(best, read)} |"
        )
    return "\n".join(lines)


def _mixtures(read: list[dict[str, Any]]) -> str:
    """Our best mixture of each protocol that has one, beside its bars and what its towers reach without other sources."""
    lines = ["| protocol | our best mixture | seeds | reached | our best dot product | bar | aim | |", "|---" * 8 + "|"]
    for key, protocol in PROTOCOLS.items():
        found, alone = (_ours(read, key, mixed) for mixed in (True, False))
        if found:
            best = _best(found)
            towers = _reached(_best(alone)) if alone else "not run"
            lines.append(
                f"| {protocol.what} | {_recipe(best)} | {best['rows'][0]['seeds']} | {_reached(best)} | {towers} | "
                f"{_bars(protocol, 'mixed_bar')} | {_bars(protocol, 'mixed_aim')} | {_verdict(best, read)} |"
            )
    return "\n".join(lines) if len(lines) > 2 else ""


def _ours(read: list[dict[str, Any]], key: tuple[str, str], mixed: bool) -> list[dict[str, Any]]:
    """The results of our recipes of one protocol: dot products, or mixtures."""
    found = [result for result in read if _key(result) == key and _recipe(result) not in BASELINES]
    return [result for result in found if is_mixture(result.get("settings", {})) == mixed]


def _best(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The result whose measure that is the furthest behind its bar is the nearest."""
    return max(found, key=lambda result: min(row["mean"] / (row["bar"] or 1) for row in result["rows"]))


def _reached(result: dict[str, Any]) -> str:
    return " / ".join(f"{row['mean']:.4f}" for row in result["rows"])


def _verdict(best: dict[str, Any], read: list[dict[str, Any]]) -> str:
    """Whether the bars hold; without a bar, whether every baseline is behind."""
    rows = best["rows"]
    if all(row["bar"] is None for row in rows):
        others = [result for result in read if _key(result) == _key(best) and _recipe(result) in BASELINES]
        ahead = all(
            ours["mean"] > theirs["mean"] for other in others for ours, theirs in zip(rows, other["rows"], strict=True)
        )
        return "ahead of the baselines" if ahead else "**behind a baseline**"
    if all(row["aim"] is not None and row["mean"] >= row["aim"] for row in rows):
        return "aim reached"
    held = [row["holds"] for row in rows]
    return "holds" if all(held) else "**missed**" if not any(held) else "**one of two missed**"


def _section(dataset: str, name: str, protocol: Protocol, found: list[dict[str, Any]], note: str) -> str:
    labels = [measure.label for measure in protocol.measures]
    lines = [f"## {protocol.what}", ""]
    if protocol.known:
        lines += [f"Best known: {protocol.known}.", ""]
    lines += [f"| | {' | '.join(labels)} | seeds | seconds a seed |", "|---" * (len(labels) + 3) + "|"]
    for result in sorted(found, key=lambda result: result["rows"][0]["mean"]):
        recipe = _recipe(result)
        cells = [f"{row['mean']:.4f}" + (f" ± {row['std']:.4f}" if row["seeds"] > 1 else "") for row in result["rows"]]
        shown = recipe if recipe in BASELINES else f"**{recipe}**"
        seconds = sum(run["seconds"] for run in result["runs"]) / len(result["runs"])
        lines.append(f"| {shown} | {' | '.join(cells)} | {result['rows'][0]['seeds']} | {seconds:.0f} |")
    mixtures = any(is_mixture(result.get("settings", {})) for result in found)
    for kind, of in (("bar", ""), ("aim", ""), ("mixed_bar", " of a mixture"), ("mixed_aim", " of a mixture")):
        if (not of or mixtures) and getattr(protocol.measures[0], kind) is not None:
            values = [_figure(getattr(measure, kind)) for measure in protocol.measures]
            lines.append(f"| *{kind.removeprefix('mixed_')}{of}* | {' | '.join(values)} | | |")
    lines.append("")
    if note:
        lines += [note, ""]
    if found:
        commands = "\n".join(result["command"] for result in sorted(found, key=_recipe))
        lines += ["```sh", commands, "```", ""]
    else:
        lines += ["Not run.", ""]
    return "\n".join(lines)


def _searches(folder: Path) -> str:
    lines = [
        "## Searches",
        "",
        "Points of a grid, on a part of the training data; every trial is in `benchmarks/results/quality/tuning/`.",
        "",
        "| protocol | recipe | trials | range | best | there |",
        "|---|---|---|---|---|---|",
    ]
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text())
        command = result["command"].split()
        dataset, protocol = (command[command.index(f"--{word}") + 1] for word in ("dataset", "protocol"))
        labels = [measure.label for measure in PROTOCOLS[dataset, protocol].measures]
        ranges = ", ".join(f"{key} {_range(values)}" for key, values in result["space"].items())
        best = ", ".join(f"{key} {_choice_of(value, result['space'][key])}" for key, value in result["best"].items())
        reached = " / ".join(f"{result['trials'][0][label]:.4f}" for label in labels)
        lines.append(
            f"| {dataset} {protocol} | {result['recipe']} | {len(result['trials'])} | {ranges} | {best} | {reached} |"
        )
    return "\n".join(lines)


def _range(values: list[Any]) -> str:
    if isinstance(values[0], (list, dict)):
        return f"{len(values)} sets of options"
    if len(values) > 2 and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return f"{values[0]}–{values[-1]}"
    return " or ".join(map(str, values))


def _choice_of(value: Any, values: list[Any]) -> str:
    """A value; of sets of options, which."""
    return f"no. {values.index(value) + 1}" if isinstance(value, (list, dict)) else str(value)


def _bars(protocol: Protocol, kind: str) -> str:
    values = [getattr(measure, kind) for measure in protocol.measures]
    return "" if values[0] is None else " / ".join(map(_figure, values))


def _figure(value: float) -> str:
    """With three digits, or four where the value has them."""
    return f"{value:.3f}" if round(value, 3) == value else f"{value:.4f}"


def _key(result: dict[str, Any]) -> tuple[str, str]:
    return result["rows"][0]["dataset"], result["rows"][0]["protocol"]


def _recipe(result: dict[str, Any]) -> str:
    return Path(result["rows"][0]["recipe"]).stem
