"""`python -m benchmarks.scale page`: docs/scale.md, in both languages, from results/scale.json, ranks.json and index_1e7.json alone."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.korean import CODES, in_language, place, template
from benchmarks.report import DOCS, RESULTS, load_latest, machine
from benchmarks.scale.estimate import estimate, notes, phases
from benchmarks.scale.units import gb

TEMPLATE = Path(__file__).parent / "page_template.md"
PLACE = DOCS / "scale.md"


def write() -> None:
    """Writes the page in both languages."""
    found = read()
    for code in CODES:
        place(PLACE, code).write_text(page(found, code))


def read() -> dict:
    """Returns what was measured, by part; processes; and the index at 10 million."""
    found = json.loads((RESULTS / "scale.json").read_text())
    others = {"machine": machine(found["encode"]), "index": _index()}
    for name in ("ranks", "resume"):
        if (RESULTS / f"{name}.json").exists():
            others[name] = json.loads((RESULTS / f"{name}.json").read_text())
    return {**{name: part["result"] for name, part in found.items()}, **others}


def page(found: dict, code: str = "en") -> str:
    """Returns the text of `docs/scale.md`, in English or in Korean."""
    text = template(TEMPLATE, code)
    for name, value in parts(found).items():
        text = text.replace("{{" + name + "}}", in_language(value, code))
    return text


def parts(found: dict) -> dict[str, str]:
    """Returns what the template leaves open, in English; a part that was not measured says so."""
    makers: dict[str, tuple[str, Callable[[dict], str]]] = {
        "machine": ("encode", lambda f: f["machine"]),
        "batch": ("", lambda f: "1,024"),
        "large": (
            "encode",
            lambda f: "{rows:,} rows, {queries:,} users, {candidates:,} items, no order".format(**f["encode"]),
        ),
        "encode": ("encode", lambda f: encode(f["encode"])),
        "another_day": ("another_day", lambda f: another_day(f["another_day"])),
        "train": ("train", lambda f: train(f["train"])),
        "ratio": ("ratio", lambda f: ratio(f["ratio"])),
        "histories": ("histories", lambda f: histories(f["histories"])),
        "rows": ("rows", rows),
        "rows_notes": ("rows", rows_notes),
        "vocabulary_rows": ("vocabulary", lambda f: f"{f['vocabulary'][0]['train']['rows']:,}"),
        "vocabulary": ("vocabulary", lambda f: vocabulary(f["vocabulary"])),
        "ranks": ("ranks", lambda f: ranks(f["ranks"])),
        "ranks_size": (
            "ranks",
            lambda f: "{rows:,} rows, {users:,} users, {items:,} items, dim {dim}, batch {batch:,}".format(
                **f["ranks"]["size"]
            ),
        ),
        "memory": ("memory", lambda f: memory(f["memory"])),
        "memory_notes": ("memory", lambda f: memory_notes(f["memory"])),
        "resume": ("resume", lambda f: resume(f["resume"])),
        "seeds": ("shuffle", lambda f: str(len(f["shuffle"]["buffer of 100%"]["top_100"]))),
        "shuffle": ("shuffle", lambda f: shuffle(f["shuffle"])),
        "tables_size": (
            "tables",
            lambda f: "{queries:,} users and {candidates:,} items at dim 32".format(**f["tables"][0]),
        ),
        "tables": ("tables", lambda f: tables_of(f["tables"])),
        "sampled": ("plan", lambda f: f"{f['plan']['sampled']:,}"),
        "plan_seconds": ("plan", lambda f: f"{f['plan']['seconds']:.1f}"),
        "plan": ("plan", lambda f: forecast(f["plan"], f["encode"], f["train"])),
        "estimate": ("estimate", estimate),
        "estimate_notes": ("estimate", notes),
        "estimate_phases": ("estimate", phases),
    }
    return {
        name: make(found) if has(found, part) else f"(not measured yet: {part})"
        for name, (part, make) in makers.items()
    }


def has(found: dict, part: str) -> bool:
    """Returns whether a part was measured; the estimate and the plan's comparison need several."""
    needs = {"": (), "estimate": ("encode", "train", "vocabulary"), "plan": ("plan", "encode", "train")}.get(
        part, (part,)
    )
    return all(one in found for one in needs)


def encode(one: dict) -> str:
    """Returns what encoding took, in a sentence."""
    return (
        f"**Encoding** {one['rows']:,} rows took {one['seconds']:.0f} s ({one['rows'] / one['seconds'] / 1e6:.1f} million rows a "
        f"second), {gb(one['peak_memory'])} of memory at most, and {gb(one['bytes'])} on the disk."
    )


DAY = 0.03  # of the first encoding, at most


def another_day(one: dict) -> str:
    """Returns what one more day took, in a sentence."""
    parts = ("processor_seconds", " of the processor") if "processor_seconds" in one else ("seconds", "")
    took, first = one[parts[0]], one[f"first_{parts[0]}"]
    aim = "" if took <= DAY * first else f" (the aim is {DAY:.0%})"
    return (
        f"**One more day**, {one['added_rows']:,} rows ({one['added_rows'] / one['rows']:.0%}) with {one['added']['queries']:,} new "
        f"users and {one['added']['candidates']:,} new items, took {took:.1f} s{parts[1]}, "
        f"{took / first:.1%} of the {first:.0f} s of the first encoding: "
        f"finished pieces and the tables of ids are kept, new ids are added to these, and the counts of all ids are written again{aim}."
    )


def train(one: dict) -> str:
    """Returns what training took, in a sentence."""
    whole = one["examples"] == one["rows"]
    what = (
        "A whole epoch"
        if whole
        else f"{one['examples']:,} of the {one['rows']:,} rows of an epoch ({one['examples'] / one['rows']:.0%})"
    )
    return (
        f"**Training** ran at {one['speed']:,.0f} examples a processor-second in {gb(one['peak_memory'])} of memory at most. {what} took "
        f"{one['processor_seconds']:.0f} s of it{'' if whole else '; the run was ended there'}."
    )


def ratio(one: dict) -> str:
    """Returns the speeds from disk and from memory, in a sentence."""
    found = one["ratios"]
    return (
        f"**From disk and from memory**, {one['rows']:,} rows in one process, in turn, {len(found)} times each: "
        f"{median(one['disk']):,.0f} and {median(one['memory']):,.0f} examples a processor-second, {median(found):.0%} "
        f"({min(found):.0%} to {max(found):.0%})."
    )


def histories(one: dict) -> str:
    """Returns the speeds of `sequence` from disk and from memory, in a sentence."""
    found = one["ratios"]
    return (
        f"**Histories from disk and from memory**, the recipe `sequence` on {one['rows']:,} rows in one process, in turn, {len(found)} times each, "
        f"in buffers of a quarter of the rows: {median(one['disk']):,.0f} and {median(one['memory']):,.0f} examples a processor-second, "
        f"{median(found):.0%} ({min(found):.0%} to {max(found):.0%})."
    )


def rows(found: dict) -> str:
    """Returns memory and speed as rows grow."""
    lines = ["| rows | encoding, its memory | training, its memory | examples a processor-second |", "|---" * 4 + "|"]
    for one in found["rows"]:
        encoded, trained = one["encode"] or found["encode"], one["train"]
        lines.append(
            f"| {trained['rows']:,} | {gb(encoded['peak_memory'])} | {gb(trained['peak_memory'])} | {trained['speed']:,.0f} |"
        )
    return "\n".join(lines)


def rows_notes(found: dict) -> str:
    """Returns what memory grows with."""
    first, last = (found["rows"][place]["train"] for place in (0, -1))
    return (
        f"With {last['rows'] / first['rows']:.0f} times the rows training holds {last['peak_memory'] / first['peak_memory']:.1f} "
        f"times the memory: there are {last['queries'] / first['queries']:.2f} times the users, and pages of the mapped shards "
        "count as the process's while there is room. Encoding counts ids "
        f"{found['encode']['rows_at_once']:,} rows at a time, since Polars' streaming groups hold memory for every row until a "
        "query ends."
    )


def vocabulary(found: list[dict]) -> str:
    """Returns memory and speed as the vocabulary grows."""
    lines = [
        "| users | items | tables | encoding, its memory | training, its memory | examples a processor-second |",
        "|---" * 6 + "|",
    ]
    for one in found:
        encoded, trained = one["encode"], one["train"]
        lines.append(
            f"| {trained['queries']:,} | {trained['candidates']:,} | {gb(trained['tables'])} | {gb(encoded['peak_memory'])} | "
            f"{gb(trained['peak_memory'])} | {trained['speed']:,.0f} |"
        )
    return "\n".join(lines)


def ranks(found: dict) -> str:
    """Returns speed and memory as processes grow; and whether they train alike."""
    lines = [
        "| | processes | threads each | examples a processor-second | memory of the largest | loss |",
        "|---" * 6 + "|",
    ]
    for name, runs in found["runs"].items():
        for one in runs:
            lines.append(
                f"| {name} | {one['ranks']} | {one['threads']} | {one['examples_per_processor_second']:,.0f} | "
                f"{gb(max(one['peak_memory']))} | {one['loss']:.5f} |"
            )
    return "\n".join(lines)


DIM = 96  # of the runs that name none
TRAINING = ("data", "build", "steps", "checkpoint", "end")


def of_training(one: dict) -> int:
    """Returns the most memory of the largest process of a run, from its data to the end of its training."""
    return max(phases.get(name, 0) for phases in one["phases"] for name in TRAINING)


def memory(found: list[dict]) -> str:
    """Returns the memory of each phase, of the largest process."""
    names = (*TRAINING, "index", "save")
    lines = [f"| tables | dim | processes | {' | '.join(names)} |", "|---" * (len(names) + 3) + "|"]
    for one in found:
        kept = f"{one.get('dtype', 'float32')}, {one.get('optimizer', 'Adagrad')}"
        most = [max(phases.get(name, 0) for phases in one["phases"]) for name in names]
        shown = " | ".join(gb(count) if count else "" for count in most)
        lines.append(f"| {kept} | {one.get('dim', DIM)} | {one['processes']} | {shown} |")
    return "\n".join(lines)


AIMS = {2: 0.6, 4: 0.35}  # of the memory of one process, with tables of 80% of it


def memory_notes(found: list[dict]) -> str:
    """Returns what the memory of each phase means."""
    said, missed = [], []
    for dim in dict.fromkeys(one.get("dim", DIM) for one in found):
        runs = {one["processes"]: one for one in found if one.get("dim", DIM) == dim and "dtype" not in one}
        alone, learned = of_training(runs[1]), runs[1]["tables"] + runs[1]["state"]
        shares = [f"{of_training(one) / alone:.2f} of it with {number}" for number, one in runs.items() if number > 1]
        said.append(
            f"At dim {dim} tables and state are {learned / alone:.0%} of the peak of one process; the largest of several takes "
            f"{' and '.join(shares)}, checkpoint and end included."
        )
        if dim == DIM:
            taken = {number: of_training(one) / alone for number, one in runs.items() if number > 1}
            missed = [f"{most} with {number}" for number, most in AIMS.items() if taken.get(number, 0) > most]
    if missed:
        said.append(
            f"The aim was {' and '.join(missed)}, with such tables, and is missed. The part that does not fall with processes was looked for: the tables "
            "of ids, their vocabularies and codes and the order of the buffer's rows are about half of it; the other half is what a step needs for "
            "scores, rows, gradients and messages, and pages that the allocators of several threads keep between steps."
        )
    first = [one["phases"][0] for one in found if "save" in one["phases"][0]]
    saving = [f"{max(one['index'], one['save']) / max(one[name] for name in TRAINING):.2f}" for one in first]
    said.append(
        f"Index and bundle take {', '.join(saving)} times what training took, in the order of the rows"
        f"{' (the aim is 1.2)' if max(map(float, saving)) > 1.2 else ''}: what was learned stays where "
        "it is, or in mapped files. Ids, their vocabularies and the buffer of interactions are in every process, so that memory "
        "falls the more the larger the tables are."
    )
    return " ".join(said)


def resume(found: dict) -> str:
    """Returns how often training was killed, and how it ended."""
    runs = found["runs_by_their_kills"]
    kinds = ", ".join(f"{count} {kind}" for kind, count in found["by_kind"].items())
    otherwise = found["ended_otherwise"]
    ended = (
        "Every run ended bit for bit like the undisturbed one"
        if not otherwise
        else f"**{otherwise} of the runs ended differently from the undisturbed one**"
    )
    return (
        f"`python -m benchmarks.resume` killed a training of {found['steps']} steps, with a checkpoint every 20, "
        f"{found['kills']} times (SIGKILL: {kinds}) and resumed it with `--resume`. {sum(runs.values())} runs were trained like this, one "
        f"of them killed {max(map(int, runs))} times; {found['killed_before_a_checkpoint']} kills came before the first "
        f"checkpoint. {ended}: the fingerprint of vectors and weights, the optimizer's state, and each epoch's loss and metrics."
    )


def shuffle(found: dict) -> str:
    """Returns the accuracy of every way to shuffle."""
    lines = ["| | top-100, mean | standard deviation over seeds |", "|---|---|---|"]
    ways = {way: one for way, one in found.items() if isinstance(one, dict)}
    return "\n".join([*lines, *(f"| {way} | {one['mean']:.4f} | {one['sd']:.4f} |" for way, one in ways.items())])


def tables_of(found: list[dict]) -> str:
    """Returns the ways to keep tables."""
    lines = [
        "| tables | optimizer | bytes of the tables | training, its memory | examples a processor-second |",
        "|---" * 5 + "|",
    ]
    for one in found:
        kept = one.get("dtype", "float32") + (", in files" if one.get("on_disk") else "")
        lines.append(
            f"| {kept} | {one['optimizer']} | {gb(one['tables'])} | {gb(one['peak_memory'])} | {one['speed']:,.0f} |"
        )
    return "\n".join(lines)


def forecast(plan: dict, encoded: dict, trained: dict) -> str:
    """Returns the forecast beside what was measured."""
    pairs = (
        ("rows", plan["rows"], trained["rows"], f"{plan['rows']:,}", f"{trained['rows']:,}"),
        *(_pair(name, plan[name]["value"], trained[name], "{:,}".format) for name in ("queries", "candidates")),
        _pair("bytes of the tables", plan["weights"], trained["tables"], gb),
        _pair("bytes of the shards", plan["shards"], encoded["bytes"], gb),
        _pair("memory of training from disk", plan["training_from_disk"], trained["peak_memory"], gb),
        _pair(
            "examples a second (forecast by the clock)",
            round(plan["examples_per_second"]),
            round(trained["speed"]),
            "{:,}".format,
        ),
    )
    lines = ["| | forecast | measured | forecast / measured |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {a} | {b} | {said / was:.2f} |" for name, said, was, a, b in pairs)])


def _pair(name: str, said: float, was: float, shown) -> tuple:
    return name, said, was, shown(said), shown(was)


def _index() -> dict:
    """Returns the seconds to build ScaNN over 10 million vectors, and the most memory of the process that searches it."""
    runs = load_latest(RESULTS)["index_1e7"]["sides"]["ours"]["runs"]
    return {
        "build": median(run["build_seconds"] for run in runs),
        "peak": median(run["peak_rss_gb"] for run in runs) * 1e9,
    }
