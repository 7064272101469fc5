"""The command line as a person types it, in this process: importing torch anew for every command costs seconds."""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from shortlist.cli.main import main

__all__ = ["Done", "shortlist"]


@dataclass(frozen=True)
class Done:
    """What a process would have left."""

    returncode: int
    stdout: str
    stderr: str


def shortlist(*arguments: object, cwd: Path) -> Done:
    """``shortlist ARGUMENTS`` in this folder: streams, exit code and warnings are those of a process of its own."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    before, argv, code = Path.cwd(), sys.argv, 0
    os.chdir(cwd)
    sys.argv = ["shortlist", *map(str, arguments)]
    try:
        with warnings.catch_warnings(), redirect_stdout(out), redirect_stderr(err):
            warnings.simplefilter("default")
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
            except Exception:
                traceback.print_exc()
                code = 1
    finally:
        os.chdir(before)
        sys.argv = argv
    return Done(code, *(stream.buffer.getvalue().decode("utf-8") for stream in (out, err)))
