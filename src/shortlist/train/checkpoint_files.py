"""Checkpoints on disk: a file of tensors from each process, and a small one that names them, which is renamed into place last.

``checkpoint-000000500.json`` holds the plain values, the sizes and sha256 of ``-000000500-1of2-<digest>.safetensors`` and the
others, and a checksum of itself. A process that is killed at any moment leaves every finished checkpoint as it was.

No process reads or holds the part of another one while a checkpoint is written. Tensors of tables are divided as the tables are
(row c is row ``c // n`` of part ``c % n``), so that any number of processes can read them.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from shortlist.errors import ShortlistWarning, TrainingError
from shortlist.model.storage import Part
from shortlist.recommender.tensors import numbers_of, write_tensors
from shortlist.store import Additions, Entry, NamedEntry, check, read_json, sync
from shortlist.train.processes import Processes

__all__ = ["FORMAT", "Saved", "newest", "steps_of", "write"]

FORMAT = 2  # 1: one file, "file" in place of "files", with whole tables
ROWS = 1 << 18  # rows of a table put together at a time
_NAME = re.compile(r"^checkpoint-(\d{9,})\.json$")
_OURS = re.compile(r"^checkpoint-\d{9,}((-\d+of\d+)?-[0-9a-f]{12}\.safetensors|\.json)$")


class Saved(NamedTuple):
    """A checkpoint that was read: header, plain JSON values; tensors by name, of each part. They are mapped files."""

    step: int
    header: dict[str, Any]
    parts: tuple[dict[str, Tensor], ...]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors of the first part: of tables its rows alone, of everything else all there is."""
        return self.parts[0]

    def copy(self, name: str, into: Tensor, part: Part) -> None:
        """Writes the rows of ``part`` of a tensor that is divided like tables into ``into``, whatever parts there were."""
        whole = [tensors[name] for tensors in self.parts]
        if len(whole) == 1:
            into.copy_(part.of(whole[0]))
            return
        if part == Part(part.rank, len(whole)):
            into.copy_(whole[part.rank])
            return
        for low in range(0, len(into), ROWS):
            rows = part.rank + part.size * torch.arange(low, min(low + ROWS, len(into)))
            for number, held in enumerate(whole):
                here = rows % len(whole) == number
                into[low : low + len(rows)][here] = held[rows[here] // len(whole)].to(into)


def write(
    folder: Path,
    step: int,
    header: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    keep: int,
    processes: Processes,
) -> None:
    """Writes the checkpoint of ``step``, each process its part, then removes all but the ``keep`` newest up to it.

    Those of later steps belong to an abandoned run: they could not be read when this one resumed. OSError leaves the
    others as they are; where one process has one, all do.
    """
    with contextlib.ExitStack() as held:
        new, problem = None, ""
        if processes.first:
            try:
                new = held.enter_context(Additions(folder))
            except OSError as error:
                problem = str(error)
        scratch, problem = processes.gathered(["" if new is None else new.scratch.name, problem])[0]
        if problem:
            raise OSError(problem)
        data, entry, problem = folder / scratch / f"tensors-{processes.rank}", None, ""
        try:
            write_tensors(data, _Numbers(tensors))
            sync(data)
            entry = Entry.of(data)
        except OSError as error:
            problem = str(error) if processes.size == 1 else f"rank {processes.rank} of {processes.size}: {error}"
        written = processes.gathered([problem, None if entry is None else msgspec.to_builtins(entry)])
        problems = [problem for problem, _ in written if problem]
        if problems:
            raise OSError("; ".join(problems))
        if new is not None:
            files = [
                new.add(
                    new.scratch / f"tensors-{rank}",
                    f"checkpoint-{step:09d}" + (f"-{rank + 1}of{len(written)}" if len(written) > 1 else ""),
                    ".safetensors",
                    msgspec.convert(one, Entry),
                ).to_dict()
                for rank, (_, one) in enumerate(written)
            ]
            new.publish(_record(step), {"format": FORMAT, "step": step, **header, "files": files})
            new.remove(_OURS, [name for names in _whole(folder, step)[-keep:] for name in names])


class _Numbers(Mapping[str, "NDArray[Any]"]):
    """Tensors as numpy, each one when it is read, so that of those on a GPU one at a time is copied."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors

    def __getitem__(self, name: str) -> NDArray[Any]:
        return numbers_of(self._tensors[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def newest(folder: Path) -> Saved | None:
    """The newest checkpoint that is whole, None where there is none; a ShortlistWarning names damaged ones.

    Raises:
        TrainingError: where there are checkpoints and none of them is whole.
    """
    reasons: list[str] = []
    for step in reversed(steps_of(folder)):
        try:
            saved = _read(folder, step)
        except (OSError, ValueError) as torn:
            reasons.append(f"checkpoint-{step:09d}: {torn}")
            continue
        if reasons:
            warnings.warn(
                f"in {str(folder)!r} {'; '.join(reasons)}. Training resumes from the one before, of step {step}.",
                ShortlistWarning,
                stacklevel=4,
            )
        return saved
    if reasons:
        raise TrainingError(
            f"none of the checkpoints in {str(folder)!r} can be read: {'; '.join(reasons)}.",
            hint="start again in an empty folder, or restore a copy",
        )
    return None


def steps_of(folder: Path) -> list[int]:
    """The steps that have a checkpoint, ascending."""
    if not folder.is_dir():
        return []
    found = (_NAME.match(path.name) for path in folder.iterdir())
    return sorted(int(match.group(1)) for match in found if match)


def _record(step: int) -> str:
    return f"checkpoint-{step:09d}.json"


def _described(folder: Path, step: int) -> tuple[dict[str, Any], list[NamedEntry]]:
    """A checkpoint's header, and the entries of its tensors, by part. ValueError where it is damaged."""
    header = read_json(folder / _record(step), FORMAT)
    files = header.get("files", [header.get("file")])
    return header, msgspec.convert(files, list[NamedEntry])


def _whole(folder: Path, last: int) -> list[list[str]]:
    """All files of each checkpoint up to the step ``last``, except those with a damaged header."""
    found = []
    for step in steps_of(folder):
        with contextlib.suppress(OSError, ValueError):
            if step <= last:
                found.append([_record(step), *(entry.name for entry in _described(folder, step)[1])])
    return found


def _read(folder: Path, step: int) -> Saved:
    """A checkpoint; ValueError says what is damaged."""
    header, entries = _described(folder, step)
    check(folder, {entry.name: entry for entry in entries})
    return Saved(step, header, tuple(load_file(str(folder / entry.name)) for entry in entries))
