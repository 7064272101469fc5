"""A disk that fails, or a process that dies, at a chosen call of the file system."""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import resource
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shortlist.store import folder as rooms

TAKES_SPACE = ("fsync", "replace", "rename", "mkdir", "symlink")
REMOVES = ("unlink", "rmdir")


class Killed(BaseException):
    """The process is gone: whatever it would do on the way out does not happen either."""


class Calls:
    """Counts calls of the file system, and lets the one of number ``at`` (from 0) fail.

    kill: with it everything after that call fails too, and what was not brought to the disk is lost: a file is left with
    half of its content. Without it that call alone fails, for want of space.
    """

    def __init__(self, at: int | None, kill: bool = False) -> None:
        self.at, self.kill = at, kill
        self.count = 0
        self.dead = False

    @property
    def failed(self) -> bool:
        """Whether the call was made."""
        return self.at is not None and self.count > self.at

    def step(self, spoil: Callable[[], Any] = lambda: None) -> None:
        if self.dead:
            raise Killed
        self.count += 1
        if self.at is None or self.count != self.at + 1:
            return
        if self.kill:
            self.dead = True
            spoil()
            raise Killed
        raise OSError(errno.ENOSPC, "No space left on device")


class _Written:
    """A file open for writing, every write a call of its own."""

    def __init__(self, file: Any, calls: Calls) -> None:
        self._file, self._calls = file, calls

    def write(self, content: Any) -> Any:
        def half() -> None:
            self._file.write(content[: len(content) // 2])
            self._file.flush()

        self._calls.step(half)
        return self._file.write(content)

    def __enter__(self) -> _Written:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextlib.contextmanager
def counted(calls: Calls) -> Iterator[None]:
    """Within the block, the calls of the file system are those of ``calls``."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (*TAKES_SPACE, *(REMOVES if calls.kill else ())):
            patch.setattr(os, name, _stepping(getattr(os, name), calls))
        for module in (io, builtins):
            patch.setattr(module, "open", _opening(module.open, calls))
        yield


def _stepping(call: Callable[..., Any], calls: Calls) -> Callable[..., Any]:
    def stepping(*arguments: Any, **options: Any) -> Any:
        def lose() -> None:
            if call is REAL_FSYNC:
                _halve(arguments[0])

        calls.step(lose)
        return call(*arguments, **options)

    return stepping


def _opening(call: Callable[..., Any], calls: Calls) -> Callable[..., Any]:
    def opening(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if not set("wax+") & set(mode) or isinstance(file, int):
            return call(file, mode, *arguments, **options)
        calls.step()
        return _Written(call(file, mode, *arguments, **options), calls)

    return opening


REAL_FSYNC = os.fsync


def _halve(handle: int) -> None:
    if stat.S_ISREG(os.fstat(handle).st_mode):
        path = os.readlink(f"/proc/self/fd/{handle}")
        os.truncate(path, os.path.getsize(path) // 2)


@contextlib.contextmanager
def power_cut_safe() -> Iterator[None]:
    """Within the block: AssertionError where anything is renamed before it is on the disk, or a name is not brought there."""
    synced: set[int] = set()
    pending: dict[str, int] = {}
    real = {name: getattr(os, name) for name in ("fsync", "replace", "rename")}
    swap = rooms._swapped

    def fsync(handle: int) -> None:
        real["fsync"](handle)
        inode = os.fstat(handle).st_ino
        synced.add(inode)
        for name in [name for name, parent in pending.items() if parent == inode]:
            del pending[name]

    def check(source: Any, target: Any) -> None:
        moved = Path(source)
        paths = [] if moved.is_symlink() else [moved, *moved.rglob("*")]
        late = [path for path in paths if path.stat().st_ino not in synced]
        assert late == [], f"renamed before they were on the disk: {late}"
        pending[str(target)] = os.stat(os.path.dirname(os.path.abspath(target))).st_ino

    def renaming(name: str) -> Callable[..., Any]:
        def renamed(source: Any, target: Any, **options: Any) -> Any:
            check(source, target)
            return real[name](source, target, **options)

        return renamed

    def swapped(first: Path, second: Path) -> bool:
        check(first, second)
        return swap(first, second)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "replace", renaming("replace"))
        patch.setattr(os, "rename", renaming("rename"))
        patch.setattr(rooms, "_swapped", swapped)
        yield
    assert pending == {}, "names that are not on the disk"


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file grows beyond ``size`` bytes, whoever writes it: this process, or a native library."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
