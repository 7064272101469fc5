"""Checkpoints on disk: a file of tensors and a small one next to it, which is renamed into place last.

``checkpoint-000000500.json`` holds what ``-000000500-<digest>.safetensors`` does not, the size and sha256 of that file,
and a checksum of itself. A process killed at any moment leaves every finished checkpoint as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file, save_file
from torch import Tensor

from shortlist.disk import digest as digest_of
from shortlist.disk import sync
from shortlist.errors import ShortlistWarning, TrainingError

__all__ = ["FORMAT", "Saved", "newest", "steps_of", "write"]

FORMAT = 1
_NAME = re.compile(r"^checkpoint-(\d{9,})\.json$")
_DATA = re.compile(r"^checkpoint-(\d{9,})-[0-9a-f]{12}\.safetensors$")
_SCRATCH = ".writing-"


class Saved(NamedTuple):
    """A checkpoint that was read: header, plain JSON values; tensors by name."""

    step: int
    header: dict[str, Any]
    tensors: dict[str, Tensor]


def write(folder: Path, step: int, header: Mapping[str, Any], tensors: Mapping[str, Tensor], keep: int) -> None:
    """Writes the checkpoint of ``step``, then removes all but the ``keep`` newest. OSError leaves the others as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f"{_SCRATCH}{secrets.token_hex(6)}"
    scratch.mkdir()
    try:
        data, text = scratch / "tensors", scratch / "header"
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, str(data))
        sync(data)
        digest = digest_of(data)
        name = f"checkpoint-{step:09d}-{digest[:12]}.safetensors"
        content = {"format": FORMAT, "step": step, **header}
        content["file"] = {"name": name, "bytes": data.stat().st_size, "sha256": digest}
        text.write_text(json.dumps({**content, "checksum": _checksum(content)}) + "\n", encoding="utf-8")
        sync(text)
        os.replace(data, folder / name)
        os.replace(text, folder / f"checkpoint-{step:09d}.json")
        sync(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _sweep(folder, keep)


def newest(folder: Path) -> Saved | None:
    """The newest checkpoint that is whole, None where there is none; those passed over are named in a ShortlistWarning.

    Raises TrainingError where there are checkpoints and none of them is whole.
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


def _read(folder: Path, step: int) -> Saved:
    """ValueError says what is torn or altered."""
    try:
        header = json.loads((folder / f"checkpoint-{step:09d}.json").read_text(encoding="utf-8"))
        checksum = header.pop("checksum")
        file = header["file"]
        name, size, digest = file["name"], file["bytes"], file["sha256"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("its .json is torn") from None
    if checksum != _checksum(header) or not isinstance(name, str) or not _DATA.match(name):
        raise ValueError("its .json is altered")
    if header["format"] != FORMAT:
        raise ValueError(f"it has format {header['format']}, and this version reads {FORMAT}")
    data = folder / name
    if not data.is_file() or data.stat().st_size != size or digest_of(data) != digest:
        raise ValueError(f"{name} is missing, torn or altered")
    return Saved(step, header, load_file(str(data)))


def _sweep(folder: Path, keep: int) -> None:
    """Removes checkpoints beyond the ``keep`` newest, and what a killed save left."""
    kept = set(steps_of(folder)[-keep:])
    names = {json.loads((folder / f"checkpoint-{step:09d}.json").read_text())["file"]["name"] for step in kept}
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            header = _NAME.match(path.name)
            if (header and int(header.group(1)) not in kept) or (_DATA.match(path.name) and path.name not in names):
                path.unlink()
            elif path.name.startswith(_SCRATCH):
                shutil.rmtree(path, ignore_errors=True)


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
