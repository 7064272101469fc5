"""Writes the record anew, after a change of behaviour that is meant: ``python -m tests.proof.record``.

The parts to write may be named (``python -m tests.proof.record lists replies``); the others stay as they were.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.proof.calls import PARTS
from tests.proof.comparing import machine

__all__ = ["RECORD", "plain", "read"]

RECORD = Path(__file__).with_name("record.json")


def read() -> dict[str, Any]:
    """The record: the machine that made it, and its parts."""
    record: dict[str, Any] = json.loads(RECORD.read_text())
    return record


def plain(part: Any) -> Any:
    """As it is once it was written and read."""
    return json.loads(json.dumps(part))


def main(names: list[str]) -> None:
    """Makes the parts and writes the file."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        sys.exit(f"there is no part {', '.join(unknown)}; known: {', '.join(PARTS)}.")
    old: dict[str, Any] = read() if RECORD.exists() else {"parts": {}}
    now = machine()
    if names and old.get("machine") != now:
        sys.exit("the record is of another machine: write all parts.")
    parts = {name: make() if not names or name in names else old["parts"][name] for name, make in PARTS.items()}
    lines = [f"{json.dumps(name)}: {{\n" + ",\n".join(_lines(part)) + "\n}" for name, part in parts.items()]
    RECORD.write_text(f'{{"machine": {json.dumps(now)},\n"parts": {{\n' + ",\n".join(lines) + "\n}}\n")


def _lines(part: dict[str, Any]) -> list[str]:
    """A line for each call, so that a difference is small to read."""
    return [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in part.items()]


if __name__ == "__main__":
    import os

    if os.environ.get("OMP_NUM_THREADS") != "1":
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.proof.record", *sys.argv[1:]],
            {**os.environ, "OMP_NUM_THREADS": "1"},
        )
    main(sys.argv[1:])
