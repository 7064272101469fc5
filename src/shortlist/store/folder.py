"""One folder: checked against its manifest, replaced in one step, or added to while others read it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import re
import secrets
import shutil
import sys
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shortlist.store.disk import (
    DamageError,
    Entry,
    NamedEntry,
    digests,
    in_one_step,
    is_plain,
    is_written_in_place,
    sync,
)
from shortlist.store.seals import checksum

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "Additions",
    "Mark",
    "check",
    "check_names",
    "check_writable",
    "check_writable_file",
    "entries_of",
    "in_use",
    "locked",
    "new_folder",
    "set_aside",
    "using",
]


# Reading.


def plain_files(folder: Path) -> list[Path]:
    """Every file below ``folder``, in order. DamageError for a link or anything else that is not a plain file or folder."""
    files: list[Path] = []
    for path in sorted(folder.iterdir()):
        if is_plain(path):
            files.append(path)
        elif path.is_dir() and not path.is_symlink():
            files += plain_files(path)
        else:
            raise DamageError(f"{str(path)!r} is a link or a special file; a plain file was expected.")
    return files


def entries_of(folder: Path, known: Mapping[str, Entry] | None = None) -> dict[str, Entry]:
    """The entry of every file below ``folder``, by its path there. DamageError for anything but plain files and folders.

    Args:
        known: entries of files that were read since they were written, and are not read again.
    """
    known = known or {}
    names = {path.relative_to(folder).as_posix(): path for path in plain_files(folder)}
    new = [name for name in names if name not in known]
    found = dict(zip(new, digests([names[name] for name in new]), strict=True))
    return {
        name: known[name] if name in known else Entry(bytes=path.stat().st_size, sha256=found[name])
        for name, path in names.items()
    }


def check_names(folder: Path, names: Collection[str], manifest: str) -> None:
    """DamageError unless the folder holds the files of ``names`` and the manifest, and nothing else."""
    found = {path.relative_to(folder).as_posix() for path in plain_files(folder)} - {manifest}
    for name in sorted(found - set(names)):
        raise DamageError(f"{str(folder)!r} holds {name!r}, which its manifest does not name.")


def check(
    folder: Path,
    entries: Mapping[str, Entry],
    read: Callable[[str], bool] = lambda name: True,
    pause: Callable[[], None] | None = None,
) -> None:
    """DamageError unless each file of a manifest is there as it was written.

    Args:
        read: which files are compared by their sha256; of the others the size alone.
        pause: called before each file is read, so that other threads can run; then one file is read at a time.
    """
    for name, entry in entries.items():
        path = folder / name
        if "\\" in name or not {"", ".", ".."}.isdisjoint(name.split("/")):
            raise DamageError(f"the manifest of {str(folder)!r} names {name!r}, which is outside the folder.")
        if not os.path.lexists(path):
            raise DamageError(f"{str(path)!r} is missing.")
        if not is_plain(path):
            raise DamageError(f"{str(path)!r} is a link or a special file; a plain file was expected.")
        size = path.stat().st_size
        if size != entry.bytes:
            raise DamageError(f"{str(path)!r} has {size:,} bytes; {entry.bytes:,} were saved.")
    names = [name for name in entries if read(name)]
    for name, found in zip(names, _digests([folder / name for name in names], pause), strict=True):
        if found != entries[name].sha256:
            raise DamageError(f"{str(folder / name)!r} was altered: its sha256 differs.")


def _digests(paths: list[Path], pause: Callable[[], None] | None) -> Iterator[str]:
    if pause is None:
        yield from digests(paths)
        return
    for path in paths:
        pause()
        yield from digests([path])


# Writing.


@contextlib.contextmanager
def locked(path: Path, wait: bool = True, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a folder or file. It is released with the process, however that ends; some file systems have no locks.

    Args:
        wait: until no other process holds it.
        shared: with others that ask for it so.

    Raises:
        OSError: where there is no such folder or file.
        BlockingIOError: where another process holds the lock and ``wait`` is false.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            import fcntl

            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except (ImportError, OSError):  # a system, or a file system, without locks
            pass
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def using(folder: Path) -> Iterator[None]:
    """Mark a folder as in use until the block ends, however it does; ``in_use`` sees it from every process.

    A folder that is missing or may not be read is not marked.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a cleaner holds the lock for a moment
            stack.enter_context(locked(folder, shared=True))
        yield


class Mark:
    """Marks a folder as in use (see ``using``) for as long as this value lives."""

    def __init__(self, folder: Path) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(using(folder))
            weakref.finalize(self, stack.pop_all().close)


def in_use(folder: Path) -> bool:
    """Whether a process is using the folder (see ``using``)."""
    try:
        with locked(folder, wait=False):
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a scratch folder next to ``path``, which it replaces when the block ends and its content is on the disk.

    An error leaves ``path`` as it was and no scratch folder; scratch folders of killed processes are removed first, and a
    folder that one of them had set aside is put back. Writers wait for each other.

    Raises:
        OSError: where the disk refuses.
        DamageError: where the block made something other than files and folders.
    """
    path = path.absolute()
    with locked(path.parent):
        _recover(path)
        scratch = path.parent / f".{path.name}.writing-{secrets.token_hex(6)}"
        try:
            scratch.mkdir()
            yield scratch
            _sync_all(scratch)
            _put(scratch, path)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def check_writable(path: Path) -> None:
    """OSError where nothing can be put at ``path``: its folder is missing or may not be written to, or the name is too long.

    Long work asks before it begins. A scratch name next to ``path`` is tried, so that what is at ``path`` stays.
    """
    path = path.absolute()
    scratch = path.parent / f".{path.name}.trying-{secrets.token_hex(6)}"
    scratch.mkdir()
    scratch.rmdir()


def check_writable_file(path: Path) -> None:
    """OSError where ``write_result`` could not write to ``path``: as ``check_writable``, and where a folder is there."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not is_written_in_place(path):
        check_writable(Path(os.path.realpath(path)))


def set_aside(path: Path) -> list[Path]:
    """Folders that were at ``path`` when a killed process was about to replace them."""
    return _next_to(path, "old") if path.parent.is_dir() else []


def _next_to(path: Path, role: str) -> list[Path]:
    start = f".{path.name}.{role}-"
    return sorted(entry for entry in path.parent.iterdir() if entry.name.startswith(start) and not entry.is_symlink())


def _recover(path: Path) -> None:
    aside = set_aside(path)
    if aside and not os.path.lexists(path):
        os.rename(aside[0], path)
        aside = aside[1:]
    for left in [*_next_to(path, "writing"), *aside]:
        shutil.rmtree(left, ignore_errors=True)


def _sync_all(folder: Path) -> None:
    for path in plain_files(folder):
        sync(path)
    for inner in [*(path for path in folder.rglob("*") if path.is_dir()), folder]:
        sync(inner)


def _put(scratch: Path, path: Path) -> None:
    """Rename ``scratch`` to ``path``. An old folder is swapped with it where the system can do that in one step, else set
    aside first. Either way it is removed last."""
    if not os.path.lexists(path):
        os.rename(scratch, path)
        sync(path.parent)
        return
    if path.is_symlink() or not path.is_dir():
        raise NotADirectoryError(f"{str(path)!r} exists and is not a folder")
    if _swapped(scratch, path):
        sync(path.parent)
        return  # ``scratch`` is now the old folder, which the caller removes
    aside = path.parent / f".{path.name}.old-{secrets.token_hex(6)}"
    os.rename(path, aside)
    try:
        os.rename(scratch, path)
    except OSError:
        os.rename(aside, path)
        raise
    try:
        sync(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _swapped(first: Path, second: Path) -> bool:
    """Swap two folders in one step; False where the system or its file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(swap(here, os.fsencode(first), here, os.fsencode(second), exchange) == 0)


class Additions:
    """New files for a folder that others may be reading: nothing they see changes until ``publish``.

    A file is named after its content, so that it never replaces one in use; the record that names the files of a version
    is renamed into place last. A context manager: it makes the folder, holds its lock, and removes its scratch folder,
    those that killed processes left, and files that were added and never published.

    Attributes:
        scratch: a folder to write files in that are then given to ``add``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scratch = folder / f".writing-{secrets.token_hex(6)}"
        self._unpublished: list[Path] = []

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            stack.enter_context(locked(self.folder))
            for left in self.folder.glob(".writing-*"):
                shutil.rmtree(left, ignore_errors=True)
            self.scratch.mkdir()
            stack.callback(shutil.rmtree, self.scratch, ignore_errors=True)
            stack.callback(self._remove_unpublished)
            self._held = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def add(self, path: Path, stem: str, suffix: str, known: Entry | None = None) -> NamedEntry:
        """Move a file of ``scratch`` to a name made of ``stem``, the start of its sha256, and ``suffix``.

        Args:
            path: the file.
            stem: the start of its new name.
            suffix: the end of its new name.
            known: its entry, if it is on the disk already (``sync``) and was read since.
        """
        if known is None:
            sync(path)
            known = Entry.of(path)
        entry = NamedEntry(name=f"{stem}-{known.sha256[:12]}{suffix}", bytes=known.bytes, sha256=known.sha256)
        place = self.folder / entry.name
        if not place.exists():  # else an earlier version has it, too
            self._unpublished.append(place)
        os.replace(path, place)
        return entry

    def publish(self, name: str, content: Mapping[str, Any], **layout: Any) -> None:
        """Write a record with its checksum, in one step.

        Args:
            layout: options of ``json.dumps``.
        """
        sync(self.folder)
        text = json.dumps({**content, "checksum": checksum(content)}, **layout) + "\n"
        added, self._unpublished = self._unpublished, []
        try:
            with in_one_step(self.folder / name, self.scratch / "record") as new:
                new.write_text(text, encoding="utf-8")
        except OSError:
            if not self._holds(name, text):
                self._unpublished = added
            raise

    def _holds(self, name: str, text: str) -> bool:
        """Whether the record is in place, or cannot be read: its files stay then."""
        try:
            return (self.folder / name).read_text(encoding="utf-8") == text
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def _remove_unpublished(self) -> None:
        for path in self._unpublished:
            with contextlib.suppress(OSError):
                path.unlink()

    def remove(self, ours: re.Pattern[str], wanted: Collection[str]) -> None:
        """Remove the files whose names match ``ours`` and are not ``wanted``; what cannot be removed stays."""
        for path in self.folder.iterdir():
            if ours.search(path.name) and path.name not in wanted:
                with contextlib.suppress(OSError):
                    path.unlink()
