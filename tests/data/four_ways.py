"""One table read in memory and from disk, in Python and on the command line."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import shortlist as sl
from shortlist.cli.main import cli

WAYS = ("memory", "disk", "command line", "command line, disk")
FLAGS = {"timestamp": "--time", "weight": "--weight"}


class _ReadError(Exception):
    """Ends a command when it has read its table."""


def read(way: str, place: str | Path, roles: dict[str, str], options: dict[str, Any]) -> sl.Dataset:
    """The table at ``place`` as a Dataset. roles: timestamp and weight. options: those of ``Reading``."""
    columns = {"query": "u", "candidate": "i", **roles}
    with tempfile.TemporaryDirectory() as room:
        shards = Path(room) / "shards"
        if way == "memory":
            return sl.Dataset(place, **columns, keep=[], reading=sl.Reading(**options))
        if way == "disk":
            return sl.Shards.encode(place, shards, **columns, reading=sl.Reading(**options)).to_dataset()
        return _commanded(place, roles, options, ["--stream", "--shards", str(shards)] if "disk" in way else [])


def rows(way: str, place: str | Path, roles: dict[str, str], options: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows at ``place``: query, candidate, then those of ``roles``, in no order of their own."""
    data = read(way, place, roles, options)
    return sorted(data.interactions.select("u", "i", *(data.interactions[name] for name in roles.values())).rows())


def _commanded(place: str | Path, roles: dict[str, str], options: dict[str, Any], more: list[str]) -> sl.Dataset:
    found: list[Any] = []

    def taken(given: Any) -> None:
        found.append(given.train if isinstance(given.train, sl.Dataset) else given.train.to_dataset())
        raise _ReadError

    from shortlist.cli import training_data

    real = training_data.training_data
    words = ["train", str(place), "--query", "u", "--candidate", "i", "--out", "nowhere", "--test", "0", *more]
    words += ["--recipe", "factorization"]  # a choice would hold some rows out
    words += [word for name, column in roles.items() for word in (FLAGS[name], column)]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", ",".join(value) if name == "columns" else value]
    with patch("shortlist.cli.training.training_data", lambda *given, **named: taken(real(*given, **named))):
        try:
            cli.main(words, standalone_mode=False)
        except _ReadError:
            return found[0]
    raise AssertionError("the command read nothing")
