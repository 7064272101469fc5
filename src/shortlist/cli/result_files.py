"""Files that a command writes next to its bundle: whether they can be written is asked before the work, which takes long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from shortlist.errors import ConfigError

__all__ = ["check_result_file", "write_result_file"]

Unwritable: TypeAlias = Callable[[Path, OSError], ConfigError]


def check_result_file(path: Path, unwritable: Unwritable) -> None:
    """Raise the error that ``unwritable`` makes where no file can be written to ``path``."""
    from shortlist.store import check_writable_file

    try:
        check_writable_file(path)
    except OSError as error:
        raise unwritable(path, error) from error


def write_result_file(path: Path, text: str, unwritable: Unwritable) -> None:
    """Write a text, whole or not at all; raise the error that ``unwritable`` makes where the disk refuses."""
    from shortlist.store import write_result

    try:
        write_result(path, text.encode())
    except OSError as error:
        raise unwritable(path, error) from error
