"""A manifest's checksum of itself, in the three forms that formats on disk have.

zeros: JSON text with the checksum of the text that has zeros in its place (bundles).
json: a key "checksum" over the other keys (indexes, checkpoints).
first line: the checksum of what follows it (shards).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shortlist.store.disk import DamageError, read_file

__all__ = [
    "ZEROS",
    "TooNewError",
    "checksum",
    "open_first_line",
    "open_zeros",
    "read_json",
    "seal_first_line",
    "seal_zeros",
]

ZEROS = "0" * 64


class TooNewError(DamageError):
    """A file of a format that a later version of shortlist wrote."""


def seal_zeros(text: bytes) -> bytes:
    """The text with its sha256 in place of its first 64 zeros."""
    return text.replace(ZEROS.encode(), _sha256(text).encode(), 1)


def open_zeros(text: bytes, checksum: str, path: Path) -> None:
    """DamageError unless ``checksum``, which the text contains, is that of the text with zeros in its place."""
    unsealed = text.replace(checksum.encode(), ZEROS.encode(), 1) if checksum else text
    if _sha256(unsealed) != checksum:
        raise DamageError(f"{str(path)!r} was altered: its checksum differs.")


def checksum(content: Mapping[str, Any]) -> str:
    """The sha256 of ``content`` as JSON without spaces, its keys sorted: the value of "checksum" in a file of it."""
    return _sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def read_json(path: Path, newest: int) -> dict[str, Any]:
    """The content of a file with a "checksum".

    Raises:
        FileNotFoundError: where it does not exist.
        TooNewError: where "format" is above ``newest``.
        DamageError: where it is not such a file or was altered.
    """
    try:
        content = json.loads(read_file(path))
        version = content.get("format")
        if isinstance(version, int) and version > newest:
            raise TooNewError(f"{str(path)!r} has format {version}; this version of shortlist reads up to {newest}.")
        sealed = content.pop("checksum", None)
        if sealed != checksum(content):
            raise DamageError(f"{str(path)!r} was altered: its checksum differs.")
    except DamageError:
        raise
    except (AttributeError, ValueError, RecursionError) as error:
        raise DamageError(f"{str(path)!r} cannot be read: {error}.") from None
    return dict(content)


def seal_first_line(body: bytes) -> bytes:
    """The sha256 of ``body`` in a line of its own, then ``body``."""
    return _sha256(body).encode() + b"\n" + body


def open_first_line(text: bytes, path: Path) -> bytes:
    """The content after the first line, which must be its sha256; else DamageError."""
    seal, _, body = text.partition(b"\n")
    if _sha256(body).encode() != seal:
        raise DamageError(f"{str(path)!r} was altered: its checksum differs.")
    return body


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
