"""Checkpoints on disk: a file of tensors and a small one that names it, which is renamed into place last.

``checkpoint-000000500.json`` holds the plain values, the size and sha256 of ``-000000500-<digest>.safetensors``, and a
checksum of itself. A process that is killed at any moment leaves every finished checkpoint as it was.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from shortlist.errors import ShortlistWarning, TrainingError
from shortlist.store import Additions, NamedEntry, check, read_json

__all__ = ["FORMAT", "Saved", "newest", "steps_of", "write"]

FORMAT = 1
_NAME = re.compile(r"^checkpoint-(\d{9,})\.json$")
_OURS = re.compile(r"^checkpoint-\d{9,}(-[0-9a-f]{12}\.safetensors|\.json)$")


class Saved(NamedTuple):
    """A checkpoint that was read: header, plain JSON values; tensors by name."""

    step: int
    header: dict[str, Any]
    tensors: dict[str, Tensor]


def write(folder: Path, step: int, header: Mapping[str, Any], tensors: Mapping[str, Tensor], keep: int) -> None:
    """Writes the checkpoint of ``step``, then removes all but the ``keep`` newest up to it.

    Those of later steps belong to an abandoned run: they could not be read when this one resumed. OSError leaves the
    others as they are.
    """
    with Additions(folder) as new:
        data = new.scratch / "tensors"
        try:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, str(data))
        except SafetensorError as error:  # a disk that is full or cannot be written
            raise OSError(str(error)) from error
        entry = new.add(data, f"checkpoint-{step:09d}", ".safetensors")
        new.publish(_record(step), {"format": FORMAT, "step": step, **header, "file": entry.to_dict()})
        new.remove(_OURS, [name for names in _whole(folder, step)[-keep:] for name in names])


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


def _described(folder: Path, step: int) -> tuple[dict[str, Any], NamedEntry]:
    """A checkpoint's header, and the entry of its tensors. ValueError where it is damaged."""
    header = read_json(folder / _record(step), FORMAT)
    return header, msgspec.convert(header.get("file"), NamedEntry)


def _whole(folder: Path, last: int) -> list[tuple[str, str]]:
    """Both files of each checkpoint up to the step ``last``, except those with a damaged header."""
    found = []
    for step in steps_of(folder):
        with contextlib.suppress(OSError, ValueError):
            if step <= last:
                found.append((_record(step), _described(folder, step)[1].name))
    return found


def _read(folder: Path, step: int) -> Saved:
    """A checkpoint; ValueError says what is damaged."""
    header, entry = _described(folder, step)
    check(folder, {entry.name: entry})
    return Saved(step, header, load_file(str(folder / entry.name)))
