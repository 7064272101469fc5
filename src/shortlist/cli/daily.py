"""``shortlist daily``: encode, train, compare, promote and clean up, once a day; a scheduler may start it as often as it likes.

Each step looks at what is there: a day that is promoted is not trained again, a bundle that was finished is not made again, and a
training that was stopped resumes from its checkpoint. So a run that was killed at any moment is completed by the next one.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from shortlist.cli.clean import cleaned
from shortlist.cli.console import say, say_promoted
from shortlist.cli.daily_config import DailyConfig, day_named, read_config
from shortlist.cli.judging import judged_of, measured_alone
from shortlist.cli.refusals import refusal
from shortlist.cli.retraining import REFUSED
from shortlist.errors import DataError, ShortlistError

if TYPE_CHECKING:
    from shortlist.train.recipes import Recipe

__all__ = ["BUSY", "WAITING", "command"]

WAITING, BUSY = 4, 5
"""Exit codes: there are no new data, or too few; another run of the link is in progress."""

NOT_HERE = ("as_json", "on", "workers", "max_failures")  # options of the command, not of its work
Said = dict[str, Any]


@click.command("daily")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--day", metavar="DAY", help="The day to train for, such as 2026-11-28 (default: today, UTC).")
@click.option("--again", is_flag=True, help="Train for a day that was promoted once more, for example with late rows.")
def command(config: Path, day: str | None, again: bool) -> None:
    """Train on the data of a day, compare with what the link serves, promote, and remove what is old, as CONFIG says.

    It may be started again at any time: what is done is not done twice. The last line on stdout is JSON, with the status:
    promoted, done, older (0), refused (3), waiting for data (4), busy (5) or failed (1).
    """
    started = time.perf_counter()
    said: Said = {"status": "failed", "day": day, "link": None, "bundle": None}
    try:
        plan = read_config(config)
        said |= {"day": day_named(day), "link": str(plan.place)}
        code = _run(plan, said, again)
    except (ShortlistError, OSError) as raised:
        error = raised if isinstance(raised, ShortlistError) else refusal(raised)
        if error is None:
            raise
        code = _failed(error, said)
        if code == 1:
            _print(said, started)
            raise error from (None if error is raised else raised)
        say(f"{said['status']}: {error.message}")
    _print(said, started)
    sys.exit(code)


def _failed(error: ShortlistError, said: Said) -> int:
    """The exit code of an error, which is noted."""
    from shortlist.recommender.promotion import BusyError
    from shortlist.train.lineage import OldDataError

    status, code = "failed", 1
    if isinstance(error, BusyError):
        status, code = "busy", BUSY
    elif isinstance(error, (OldDataError, MissingDayError)):
        status, code = "waiting", WAITING
    said |= {"status": status, "error": error.message, "hint": error.hint}
    return code


def _print(said: Said, started: float) -> None:
    line = {**said, "seconds": round(time.perf_counter() - started, 3)}
    click.echo(json.dumps(line, ensure_ascii=False, default=str))


class MissingDayError(DataError):
    """The table of the day is not there yet."""


def _run(plan: DailyConfig, said: Said, again: bool) -> int:
    """All steps, under the lock of the link; notes what was done."""
    from shortlist.recommender.folder import make_writable
    from shortlist.recommender.promotion import alone

    day = str(said["day"])
    for folder in (plan.home, plan.place.parent):
        make_writable(folder)
    with alone(plan.place):
        newest = _newest(plan)
        if newest is not None and not again and day <= newest:
            served = plan.place.resolve()
            said |= {"status": "done" if day == newest else "older", "bundle": str(served)}
            say(f"{day}: {plan.place} was turned to a bundle of {newest} already")
            _clean(plan, said)
            return 0
        out, key = _out(plan, day), _key(plan, day, again)
        if not _is_finished(out, key, plan):
            passed = _train(plan, day, out, key, again)
            if not passed:
                said |= {"status": "refused", "bundle": str(out), **_figures(out)}
                return REFUSED
        if plan.export and not list(out.glob("model/*.onnx")):
            _export(out)
        _promote(plan, out)
        said |= {"status": "promoted", "bundle": str(out), **_figures(out)}
        _clean(plan, said)
        return 0


def _out(plan: DailyConfig, day: str) -> Path:
    """The day's bundle: a new one where an earlier one of that day was promoted, so that a rollback finds that."""
    taken = {(plan.place.parent / one.bundle).resolve() for one in _record(plan)}
    names = (f"{day}.shortlist" if number == 1 else f"{day}-{number}.shortlist" for number in itertools.count(1))
    return next(path for path in (plan.home / name for name in names) if path.resolve() not in taken)


def _newest(plan: DailyConfig) -> str | None:
    """The latest day that was promoted, also where the link was turned back since: that was somebody's decision."""
    days = [day for day in (_day_of(plan, one.bundle) for one in _record(plan)) if day is not None]
    state = plan.home / _state_name(plan)
    if state.is_file():
        days.append(json.loads(state.read_text(encoding="utf-8"))["promoted"])
    return max(days, default=None)


def _state_name(plan: DailyConfig) -> str:
    return f".{plan.place.name}.daily.json"


def _record(plan: DailyConfig) -> list[Any]:
    from shortlist.recommender.promotion import promotions

    return promotions(plan.place)


def _day_of(plan: DailyConfig, bundle: str) -> str | None:
    """The day of a bundle that this loop made."""
    path = (plan.place.parent / bundle).resolve()
    kept = _metadata(path).get("run", {}).get("daily")
    return str(kept["day"]) if kept else None


def _metadata(path: Path) -> dict[str, Any]:
    from shortlist.recommender.manifest import MANIFEST, decoded, is_bundle

    return decoded(path / MANIFEST).metadata if is_bundle(path / MANIFEST) else {}


def _key(plan: DailyConfig, day: str, again: bool) -> str:
    """A digest of all that a bundle is made from: the files as they are, the options, and the bundle to start from."""
    from shortlist.data.shards import find

    stamps: dict[str, str] = {}
    if "interactions" in plan.train:
        source = plan.interactions(day)
        if plan.dated and "://" not in source and not Path(source).exists():
            raise MissingDayError(
                f"there are no data of {day}: {source!r} does not exist.", hint="wait until they are there"
            )
        stamps = find(source).stamps
    start = _start(plan, day)
    before = None if start is None else _metadata(start).get("run", {}).get("given", {}).get("fingerprint")
    described = repr((sorted(stamps.items()), plan.arguments(day), plan.promote_if, str(start), before, again))
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def _start(plan: DailyConfig, day: str) -> Path | None:
    """The newest bundle of an earlier day to start from."""
    if not plan.warm_start:
        return None
    for one in reversed(_record(plan)):
        path: Path = (plan.place.parent / one.bundle).resolve()
        made = _day_of(plan, one.bundle)
        if path.is_dir() and (made is None or made < day):
            return path
    return None


def _is_finished(out: Path, key: str, plan: DailyConfig) -> bool:
    """Whether the day's bundle was made from the same, compared with what the link serves, and found good enough."""
    from shortlist.recommender.promotion import fingerprint_of

    metadata = _metadata(out)
    kept = metadata.get("run", {}).get("daily")
    if not kept or kept["key"] != key or "verdict" not in metadata:
        return False
    since, served = metadata.get("since"), fingerprint_of(plan.place)
    if served is not None and (since is None or since["before"]["fingerprint"] != served):
        return False  # the link was turned since
    conditions = _conditions(plan, quiet=True)
    return all(one.passed for one in judged_of(out, conditions, plan.place))


def _conditions(plan: DailyConfig, quiet: bool = False) -> tuple[str, ...]:
    """The conditions that can be judged: with nothing to compare with yet, those on top-k accuracy against a number."""
    from shortlist.evaluation.gate import Gate
    from shortlist.recommender.promotion import served_by

    gates = {text: Gate.parsed(text) for text in plan.promote_if}
    if served_by(plan.place) is not None:
        return tuple(gates)
    kept = tuple(text for text, gate in gates.items() if measured_alone(gate))
    if len(kept) < len(gates) and not quiet:
        say(f"{plan.place} serves nothing yet, so conditions that need a bundle to compare with are left out today")
    return kept


def _train(plan: DailyConfig, day: str, out: Path, key: str, again: bool) -> bool:
    """Train, compare and save the day's bundle; whether it passed."""
    from shortlist.cli.train import command as train
    from shortlist.cli.training import trained

    start, runs = _start(plan, day), plan.home / f".{plan.place.name}.runs"
    words = [*(["--warm-start", str(start)] if start is not None else []), "--promote", str(plan.place)]
    words += [word for one in _conditions(plan) for word in ("--promote-if", one)]
    words += ["--out", str(out), "--overwrite", *(["--again"] if again else [])]
    if _has_steps(plan, start):
        for left in runs.iterdir() if runs.is_dir() else ():
            if left.name != key:
                shutil.rmtree(left, ignore_errors=True)  # of another day, or of other data
        words += ["--checkpoint-dir", str(runs / key), "--resume"]
    with train.make_context("train", [*words, *plan.arguments(day)]) as context:
        options = {name: value for name, value in context.params.items() if name not in NOT_HERE}
        kept = {"day": day, "key": key}
        result = trained(**options, turns=False, least_new=plan.least_new, day=kept)
    shutil.rmtree(runs, ignore_errors=True)
    return result is not None and bool(result["passed"])


def _has_steps(plan: DailyConfig, start: Path | None) -> bool:
    """Whether the training has steps to resume: not a choice among several models, nor ALS, popularity, joined models or a second stage."""
    import shortlist as sl

    named = plan.train.get("recipe")
    if named is None and start is not None:
        named = _metadata(start).get("recipe")
    if named in (None, "auto"):
        return False
    if isinstance(named, str) and named.endswith(".toml"):
        named = str(Path(plan.folder, named))
    recipe: Recipe = sl.recipes.load(named)
    return recipe.als is None and recipe.towers == "trained" and not (recipe.joined or recipe.sources or recipe.ranker)


def _export(out: Path) -> None:
    from shortlist.cli.export import command as export

    assert export.callback is not None
    export.callback(bundle=out, out=None, overwrite=True, sign=None, as_json=False)


def _promote(plan: DailyConfig, out: Path) -> None:
    """Turn the link to the day's bundle, unless it was turned to another one since the comparison."""
    from shortlist.recommender.promotion import fingerprint_of, promote
    from shortlist.store import write_file

    metadata = _metadata(out)
    since = metadata.get("since")
    link = plan.place
    compared = since["before"]["fingerprint"] if since is not None and plan.promote_if else None
    done = promote(out, link, lambda: compared is None or fingerprint_of(link) == compared)
    state = {"promoted": metadata["run"]["daily"]["day"]}
    write_file(plan.home / _state_name(plan), json.dumps(state).encode())
    say_promoted(link, done.bundle)


def _figures(out: Path) -> dict[str, Any]:
    """Facts of the bundle that a scheduler may want to keep."""
    metadata = _metadata(out)
    given = metadata.get("run", {}).get("given", {})
    since = metadata.get("since") or {}
    figures = (since.get("comparison") or {}).get("after") or {}
    return {name: given.get(name) for name in ("until", "interactions", "added")} | {"figures": figures}


def _clean(plan: DailyConfig, said: Said) -> None:
    if plan.place.is_symlink():
        done = cleaned(plan.place, plan.keep)
        said["removed"] = [one["path"] for one in done["removed"]]
