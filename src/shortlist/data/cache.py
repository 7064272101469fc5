"""A folder of small Parquet files per dataset: put in its place in one step, verified on every read."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from shortlist.errors import ConfigError
from shortlist.store import new_folder, read_file

__all__ = ["default_cache", "load", "store"]

FORMAT = 1
MANIFEST = "manifest.json"
LIMIT = 1 << 40  # bytes of a table


def default_cache() -> Path:
    """``$SHORTLIST_CACHE``, else ``$XDG_CACHE_HOME/shortlist``, else ``~/.cache/shortlist``.

    Raises:
        ConfigError: where neither variable is set, and this user has no home folder.
    """
    if own := os.environ.get("SHORTLIST_CACHE"):
        return Path(os.path.expanduser(own))
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "shortlist"
    home = os.path.expanduser("~")
    if home == "~":
        raise ConfigError(
            "there is no folder to keep downloads in: this user has no home folder.",
            hint="set SHORTLIST_CACHE to a folder that can be written to",
        )
    return Path(home) / ".cache" / "shortlist"


def store(folder: Path, tables: Mapping[str, pl.DataFrame]) -> None:
    """Writes ``tables`` as ``folder``, replacing it as a whole.

    Raises:
        OSError: when that place cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(folder) as scratch:
        digests = {}
        for name, frame in tables.items():
            buffer = io.BytesIO()
            frame.write_parquet(buffer, compression="zstd")
            content = buffer.getvalue()
            digests[name] = hashlib.sha256(content).hexdigest()
            (scratch / f"{name}.parquet").write_bytes(content)
        (scratch / MANIFEST).write_text(json.dumps({"format": FORMAT, "sha256": digests}, indent=2), encoding="utf-8")


def load(folder: Path) -> dict[str, pl.DataFrame] | None:
    """The tables stored as ``folder``, or None when there are none, or they were altered."""
    try:
        manifest = json.loads(read_file(folder / MANIFEST))
        if manifest["format"] != FORMAT:
            return None
        tables = {}
        for name, digest in manifest["sha256"].items():
            content = read_file(folder / f"{name}.parquet", LIMIT)
            if hashlib.sha256(content).hexdigest() != digest:
                return None
            tables[name] = pl.read_parquet(content)
        return tables
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, pl.exceptions.PolarsError):
        return None
