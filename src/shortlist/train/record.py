"""A record of how a model was trained: its data, recipe, seed, versions and commit, as values that a bundle keeps."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from importlib import metadata
from typing import Any

import numpy as np

from shortlist._public import __version__
from shortlist.data import Dataset, Shards
from shortlist.features.stable_hash import column_bytes

__all__ = ["data_fingerprint", "plain_time", "run_record"]

PACKAGES = ("torch", "polars", "numpy", "turbovec", "scann", "faiss-cpu")


def run_record(train: Dataset | Shards, seed: int) -> dict[str, Any]:
    """The record of a training run, as JSON values.

    - seed.
    - data: its ``fingerprint``, how many ``interactions``, ``queries`` and ``candidates``, and the times ``since`` and
      ``until``, if there are times.
    - versions: of shortlist, Python, the platform and of those of ``PACKAGES`` that are installed.
    - commit: of the repository that the run was started in, with ``+changes`` where some are uncommitted; None outside a repository. The
      environment variable ``SHORTLIST_COMMIT`` gives it where there is no repository, as in a container.
    """
    data: dict[str, Any] = {
        "fingerprint": data_fingerprint(train),
        "interactions": len(train),
        "queries": len(train.queries),
        "candidates": len(train.candidates),
    }
    if isinstance(train, Shards) and train.timestamp is not None:
        data |= {"since": plain_time(train.since), "until": plain_time(train.until)}
    elif isinstance(train, Dataset) and train.timestamp is not None:
        times = train.times
        data |= {"since": plain_time(times.min()), "until": plain_time(times.max())}
    versions = {"shortlist": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {"seed": seed, "data": data, "versions": versions, "commit": _commit()}


def data_fingerprint(train: Dataset | Shards) -> str:
    """sha256 over the interactions in their order (ids, weights, times) and both tables; for shards, over their fingerprint, their
    length and how often each query and candidate occurs.

    It depends on values and on names and types of columns: not on the file they came from, nor on the machine.
    """
    if isinstance(train, Shards):
        digest = hashlib.sha256(f"shards {train.fingerprint} {len(train)}".encode())
        digest.update(train.query_counts.tobytes() + train.candidate_counts.tobytes())
        return digest.hexdigest()
    digest = hashlib.sha256(repr((train.query, train.candidate, train.timestamp, train.weight)).encode())
    for rows in (train.query_rows, train.candidate_rows):
        digest.update(np.ascontiguousarray(rows, "<i4").tobytes())
    for table in (train.interactions, train.queries, train.candidates):
        for name in sorted(table.columns):
            if table is train.interactions and name in (train.query, train.candidate):
                continue
            digest.update(repr((name, str(table.schema[name]), len(table))).encode())
            digest.update(column_bytes(table[name]))
    return digest.hexdigest()


def plain_time(value: Any) -> Any:
    """A time as a JSON value: a number as it is, a date or a datetime as text."""
    return value if isinstance(value, (int, float)) else str(value)


def _commit() -> str | None:
    commit = os.environ.get("SHORTLIST_COMMIT")
    if commit:
        return commit
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10)
        status = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+changes" if status.stdout.strip() else "")
