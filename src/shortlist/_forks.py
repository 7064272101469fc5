"""Forks. Polars, torch and Faiss work with threads, which a forked process does not inherit: there they would wait for ever."""

from __future__ import annotations

import os

__all__ = ["refuse_after_fork"]

_used_by: int | None = None  # the first process that worked with threads here


def refuse_after_fork(what: str) -> None:
    """Note that this process works with native threads. Called wherever that begins.

    Raises:
        ConfigError: in a process that was forked from one which had worked with them.
    """
    global _used_by
    process = os.getpid()
    if _used_by is None:
        _used_by = process
    elif _used_by != process:
        from shortlist.errors import ConfigError

        raise ConfigError(
            f"{what} cannot run here: this process was forked from one that had already used shortlist, and the threads of "
            "Polars, torch and Faiss do not survive a fork.",
            hint="start processes with multiprocessing.get_context('spawn') or 'forkserver', or fork before the first use",
        )
