"""Errors of the system in words, wherever a command meets them: a full disk, a missing right, no file left to open.

A command checks the places it writes to and names its options. The system refuses other things too, without a bug of ours:
temporary files, and writes where a disk fills up during the work.
"""

from __future__ import annotations

import errno
import sys
import traceback

from shortlist.errors import ConfigError

__all__ = ["flush_output", "output_refusal", "refusal"]

DISK = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO", "EACCES", "EPERM", "ENOTDIR", "ENAMETOOLONG")
    if hasattr(errno, name)
}
FILES = {errno.EMFILE, errno.ENFILE}
WRITERS = ("click", "rich", "rich_click")  # the packages that print results
NO_FOLDER = "No usable temporary directory"  # as ``tempfile`` says it


def refusal(error: OSError) -> ConfigError | None:
    """The error of a disk or a system that refuses; None for any other, which may be a bug of ours."""
    if NO_FOLDER in str(error):
        return ConfigError(
            "no folder for temporary files can be written to.",
            hint="free some space in /tmp, or set TMPDIR to a folder that can be written to",
        )
    if error.errno in FILES:
        return ConfigError("too many files are open.", hint="allow this process more open files: ulimit -n 1024")
    if error.errno not in DISK:
        return None
    hint = "free some space there, or choose a folder that can be written to"
    if error.filename is None:
        return ConfigError(f"a file could not be read or written: {error.strerror}.", hint=hint)
    return ConfigError(f"{str(error.filename)!r} could not be read or written: {error.strerror}.", hint=hint)


def flush_output() -> None:
    """Write what standard output still holds.

    Raises:
        OSError: where that fails.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def output_refusal(error: OSError) -> ConfigError | None:
    """The error of a standard output that could not be written to; None for any other: messages are dropped, so only results are
    written this way.
    """
    *_, (last, _) = traceback.walk_tb(error.__traceback__)
    module = str(last.f_globals.get("__name__"))
    if module != __name__ and module.partition(".")[0] not in WRITERS:
        return None
    return ConfigError(
        f"the result could not be written to standard output: {error.strerror}.",
        hint="free some space where it goes, or send it to another place",
    )
