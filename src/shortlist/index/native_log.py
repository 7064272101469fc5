"""Holds back log lines that native libraries write to the process's stderr."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import IO

__all__ = ["without_native_log"]

_LOG = re.compile(rb"^([IW]\d{4,} \S+\s+\d+ \S+:\d+\]|WARNING: All log messages before absl::)")
_LOCK = threading.Lock()


@contextlib.contextmanager
def without_native_log() -> Iterator[None]:
    """Drops absl's information and warning lines; whatever else was written to stderr appears at the end."""
    with _LOCK, contextlib.ExitStack() as stack:
        try:
            sys.stderr.flush()
            original = os.dup(2)
        except (OSError, ValueError, AttributeError):  # no stderr to keep clean
            yield
            return
        stack.callback(os.close, original)
        try:
            held = stack.enter_context(_file())
        except OSError:  # nowhere to write to: then the lines appear
            yield
            return
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            held.seek(0)
            for line in held:
                if not _LOG.match(line):
                    os.write(2, line)


def _file() -> IO[bytes]:
    """A file for a moment; in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("native-log"), "w+b")
    return tempfile.TemporaryFile()
