"""The log of changes: a line for each, checksummed as a chain, on the disk before it is acknowledged."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from shortlist.errors import BundleError, ConfigError
from shortlist.store import sync

__all__ = ["Journal"]

NAME = "changes.log"


class Journal:
    """The file ``changes.log`` in a folder, held by one process.

    A line is eight hexadecimal digits, a space, and JSON; the digits are the CRC-32 of the JSON begun with the line
    before's, so that a line altered, lost or moved is found. A last line that was cut off by a crash was never
    acknowledged, and is taken away.

    Raises ConfigError where another process holds it or the folder cannot be opened, BundleError for a log that was altered.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.records: list[dict[str, Any]] = []
        self._chain = 0
        self._size = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(
                f"cannot open the change log {str(self.path)!r}: {error.strerror}.",
                hint="start one server for each --state folder, that it may write to",
            ) from None
        try:
            self._hold()
            self._read()
            sync(folder)
        except BaseException:
            os.close(self._file)
            raise

    def _hold(self) -> None:
        with contextlib.suppress(ImportError):
            import fcntl

            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(
                    f"another server writes to {str(self.path)!r}.", hint="give each server its own --state folder"
                ) from None

    def _read(self) -> None:
        content = self.path.read_bytes()
        for line in content.split(b"\n")[:-1]:
            record = self._decoded(line)
            if record is None:
                break
            self.records.append(record)
            self._chain = int(line[:8], 16)
            self._size += len(line) + 1
        rest = content[self._size :]
        if b"\n" in rest:
            raise BundleError(
                f"the change log {str(self.path)!r} was altered at byte {self._size:,}.",
                hint="restore a copy, or move the file away, which loses its changes",
            )
        if rest:
            os.ftruncate(self._file, self._size)
            os.fsync(self._file)

    def _decoded(self, line: bytes) -> dict[str, Any] | None:
        """The line's record; None if it is not a whole line after the one before."""
        if line[:9] != b"%08x " % zlib.crc32(line[9:], self._chain):
            return None
        try:
            return msgspec.json.decode(line[9:], type=dict[str, Any])
        except msgspec.DecodeError:
            return None

    def append(self, records: Sequence[dict[str, Any]]) -> None:
        """Write records and bring them to the disk. OSError where that fails; then none of them is in the log."""
        chain, lines = self._chain, []
        for record in records:
            text = msgspec.json.encode(record)
            chain = zlib.crc32(text, chain)
            lines.append(b"%08x %s\n" % (chain, text))
        content = b"".join(lines)
        try:
            done = 0
            while done < len(content):
                done += os.pwrite(self._file, content[done:], self._size + done)
            os.fsync(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
                os.fsync(self._file)
            raise
        self._chain, self._size = chain, self._size + len(content)

    def rewrite(self, records: Sequence[dict[str, Any]]) -> None:
        """Put a shorter log that says the same in this one's place, in one step."""
        beside = self.path.with_name(f".{NAME}.writing")
        chain, lines = 0, []
        for record in records:
            text = msgspec.json.encode(record)
            chain = zlib.crc32(text, chain)
            lines.append(b"%08x %s\n" % (chain, text))
        file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        old = self._file
        try:
            content = b"".join(lines)
            done = 0
            while done < len(content):
                done += os.write(file, content[done:])
            os.fsync(file)
            self._file = file
            self._hold()
            os.rename(beside, self.path)
        except BaseException:
            self._file = old
            os.close(file)
            raise
        os.close(old)
        sync(self.path.parent)
        self._chain, self._size, self.records = chain, len(content), list(records)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
