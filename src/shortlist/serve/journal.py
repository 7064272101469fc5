"""The log of changes: a line for each, with a chained checksum, on the disk before it is acknowledged."""

from __future__ import annotations

import contextlib
import errno
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from shortlist.errors import BundleError, ConfigError
from shortlist.serve.log_lines import lines_of
from shortlist.store import make_folder

__all__ = ["Journal", "LogGoneError", "ShorterLog"]

NAME = "changes.log"
MOVED = "changes.log.aside"
SHORTER, RESTORED = f".{NAME}.writing", f".{NAME}.restoring"  # a log that is written next to it, to take its place
_DECODER = msgspec.json.Decoder(dict[str, Any])
_ALL = msgspec.json.Decoder(list[dict[str, Any]])
CHUNK = 1 << 20  # bytes that are read at a time
CATCH_UPS = 10  # times that what a journal got meanwhile is copied, each faster than the last, until little is left
LINES = 500  # copied between two pauses, in half a millisecond where they are short


class Journal:
    """The file ``changes.log`` in a folder, held by one process.

    A line is eight hexadecimal digits, a space, and JSON; the digits are the CRC-32 of the JSON, continued from the
    line before, so that an altered, lost or moved line is found. An incomplete last line, left by a crash, was never
    acknowledged and is removed.

    Args:
        folder: made if it is missing.

    Attributes:
        size: its bytes.
        weight: the number of its records and of their entries.

    Raises:
        ConfigError: when another process holds it, or the folder cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._chain = 0
        self.size = self.weight = 0
        self._folder = self._file = -1
        self._renamed = False  # whether the file has taken its name, which may not be on the disk yet
        try:
            self._open()
        except BlockingIOError:
            raise ConfigError(
                f"another server writes to {str(self.path)!r}.", hint="give each server its own --state folder"
            ) from None
        except OSError as error:
            raise ConfigError(
                f"cannot open the change log {str(self.path)!r}: {error.strerror}.",
                hint="start one server for each --state folder, that it may write to",
            ) from None

    def _open(self) -> None:
        """Open and lock the folder and the file, which is made if it is missing.

        Raises:
            OSError: when that fails.
        """
        self._lock_folder()
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            _lock(self._file)
            for left in (SHORTER, RESTORED):  # by a process that was killed
                with contextlib.suppress(OSError):
                    self.path.with_name(left).unlink()
            self.sync_folder()
        except BaseException:
            self.close()
            raise

    def sync_folder(self) -> None:
        """Bring the names of files to the disk.

        Raises:
            OSError: when that fails.
        """
        os.fsync(self._folder)
        self._renamed = False

    def _lock_folder(self) -> None:
        """Lock the folder that is at its path now, whatever happens to the files in it.

        Raises:
            OSError: when that fails.
        """
        make_folder(self.path.parent)
        found = os.open(self.path.parent, os.O_RDONLY)
        try:
            if self._folder >= 0 and os.path.samestat(os.fstat(found), os.fstat(self._folder)):
                os.close(found)
                return
            _lock(found)
        except BaseException:
            os.close(found)
            raise
        if self._folder >= 0:
            os.close(self._folder)
        self._folder = found

    def read(self) -> Iterator[dict[str, Any]]:
        """Every record, once, at the start.

        Raises:
            BundleError: for a log that was altered.
        """
        left = b""
        while part := os.pread(self._file, CHUNK, self.size + len(left)):
            *lines, left = (left + part).split(b"\n")
            records, self._chain = self._checked(lines)
            self.size += sum(map(len, lines)) + len(lines)
            self.weight += sum(map(_weight, records))
            yield from records
        if left:
            os.ftruncate(self._file, self.size)
            os.fsync(self._file)

    def _checked(self, lines: Sequence[bytes]) -> tuple[list[dict[str, Any]], int]:
        """The records of the next lines, and the checksum of the last.

        Raises:
            BundleError: for lines that were altered.
        """
        texts, chain = [line[9:] for line in lines], self._chain
        for number, (line, text) in enumerate(zip(lines, texts, strict=True)):
            chain = zlib.crc32(text, chain)
            if line[:9] != b"%08x " % chain:
                raise self._altered(lines[:number])
        with contextlib.suppress(msgspec.DecodeError):
            records = _ALL.decode(b"[" + b",".join(texts) + b"]")  # in one call, which takes half the time
            if len(records) == len(texts):
                return records, chain
        records = []
        for number, text in enumerate(texts):
            try:
                records.append(_DECODER.decode(text))
            except msgspec.DecodeError:
                raise self._altered(lines[:number]) from None
        return records, chain

    def _altered(self, before: Sequence[bytes]) -> BundleError:
        """The error of a line, by the lines before it that were not counted yet."""
        at = self.size + sum(map(len, before)) + len(before)
        return BundleError(
            f"the change log {str(self.path)!r} was altered at byte {at:,}.",
            hint="restore a copy, or move the file away, which loses its changes",
        )

    def append(self, records: Sequence[dict[str, Any]], pause: Callable[[], object] = lambda: None) -> None:
        """Write records and bring them to the disk.

        Args:
            records: in their order.
            pause: called between parts of the work.

        Raises:
            OSError: when that fails; then none of them is in the log.
            LogGoneError: when the file at ``path`` is not, or no longer, the whole log: see ``restore``.
        """
        self.check()
        if self._renamed:  # else a power cut could bring back the file that had the name before
            self.sync_folder()
        chain, content = lines_of(records, self._chain, pause)
        try:
            _write(self._file, content)
            os.fsync(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self.size)
                os.fsync(self._file)
            raise
        self.check(len(content))  # a line in a file that is no longer at the path is not in the log
        self._chain, self.size = chain, self.size + len(content)
        self.weight += sum(map(_weight, records))

    def check(self, added: int = 0) -> None:
        """Check that the log is the one that was written.

        Raises:
            LogGoneError: when another program removed, moved, replaced or truncated it.
        """
        try:
            there, held = os.stat(self.path), os.fstat(self._file)
        except OSError:
            raise LogGoneError(errno.ENOENT, "the log was removed") from None
        if not os.path.samestat(there, held) or held.st_size != self.size + added:
            raise LogGoneError(errno.ESTALE, "the log was replaced or cut off")

    def restore(self, records: Iterable[dict[str, Any]]) -> None:
        """Put a log of ``records`` in the place of a missing one; another file there is moved to ``changes.log.aside``.

        The other file keeps its name until the log is written: the next start must not begin with an empty log.

        Raises:
            OSError: when the folder cannot be written to, or another process has locked it since.
        """
        self._lock_folder()
        restored = ShorterLog(self, records, RESTORED)
        restored.write(lambda: None)
        try:
            self._keep_other_file()
        except BaseException:
            restored.discard()
            raise
        restored.replace_log(follow=False)

    def _keep_other_file(self) -> None:
        """Give a file that is in the log's place another name, too, or move it there where a file has one name alone.

        Raises:
            OSError: when that fails.
        """
        moved, link = self.path.with_name(MOVED), self.path.with_name(f".{MOVED}")
        with contextlib.suppress(FileNotFoundError):
            if not os.stat(self.path).st_size:
                return
            link.unlink(missing_ok=True)
            try:
                os.link(self.path, link)
            except FileNotFoundError:
                raise
            except OSError:
                os.replace(self.path, moved)
                return
            os.replace(link, moved)
            link.unlink(missing_ok=True)  # it stays where both were one file already

    def close(self) -> None:
        """Close the file and the folder."""
        for one in (self._file, self._folder):
            if one >= 0:
                os.close(one)
        self._file = self._folder = -1


class LogGoneError(OSError):
    """The file of the log is not where it was, or not what it was."""


class ShorterLog:
    """A shorter log with the same result as a journal's records so far, written next to it while it grows.

    1. ``write``: the shorter records, and those that the journal got meanwhile; in any thread.
    2. ``replace_log``: the few that it got since then; then the shorter one takes its place. In the journal's own thread, as
       the construction.

    Records that the journal gets meanwhile are copied line by line, with other checksums: decoding them would take twenty times as
    long, so that a busy journal could grow faster than it is copied.

    Args:
        journal: the log.
        records: with the same result as all that it has now.
        scratch: the file's name until then. Two that are written at a time have different ones.
    """

    def __init__(self, journal: Journal, records: Iterable[dict[str, Any]], scratch: str = SHORTER) -> None:
        self._journal = journal
        self._source = os.dup(journal._file)  # as it is now, whatever takes its place
        self._records = records
        self._copied, self._checked, self._before = journal.size, journal._chain, journal.weight
        self._scratch = journal.path.with_name(scratch)
        try:
            self._file = os.open(self._scratch, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        except OSError:
            os.close(self._source)
            raise
        self._chain = self._size = self._weight = 0

    def write(self, pause: Callable[[], None]) -> None:
        """Write it to the disk.

        Args:
            pause: called after each step of about a millisecond.

        Raises:
            OSError: when that fails.
        """
        try:
            for record in self._records:
                self._chain, content = lines_of([record], self._chain)
                self._add(content)
                self._weight += _weight(record)
                pause()
            for _ in range(CATCH_UPS):
                self._copy_new(pause)
                os.fsync(self._file)
                if self._journal.size - self._copied <= CHUNK:
                    break
        except BaseException:
            self.discard()
            raise

    def _add(self, content: bytes) -> None:
        _write(self._file, content)
        self._size += len(content)

    def _copy_new(self, pause: Callable[[], None]) -> None:
        """Copy the lines that the journal has now and had not before.

        Raises:
            OSError: when that fails, and for lines that were altered.
        """
        left = b""
        end = self._journal.size
        while self._copied + len(left) < end:
            at = self._copied + len(left)
            part = os.pread(self._source, min(CHUNK, end - at), at)
            if not part:
                raise LogGoneError(errno.ESTALE, "the log was replaced or cut off")
            *lines, left = (left + part).split(b"\n")
            copies = []
            for number, line in enumerate(lines):
                if number and number % LINES == 0:
                    pause()
                text = line[9:]
                self._checked = zlib.crc32(text, self._checked)
                if line[:9] != b"%08x " % self._checked:  # else its copy would count as whole
                    raise OSError(errno.EIO, "the log was altered")
                self._chain = zlib.crc32(text, self._chain)
                copies.append(b"%08x %s\n" % (self._chain, text))
                self._copied += len(line) + 1
            self._add(b"".join(copies))
            pause()

    def replace_log(self, follow: bool = True) -> None:
        """Take the journal's place.

        Raises:
            OSError: when that fails; then the journal is as it was.
        """
        journal = self._journal
        try:
            if follow:
                journal.check()
                if not os.path.samestat(os.fstat(self._source), os.fstat(journal._file)):
                    raise LogGoneError(errno.ESTALE, "the log was replaced")
                self._copy_new(lambda: None)
                os.fsync(self._file)
            _lock(self._file)
            os.replace(self._scratch, journal.path)
        except BaseException:
            self.discard()
            raise
        os.close(self._source)
        os.close(journal._file)
        journal._file = self._file
        journal._chain, journal.size = self._chain, self._size
        journal.weight += self._weight - self._before
        journal._renamed = True
        with contextlib.suppress(OSError):  # then the next record has to wait for it
            journal.sync_folder()

    def discard(self) -> None:
        """Leave the journal as it is."""
        os.close(self._file)
        os.close(self._source)
        with contextlib.suppress(OSError):
            self._scratch.unlink()


def _weight(record: dict[str, Any]) -> int:
    """Entries of a record, and one for itself: the cost of reading it."""
    if record["op"] == "events":
        return 1 + len(record["events"])
    return 1 + len(record["upsert"]) + len(record["delete"]) + len(record["expire"])


def _write(file: int, content: bytes) -> None:
    done = 0
    while done < len(content):
        done += os.write(file, content[done:])


def _lock(file: int) -> None:
    """Lock a file or folder until it is closed.

    Raises:
        BlockingIOError: when another process holds it.
    """
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a file system that locks no folders
            pass
