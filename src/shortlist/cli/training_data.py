"""The data that ``shortlist train`` trains on and measures with: from memory, or from shards on disk."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from shortlist.cli.console import progress, say, say_account
from shortlist.errors import ConfigError
from shortlist.language import counted, sized

if TYPE_CHECKING:
    from shortlist.data import Account, Dataset, Shards
    from shortlist.train.processes import Processes
    from shortlist.train.recipes import Recipe

__all__ = ["TrainingData", "training_data", "warn_of_few_steps"]

Before: TypeAlias = Callable[[str, Mapping[str, Any], Path], None]

SCORES = 5_000_000_000
FEW_STEPS = 100
SMALL = 64
SEED = 42  # of the held-out rows
LOOK = 0.2  # seconds between two tries to read what another process encodes
HOW = {"time": "the latest", "last": "the last of each query", "random": "at random"}


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The training data, and the held-out rows (or None).

    Attributes:
        account: of both together, as they were read.
        whole: both together.
        how: "time", "last" or "random", how they were divided.
    """

    train: Dataset | Shards
    held_out: Dataset | None
    seen_before: Dataset | None = None
    account: Account | None = None
    whole: Dataset | Shards | None = None
    how: str = "random"

    @cached_property
    def seen(self) -> Dataset | None:
        """The choices in training and before, to leave them out of lists; None if there are too many for a bundle."""
        return self._with_before(self._seen_of(self.train))

    @cached_property
    def seen_with_held_out(self) -> Dataset | None:
        """The same with the held-out rows."""
        return self._with_before(self._seen_of(self.train if self.whole is None else self.whole))

    @property
    def folder(self) -> str | None:
        """Where the shards are; None for data in memory."""
        from shortlist.data import Shards

        return str(self.train.folder.absolute()) if isinstance(self.train, Shards) else None

    def kept(self) -> AbstractContextManager[None]:
        """A block in which the shards are marked as in use."""
        from shortlist.data import Shards

        return self.train.kept() if isinstance(self.train, Shards) else nullcontext()

    def _with_before(self, seen: Dataset | None) -> Dataset | None:
        if seen is None or self.seen_before is None:
            return seen
        import polars as pl

        from shortlist.data import Dataset

        ids = [seen.query, seen.candidate]
        both = [one.seen.interactions.select(ids) for one in (self.seen_before, seen)]
        return Dataset._again(pl.concat(both, how="vertical_relaxed"), *ids)

    @staticmethod
    def _seen_of(data: Dataset | Shards) -> Dataset | None:
        from shortlist.data import Dataset
        from shortlist.train.forecast import SEEN_ROWS

        if isinstance(data, Dataset):
            return data
        if len(data) <= SEEN_ROWS:
            return data.to_dataset()
        say(f"{len(data):,} interactions are too many to keep the seen items of each query; a request can contain them")
        return None


def training_data(
    interactions: str,
    columns: dict[str, Any],
    test: float,
    stream: bool | None,
    folder: Path | None,
    plan: Recipe | None = None,
    like_use: bool = False,
    seed: int = SEED,
    before: Before | None = None,
) -> TrainingData:
    """Read the interactions, or encode them into ``folder``; hold ``test`` of them out. Prints what it does.

    Args:
        columns: the columns and tables, as ``Dataset`` takes them.
        stream: from disk or not; None for what ``should_stream`` says.
        plan: the recipe; columns of the interactions that its query tower reads are encoded too.
        like_use: hold out as ``choosing.hold_out`` does, which knows times that only number the rows of each query.
        before: called by the first process with source, columns and folder before anything is encoded into it, unless shards are there.
    """
    if not 0 <= test < 1:
        raise ConfigError(f"--test is {test}; a share in [0, 1) was expected.")
    if stream is False and folder is not None:
        raise ConfigError("--shards was given with --in-memory.", hint="leave one of them out")
    if stream is None:
        stream = folder is not None or joined().of_first(lambda: should_stream(interactions))
    if stream:
        if plan is not None:
            plan.check_from_disk()
        context = _context(interactions, columns, [] if plan is None else plan.query.columns)
        negatives = None if plan is None else plan.loss.negative_column
        columns = {**columns, "context": context, "negatives": negatives}
        return _streamed(interactions, columns, test, folder, before, like_use)
    keep = [] if like_use else None if plan is None else plan.interaction_columns
    return _in_memory(interactions, {**columns, "keep": keep}, test, like_use, seed)


def joined() -> Processes:
    """The processes that train together."""
    from shortlist.train import distributed

    return distributed.joined()


def should_stream(interactions: str) -> bool:
    """Whether the interactions are in an object store, or would fill half of the memory there is."""
    if "://" in interactions:
        return True
    from shortlist.data.shards import available_memory, find, memory_of
    from shortlist.errors import DataError

    try:
        needs = memory_of(find(interactions))
    except DataError:
        return False  # the reader of tables gives the error
    if needs <= available_memory() / 2:
        return False
    say(f"the interactions would take about {sized(needs)} in memory, so they are trained from disk")
    return True


def _in_memory(interactions: str, columns: dict[str, Any], test: float, like_use: bool, seed: int) -> TrainingData:
    import shortlist as sl
    from shortlist.choosing import LEAST, hold_out

    data = sl.Dataset(interactions, **columns)
    say_account(data.account)
    _warn_of_a_single_id(data.account, columns)
    if not test:
        return TrainingData(data, None, account=data.account, whole=data)
    if like_use and len(data) < LEAST:
        return TrainingData(data, None, account=data.account, whole=data)
    if like_use:
        train, held_out, how = hold_out(data, test, seed)
        if how == "last":
            say("the times only number each query's rows: the last of each is held out, whatever --test says")
        if how == "random" and columns["timestamp"] is not None:
            _say_coarse()
    else:
        how = "time" if columns["timestamp"] is not None else "random"
        train, held_out = (sl.split_by_time if how == "time" else sl.split_random)(data, test=test)
    say(f"held out {counted(len(held_out), 'interaction')} ({HOW[how]}), {len(train):,} to train on")
    return TrainingData(train, held_out, account=data.account, whole=data, how=how)


def _say_coarse() -> None:
    say("so many rows have one time that none can be held out by it: rows drawn at random are held out")


def _streamed(
    interactions: str,
    columns: dict[str, Any],
    test: float,
    folder: Path | None,
    before: Before | None,
    like_use: bool,
) -> TrainingData:
    from shortlist.choosing.choose import is_coarse

    shards = _encoded(interactions, columns, folder, before)
    say(f"encoded {shards!r}")
    say_account(shards.account)
    _warn_of_a_single_id(shards.account, columns)
    if not test:
        return TrainingData(shards, None, account=shards.account, whole=shards)
    how: Literal["random", "time"] = "time" if columns["timestamp"] is not None else "random"
    most = min(1_000_000, max(10_000, SCORES // max(len(shards.candidates), 1)))
    if like_use and how == "time" and shards.since == shards.until:
        how = "random"
    train, held_out = shards.split(float(test), by=how, most=most)
    if like_use and how == "time" and is_coarse(len(shards) - len(train), len(shards), test):
        how = "random"
        train, held_out = shards.split(float(test), by=how, most=most)
    if how == "random" and columns["timestamp"] is not None:
        _say_coarse()
    held = len(shards) - len(train)
    some = f", {len(held_out):,} of them to measure with" if len(held_out) < held else ""
    say(f"held out {counted(held, 'interaction')} ({HOW[how]}{some}), {len(train):,} to train on")
    return TrainingData(train, held_out, account=shards.account, whole=shards, how=how)


def _warn_of_a_single_id(account: Account, columns: dict[str, Any]) -> None:
    """Warn of a table with only one query or one candidate."""
    for side, number in (("query", account.queries), ("candidate", account.candidates)):
        if number == 1:
            say(
                f"warning: all interactions have one {side}, so "
                f"""{"no list can differ from another's" if side == "query" else "every list is the same"}; """
                f"is {columns[side]!r} the column of {side} ids (--{side})?"
            )


def _context(interactions: str, columns: dict[str, Any], read: Sequence[str]) -> list[str]:
    """Those of the columns read that the interactions have and the queries' table does not."""
    if not read:
        return []
    from shortlist.data.readers import read_table
    from shortlist.data.shards import find

    reading = columns.get("reading")
    features = None if reading is None else reading.of_features()
    named = {value for value in columns.values() if isinstance(value, str)}
    table = columns["queries"]
    known = {*named, *([] if table is None else read_table(table, "queries", reading=features).frame.columns)}
    there = find(interactions, reading=reading).names()
    return [column for column in dict.fromkeys(read) if column in there and column not in known]


def _encoded(interactions: str, columns: dict[str, Any], given: Path | None, before: Before | None) -> Shards:
    """The shards of this source, in the folder that was given or in the cache: those that are there grow with it.

    Shards in the cache that would be replaced while a training reads them stay; others are made next to them.
    """
    import shortlist as sl
    from shortlist.data.shards import BusyError, InUseError
    from shortlist.data.shards.files import MANIFEST

    processes = joined()

    def encode(folder: Path) -> Shards:
        if before is not None and processes.first and not (folder / MANIFEST).is_file():
            before(interactions, columns, folder)
        say(f"shards: {folder} (what was encoded before is kept)")
        while True:
            try:
                with progress("encoding") as bar:
                    return sl.Shards.encode(interactions, folder, **columns, grow=True, on_piece=bar)
            except BusyError:
                if processes.first:
                    raise
                time.sleep(LOOK)  # a process of this run on another machine, which shares the folder

    def encode_somewhere() -> Shards:
        if given is not None:
            return encode(given)
        try:
            return encode(_cache(interactions, columns))
        except InUseError:
            return encode(_cache(interactions, columns, as_it_is=True))

    return processes.first_then_others(encode_somewhere)


def _cache(interactions: str, columns: dict[str, Any], as_it_is: bool = False) -> Path:
    """A folder of its own for this source and these columns.

    Args:
        as_it_is: for the source's files as they are now, too.
    """
    from shortlist.data.cache import default_cache
    from shortlist.data.shards import find

    source = interactions if "://" in interactions else os.path.abspath(interactions)
    stamps = sorted(find(interactions).stamps.items()) if as_it_is else []
    named = sorted((name, str(value)) for name, value in columns.items())
    return default_cache() / "shards" / hashlib.sha256(repr((source, stamps, named)).encode()).hexdigest()[:16]


def warn_of_few_steps(rows: int, epochs: int, batch_size: int) -> None:
    """Warn of a table so small that training would take only a few steps."""
    steps = epochs * -(-rows // batch_size)
    if steps < FEW_STEPS and batch_size > SMALL:
        say(
            f"hint: {steps} training steps are few; for a small table try "
            f"--set fit.batch_size={SMALL} --set fit.epochs=20"
        )
