"""Checkpoints: everything that a run depends on, written every so often, by each process its own part.

Another number of processes can resume from it: each finds its rows of the tables in the parts that there are. The state of
each process (its random numbers, its part of the epoch's sums) is in its own part; if their number changes, dropout draws
again from (seed, rank, step).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shortlist.data import Dataset, Shards
from shortlist.data.argument_checks import checked_path
from shortlist.errors import ConfigError, ShortlistWarning, check_flags
from shortlist.loss.kinds import PARTS, from_table
from shortlist.loss.old_names import in_tables
from shortlist.model import EmbeddingTable, TwoTower
from shortlist.store.allocation import trim
from shortlist.train.checkpoint_files import Saved, newest, steps_of, write
from shortlist.train.epochs import Epoch
from shortlist.train.progress import Progress
from shortlist.train.run import Run

__all__ = ["Best", "Checkpoints", "Keeper", "facts_of", "reported_interruption"]


@dataclass(frozen=True)
class Checkpoints:
    """Where and how often a run writes its state, so that a killed run can be resumed with the same result.

    A resumed run sees exactly the remaining examples, and on the same machine gives the result of an uninterrupted run,
    bit for bit. ``epochs`` may be larger than it was; data, seed, batch size, loss, optimizer, model and
    precision must be the same. A full disk causes a warning: training and the last good checkpoint are kept.

    Args:
        folder: created if it is missing; each run needs its own.
        every: batches between two checkpoints.
        minutes: time between two checkpoints; both may be given.
        keep: how many of the newest are kept.
        resume: continue from the newest whole checkpoint of the folder, or begin if there is none; without it, a
            folder with checkpoints is refused.

    Example:
        >>> Checkpoints("runs/today", every=500)
        Checkpoints(folder='runs/today', every=500, minutes=None, keep=2, resume=False)
    """

    folder: str | Path
    every: int | None = None
    minutes: float | None = None
    keep: int = 2
    resume: bool = False

    def __post_init__(self) -> None:
        check_flags("Checkpoints", resume=self.resume)
        if self.every is None and self.minutes is None:
            object.__setattr__(self, "minutes", 5.0)
        for name in ("every", "keep"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigError(f"Checkpoints got {name}={value!r}; a whole number of at least 1 was expected.")
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise ConfigError(f"Checkpoints got minutes={self.minutes!r}; more than zero was expected.")
        checked_path(self.folder, "Checkpoints(folder)")
        if Path(self.folder).exists() and not Path(self.folder).is_dir():
            raise ConfigError(
                f"Checkpoints got folder={str(self.folder)!r}, which is a file.",
                hint="give a folder; it is created if it does not exist",
            )


class Best:
    """The best epoch so far, with its weights, for early stopping."""

    def __init__(self, model: TwoTower, monitor: str, patience: int | None) -> None:
        self.model, self.monitor, self.patience = model, monitor, patience
        self.epoch = 0
        self.value = -float("inf")
        self.waited = 0
        self.weights: dict[str, Tensor] = {}

    def stop_after(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Whether ``patience`` validations have been no better."""
        if self.patience is None:
            return False
        self.waited += 1
        if metrics[self.monitor] > self.value:
            self.epoch, self.value, self.waited = epoch, metrics[self.monitor], 0
            self.weights = {name: value.clone() for name, value in self.model.state_dict().items()}
        return self.waited >= self.patience

    def restore(self) -> None:
        """Gives the model the weights of the best epoch."""
        if self.weights:
            self.model.load_state_dict(self.weights)


class Keeper:
    """Writes checkpoints of one run, and resumes the run from one."""

    def __init__(
        self,
        settings: Checkpoints,
        facts: Mapping[str, Any],
        run: Run,
        best: Best,
    ) -> None:
        self.settings, self.best, self.processes = settings, best, run.processes
        self.model, self.updater, self.temperature, self.negatives = (
            run.model,
            run.updater,
            run.temperature,
            run.negatives,
        )
        self.facts = {**facts, "task": run.task, "optimizer": run.optimizer, "model": repr(run.model)}
        self.folder = Path(settings.folder)
        self._tables = {
            f"{name}.weight": part for name, part in run.model.named_modules() if isinstance(part, EmbeddingTable)
        }
        self._written = time.monotonic()

    def begin(self, progress: Progress, epochs: int) -> None:
        """Resumes the run from the newest checkpoint. ConfigError if that belongs to another run."""
        if not self.settings.resume:
            if self.processes.of_first(lambda: bool(steps_of(self.folder))):
                raise ConfigError(
                    f"{str(self.folder)!r} has the checkpoints of a run.",
                    hint="resume=True (--resume) continues it; a new run needs another folder",
                )
            return
        saved = newest(self.folder)
        self.processes.agree({"the checkpoint that they find": None if saved is None else saved.step})
        if saved is None:
            return
        before, now = _with_tables(saved.header["facts"]), _plain(self.facts)
        if before.get("warm_start") != now.get("warm_start"):
            raise ConfigError(
                f"the checkpoint in {str(self.folder)!r} belongs to a training that started {_beginning(before)}; this one starts "
                f"{_beginning(now)}.",
                hint="start in the same way (warm_start=, --warm-start), or use another folder",
            )
        differing = _differing(before, now)
        if differing:
            raise ConfigError(
                f"the checkpoint in {str(self.folder)!r} belongs to another run: {'; '.join(differing[:4])}.",
                hint="train with the same data and settings, or use another folder",
            )
        if saved.header["progress"]["epoch"] > epochs:
            raise ConfigError(
                f"the checkpoint in {str(self.folder)!r} is in epoch {saved.header['progress']['epoch']}; this run has "
                f"epochs={epochs}.",
                hint="give at least as many epochs as before",
            )
        self._restore(saved, progress)

    def after_batch(self, progress: Progress) -> None:
        """Writes a checkpoint if one is due."""
        if self._due(progress.step):
            self.write(progress)

    def write(self, progress: Progress) -> None:
        """Writes a checkpoint; a ShortlistWarning where the disk is full or cannot be written."""
        tensors, header = self._state(progress)
        self._written = time.monotonic()
        try:
            write(self.folder, progress.step, header, tensors, self.settings.keep, self.processes)
        except OSError as error:
            if not self.processes.first:
                return
            warnings.warn(
                f"the checkpoint of step {progress.step} could not be written: {error}. {last_good(self.settings)}",
                ShortlistWarning,
                stacklevel=4,
            )
        finally:
            trim()

    def _due(self, step: int) -> bool:
        if self.settings.every is not None and step % self.settings.every == 0:
            return True
        minutes = self.settings.minutes
        if minutes is None:
            return False
        return self.processes.of_first(lambda: time.monotonic() - self._written >= 60 * minutes)

    @torch.no_grad()
    def _state(self, progress: Progress) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors that this process writes, and JSON values."""
        tensors: dict[str, Tensor] = {}
        for prefix, weights in (("model", self.model.state_dict()), ("best", self.best.weights)):
            for name, value in weights.items():
                self._add(tensors, f"{prefix}/{name}", value, self._tables.get(name))
        for name, slot, table in self.updater.slots():
            self._add(tensors, f"slots/{name}", slot, table)
        if self.processes.first:
            if self.temperature is not None:
                tensors |= {f"heat/{name}": value for name, value in self.temperature.state().items()}
            tensors |= {f"negatives/{name}": value for name, value in self.negatives.state().items()}
        tensors["of_each/sums"] = torch.stack([progress.total, progress.weight])
        for name, value in _random_state(progress.total.device).items():
            tensors[f"of_each/{name}"] = value
        header = {
            "facts": _plain(self.facts),
            "progress": {
                **{name: getattr(progress, name) for name in ("epoch", "batch", "step", "done", "chance")},
                "seconds": progress.elapsed,
                "records": [dataclasses.asdict(epoch) for epoch in progress.records],
            },
            "best": {name: getattr(self.best, name) for name in ("epoch", "waited")}
            | {"value": None if self.best.value == -float("inf") else self.best.value},
            "negatives": self.negatives.memory(),
            "processes": self.processes.size,
        }
        return tensors, header

    def _add(self, tensors: dict[str, Tensor], name: str, value: Tensor, table: EmbeddingTable | None) -> None:
        if table is not None or self.processes.first:
            tensors[name] = value

    @torch.no_grad()
    def _restore(self, saved: Saved, progress: Progress) -> None:
        tensors, header = saved.tensors, saved.header
        at = header["progress"]
        for name in ("epoch", "batch", "step", "done", "chance", "seconds"):
            setattr(progress, name, at[name])
        progress.records[:] = [Epoch(**record) for record in at["records"]]
        for name, value in self.model.state_dict().items():
            self._copy(saved, f"model/{name}", value, self._tables.get(name))
        for name, slot, table in self.updater.slots():
            self._copy(saved, f"slots/{name}", slot, table)
        self.best.epoch, self.best.waited = header["best"]["epoch"], header["best"]["waited"]
        if header["best"]["value"] is not None:
            self.best.value = header["best"]["value"]
        for name, value in self.model.state_dict().items():
            if f"best/{name}" in tensors:
                self.best.weights[name] = torch.empty_like(value)
                self._copy(saved, f"best/{name}", self.best.weights[name], self._tables.get(name))
        if self.temperature is not None:
            self.temperature.restore(_under("heat", tensors))
        self.negatives.restore(_under("negatives", tensors), header["negatives"])
        of_each = {
            name: torch.cat([part[f"of_each/{name}"] for part in saved.parts]) for name in _under("of_each", tensors)
        }
        self._restore_own(of_each, header["processes"], progress)

    def _copy(self, saved: Saved, name: str, into: Tensor, table: EmbeddingTable | None) -> None:
        """A tensor of the checkpoint, of a table the rows of this process."""
        if table is None:
            into.copy_(saved.tensors[name])
        else:
            saved.copy(name, into, self.processes.part)

    def _restore_own(self, values: Mapping[str, Tensor], processes: int, progress: Progress) -> None:
        """The state of one process alone."""
        rank, same = self.processes.rank, processes == self.processes.size
        sums = values["sums"].view(processes, 2)
        mine = sums[rank] if same else sums.sum(0) * (rank == 0)
        progress.total.copy_(mine[0])
        progress.weight.copy_(mine[1])
        if same:
            states = {name: value.view(processes, -1)[rank] for name, value in values.items() if name != "sums"}
            _set_random_state(states, progress.total.device)
        else:
            torch.manual_seed(zlib.crc32(repr((self.facts["seed"], rank, progress.step)).encode()))


@contextlib.contextmanager
def reported_interruption(settings: Checkpoints | None) -> Iterator[None]:
    """A ShortlistWarning that says where to resume from, when Ctrl-C ends the block."""
    try:
        yield
    except KeyboardInterrupt:
        if settings is not None:
            warnings.warn(f"training was interrupted. {last_good(settings)}", ShortlistWarning, stacklevel=4)
        raise


def last_good(settings: Checkpoints) -> str:
    """A sentence on the newest checkpoint."""
    steps = steps_of(Path(settings.folder))
    if not steps:
        return "There is no checkpoint yet."
    where = f"{str(settings.folder)!r}; resume=True (--resume) continues from it"
    return f"The last good checkpoint is step {steps[-1]}, in {where}."


def facts_of(train: Dataset | Shards) -> dict[str, Any]:
    """A description that differs between two sets of training data, or between two orders of one."""
    facts: dict[str, Any] = {"interactions": len(train), "queries": len(train.queries)}
    facts["candidates"] = len(train.candidates)
    if isinstance(train, Shards):
        counts = zlib.crc32(train.candidate_counts.tobytes(), zlib.crc32(train.query_counts.tobytes()))
        return facts | {"digest": f"{train.fingerprint}-{counts:08x}"}  # for a part of the shards, the part too
    digest = 0
    for column in (train.query_rows, train.candidate_rows, train.weights):
        if column is not None:
            digest = zlib.crc32(np.ascontiguousarray(column).tobytes(), digest)
    return facts | {"digest": f"{digest:08x}"}


def _with_tables(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts with the loss and the negatives of the task as values, which an earlier version wrote as loose options."""
    task = facts["task"]
    if not isinstance(task["loss"], str):
        return dict(facts)
    tables = in_tables(task)
    return {**facts, "task": _plain(tables | {part: from_table(part, tables[part]) for part in PARTS})}


def _beginning(facts: Mapping[str, Any]) -> str:
    """How a run began, in words."""
    warm = facts.get("warm_start")
    if not isinstance(warm, Mapping):
        return "from another model" if warm else "from nothing"
    only_new = f" with only_new and half_life={warm['half_life']:g}" if warm["only_new"] else ""
    return f"from the model {warm['fingerprint'][:16]!r}{only_new}"


def _differing(before: Any, now: Any, path: str = "") -> list[str]:
    """Where two trees of JSON values differ, in words."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*before, *now])
        return [line for key in keys for line in _differing(before.get(key), now.get(key), f"{path}.{key}".lstrip("."))]
    return [] if before == now else [f"{path} was {before!r} and is {now!r}"]


def _plain(value: Any) -> Any:
    """A value as JSON returns it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__} | {
            each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}, SHA-256 {hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def _random_state(device: torch.device) -> dict[str, Tensor]:
    states = {"random": torch.get_rng_state()}
    if device.type == "cuda":
        states["random_cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_random_state(states: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["random"].clone())
    if device.type == "cuda" and "random_cuda" in states:
        torch.cuda.set_rng_state(states["random_cuda"].clone(), device)
