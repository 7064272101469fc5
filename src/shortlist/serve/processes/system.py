"""Calls to the operating system for the supervisor."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import os
import re
import signal
import sys
from pathlib import Path

__all__ = ["Lines", "die_with", "end", "kill", "own_memory", "reaped"]

_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_OWN = re.compile(rb"^(?:Pss_Anon|SwapPss):\s+(\d+) kB$", re.MULTILINE)


class Lines(io.TextIOBase):
    """Standard error, written so that lines of several processes do not mix: whole lines, as many as a pipe takes at once."""

    AT_ONCE = 4096  # bytes that a pipe takes in one piece
    _cut = False  # whether a disk took a part of the last line

    def fileno(self) -> int:
        """The descriptor."""
        return 2

    def write(self, text: str) -> int:
        """Write lines.

        Raises:
            OSError: where not all of them can be written; the next line is one of its own nevertheless.
        """
        piece = b""
        for line in text.encode().splitlines(keepends=True):
            if piece and len(piece) + len(line) > self.AT_ONCE:
                self._put(piece)
                piece = b""
            piece += line
        self._put(piece)
        return len(text)

    def _put(self, piece: bytes) -> None:
        piece = b"\n" * self._cut + piece
        done = os.write(2, piece)
        if done:
            self._cut = piece[done - 1 : done] != b"\n"
        if done < len(piece):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def die_with(parent: int) -> None:
    """Have Linux kill this process when its parent ends; elsewhere it ends when it sees its channel closed."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before
            os._exit(1)


def kill(pid: int) -> None:
    """End a child at once."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def end(pid: int) -> None:
    """Ask a child to end."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def reaped(pid: int) -> int:
    """The exit code of a child that has ended; below 0 for the signal that ended it."""
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:
        return 0
    return os.waitstatus_to_exitcode(status)


def own_memory(pid: int) -> int:
    """Bytes that no file holds, shared ones in equal parts; 0 if the system does not report them."""
    try:
        content = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
    except OSError:
        return 0
    return sum(int(number) for number in _OWN.findall(content)) << 10
