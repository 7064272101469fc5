"""The files of the impression log: lines with checksums, read back as far as they were acknowledged."""

from __future__ import annotations

import contextlib
import errno
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from shortlist.errors import BundleError
from shortlist.serve.journal import LogGoneError
from shortlist.serve.log_lines import lines_of
from shortlist.store import make_folder, sync

__all__ = ["FOLDER", "Segment", "prune", "records_of", "segments"]

FOLDER = "impressions"
SUFFIX = ".log"


class Segment:
    """A file of the log that this process alone appends to.

    A line is eight hexadecimal digits, a space, and JSON; the digits are the CRC-32 of the JSON, continued from the
    line before. A process never appends to a file that another one began, so each file may end in an incomplete line.

    Args:
        folder: of the log; it is made if it is missing.

    Attributes:
        size: its bytes.

    Raises:
        OSError: when it cannot be made; then there is none.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        last = max((int(path.stem) for path in segments(folder)), default=0)
        made = None
        while made is None:
            last += 1
            made = _made(folder / f"{last:08d}{SUFFIX}")
        self.path, self._file = folder / f"{last:08d}{SUFFIX}", made
        self.size = self._chain = 0
        try:
            sync(folder)
        except BaseException:  # the next request makes another one
            with contextlib.suppress(OSError):
                self.path.unlink()
            self.close()
            raise

    @property
    def whole(self) -> bool:
        """Whether the file is where it was, and as it was written: another program may have removed or cut it off."""
        return self._has(self.size)

    def _has(self, size: int) -> bool:
        with contextlib.suppress(OSError):
            held = os.fstat(self._file)
            return held.st_size == size and os.path.samestat(os.stat(self.path), held)
        return False

    def append(self, records: Sequence[dict[str, Any]], pause: Callable[[], object] = lambda: None) -> None:
        """Write records and bring them to the disk.

        Args:
            records: in their order.
            pause: called between parts of the work.

        Raises:
            OSError: when that fails; then none of them is in the file.
            LogGoneError: when the file is no longer at its path, or was cut off.
        """
        chain, content = lines_of(records, self._chain, pause)
        try:
            done = 0
            while done < len(content):
                done += os.pwrite(self._file, content[done:], self.size + done)
            os.fsync(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self.size)
                os.fsync(self._file)
            raise
        if not self._has(self.size + len(content)):  # lines in a file that is no longer at its path are not in the log
            raise LogGoneError(errno.ESTALE, "the file was removed, replaced or cut off")
        self._chain, self.size = chain, self.size + len(content)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def segments(folder: Path) -> list[Path]:
    """The files of a log, oldest first."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())


def records_of(path: Path) -> Iterator[dict[str, Any]]:
    """The records of one file, without an incomplete last line.

    Raises:
        BundleError: for a file that was altered.
    """
    chain, place = 0, 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            chain = zlib.crc32(line[9:-1], chain)
            record = None
            if line[:9] == b"%08x " % chain:
                with contextlib.suppress(msgspec.DecodeError):
                    record = msgspec.json.decode(line[9:-1], type=dict[str, Any])
            if record is None:
                raise BundleError(
                    f"the impression log {str(path)!r} was altered at byte {place:,}.",
                    hint="restore a copy, or move the file away, which loses its impressions",
                )
            place += len(line)
            yield record


def prune(folder: Path, most: int) -> int:
    """Delete the oldest files until the rest has at most ``most`` bytes. Files in use stay.

    Returns:
        How many were deleted.
    """
    sizes: dict[Path, int] = {}
    for path in segments(folder):
        with contextlib.suppress(FileNotFoundError):  # another process has deleted it
            sizes[path] = path.stat().st_size
    total, deleted = sum(sizes.values()), 0
    for path, size in sizes.items():
        if total <= most:
            break
        if not _deleted(path):
            continue
        total, deleted = total - size, deleted + 1
    return deleted


def _made(path: Path) -> int | None:
    """A new file, locked; None where there is one, and where another process deletes it before it is locked."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return None
    try:
        _lock(file)
        if os.fstat(file).st_nlink:
            return file
    except BlockingIOError:
        pass
    except BaseException:
        os.close(file)
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    os.close(file)
    return None


def _deleted(path: Path) -> bool:
    """Whether a file is gone now; one that a process uses stays."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    except OSError:  # no descriptor left, or no right to read it: nothing is known of it
        return False
    try:
        _lock(file)
        with contextlib.suppress(PermissionError):  # Windows deletes no file that is open
            path.unlink(missing_ok=True)  # while it is locked: nobody begins to use it
            return True
    except OSError:
        return False
    finally:
        os.close(file)
    path.unlink(missing_ok=True)
    return True


def _lock(file: int) -> None:
    """Lock a file until it is closed.

    Raises:
        OSError: when another process holds it.
    """
    with contextlib.suppress(ImportError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
