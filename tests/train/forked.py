"""Starts scripts in several processes that share what is imported: ``python forked.py``, with a listening socket as its stdin.

They are forked after torch and the library were imported, which takes longer than most of these tests. A connection asks for one
run with a line of JSON: how many ``ranks``, the words of a ``script`` (the first may be ``-m``), its ``environment``, and a
``folder``, where each rank writes what it says to RANK.err. The answer is a line of JSON with the exit codes.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import shortlist as sl

PACKAGES = ("numpy", "polars", "torch.distributed")
NAMES = ("fit", "evaluate", "Recommender", "recipes", "Shards", "split_random", "Checkpoints")


def run(script: list[str]) -> int:
    """Run a script or a module as ``python`` does; its exit code."""
    try:
        if script[0] == "-m":
            sys.argv = script[1:]
            runpy.run_module(script[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = script
            runpy.run_path(script[0], run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def codes_of(asked: dict[str, Any]) -> list[int]:
    """Fork the ranks of a run and wait for all: their exit codes; that of a killed process is the negative signal."""
    os.environ.clear()
    os.environ.update(asked["environment"])
    children = []
    for rank in range(asked["ranks"]):
        child = os.fork()
        if not child:
            os.environ["RANK"] = str(rank)
            said = os.open(Path(asked["folder"]) / f"{rank}.err", os.O_WRONLY | os.O_CREAT)
            os.dup2(said, 2)
            code = run(asked["script"])
            sys.stderr.flush()
            os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def main() -> None:
    """Answer each connection in a process of its own."""
    for package in PACKAGES:
        importlib.import_module(package)
    for name in NAMES:  # which are imported when they are first asked for
        getattr(sl, name)
    listening = socket.socket(fileno=0)
    while True:
        connection, _ = listening.accept()
        if not os.fork():
            with connection, connection.makefile("rw") as lines:
                lines.write(json.dumps(codes_of(json.loads(lines.readline()))) + "\n")
            os._exit(0)
        connection.close()


if __name__ == "__main__":
    main()
