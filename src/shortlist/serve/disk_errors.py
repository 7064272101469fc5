"""The reply and the line of the log where a log cannot be written; their hint follows the system's reason."""

from __future__ import annotations

import errno
from typing import Any

from shortlist.serve.problems import Problem

__all__ = ["event_facts", "write_refused"]

_GONE = "send it again when the folder of --state is where it was"
_FORBIDDEN = "send it again when the server's user may write to the folder of --state"
_OPEN_FILES = "send it again when the server has fewer files open, or may open more (ulimit -n)"
_HELD = "send it again when no other server uses the folder of --state"
HINTS = {
    "ENOSPC": "send it again when the disk has space",
    "EDQUOT": "send it again when the quota of the server's user has room",
    "EFBIG": "send it again when the server may write larger files (ulimit -f)",
    "EROFS": "send it again when the file system of --state can be written to; it is read-only",
    "EACCES": _FORBIDDEN,
    "EPERM": _FORBIDDEN,
    "EIO": "send it again when the disk works; the system's log (dmesg) has its errors",
    "EMFILE": _OPEN_FILES,
    "ENFILE": _OPEN_FILES,
    "ENOMEM": "send it again when the machine has memory",
    "ENOENT": _GONE,
    "ENOTDIR": _GONE,
    "ESTALE": _GONE,
    "EAGAIN": _HELD,
    "EWOULDBLOCK": _HELD,
}
OTHERWISE = "send it again later; the server's log has the reason"


def write_refused(detail: str, code: int | None) -> Problem:
    """The reply to a client whose change is not on the disk.

    Args:
        detail: of the reply, as a sentence.
        code: the system's reason, an ``errno``.
    """
    return Problem(503, detail, retry_after=5, reason="disk", hint=_hint(code))


def event_facts(error: OSError) -> dict[str, Any]:
    """The facts of a failed write for the server's log: its kind, the system's reason as number and name, and the hint."""
    return {
        "kind": type(error).__name__,
        "errno": error.errno,
        "reason": _name(error.errno),
        "hint": _hint(error.errno),
    }


def _hint(code: int | None) -> str:
    return HINTS.get(_name(code), OTHERWISE)


def _name(code: int | None) -> str:
    return "" if code is None else errno.errorcode.get(code, "")
