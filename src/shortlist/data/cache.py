"""A folder of small Parquet files per dataset: written next to it and renamed into place, verified on every read."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

import polars as pl

__all__ = ["default_cache", "load", "store"]

FORMAT = 1
MANIFEST = "manifest.json"


def default_cache() -> Path:
    """``$SHORTLIST_CACHE``, else ``$XDG_CACHE_HOME/shortlist``, else ``~/.cache/shortlist``."""
    if own := os.environ.get("SHORTLIST_CACHE"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "shortlist"


def store(folder: Path, tables: Mapping[str, pl.DataFrame]) -> None:
    """Writes ``tables`` as ``folder``, replacing it as a whole. Raises OSError when that place cannot be written."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.parent / f".{folder.name}-{uuid.uuid4().hex}"
    beside.mkdir()
    try:
        digests = {}
        for name, frame in tables.items():
            buffer = io.BytesIO()
            frame.write_parquet(buffer, compression="zstd")
            content = buffer.getvalue()
            digests[name] = hashlib.sha256(content).hexdigest()
            _write(beside / f"{name}.parquet", content)
        _write(beside / MANIFEST, json.dumps({"format": FORMAT, "sha256": digests}, indent=2).encode())
        _replace(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def load(folder: Path) -> dict[str, pl.DataFrame] | None:
    """The tables stored as ``folder``, or None when there are none, or not exactly those that were written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        if manifest["format"] != FORMAT:
            return None
        tables = {}
        for name, digest in manifest["sha256"].items():
            content = (folder / f"{name}.parquet").read_bytes()
            if hashlib.sha256(content).hexdigest() != digest:
                return None
            tables[name] = pl.read_parquet(content)
        return tables
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError):
        return None


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _replace(new: Path, folder: Path) -> None:
    """Renames ``new`` to ``folder``; an existing one is moved out of the way first.

    A try is lost only to another process that put its own there meanwhile, so that together they always get on.
    """
    while True:
        try:
            new.rename(folder)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        try:
            folder.rename(old / folder.name)
        except FileNotFoundError:
            pass  # another process was faster
        finally:
            shutil.rmtree(old, ignore_errors=True)
