"""A saved bundle."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors.numpy import load_file

from shortlist.recommender.tensors import described, write_tensors

Change = Callable[[dict[str, np.ndarray]], Any]
"""A change of a file's arrays, in place."""


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the manifest and seal it again."""
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    manifest["checksum"] = "0" * 64
    text = json.dumps(manifest)
    manifest["checksum"] = hashlib.sha256(text.encode()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))


def files_of(path: Path) -> list[str]:
    """The names of its files."""
    return sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())


def trust(path: Path) -> None:
    """Make the manifest vouch for the files as they are now: what a careful forger would do."""

    def change(manifest: dict[str, Any]) -> None:
        tensors = {name: entry["tensors"] for name, entry in manifest["files"].items()}
        manifest["files"] = {
            name: {
                "bytes": (path / name).stat().st_size,
                "sha256": hashlib.sha256((path / name).read_bytes()).hexdigest(),
                "tensors": tensors.get(name),
            }
            for name in files_of(path)
            if name != "manifest.json"
        }

    rewrite(path, change)


def forged(saved: Path, place: Path, file: str, change: Change) -> Path:
    """A copy with other arrays in a file, for which the manifest vouches."""
    shutil.copytree(saved, place)
    arrays = load_file(place / file)
    change(arrays)
    write_tensors(place / file, arrays)
    entries = {name: msgspec.to_builtins(entry) for name, entry in described(arrays).items()}
    rewrite(place, lambda manifest: manifest["files"][file].update(tensors=entries))
    trust(place)
    return place


def setting(name: str, at: int, value: float) -> Change:
    """The change of one number of an array."""

    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][at] = value

    return change
