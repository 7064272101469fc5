"""Starts one script in several processes that share what is imported: ``python forked.py RANKS FOLDER SCRIPT [ARGUMENT …]``.

They are forked after torch and the library were imported, which takes each of them longer than most of these tests. Each
writes what it says to FOLDER/RANK.err; the exit codes are printed. SCRIPT may be ``-m MODULE``.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
import traceback
from pathlib import Path

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


def main() -> None:
    """Fork, wait for all, and print their exit codes; that of a killed process is the negative signal."""
    ranks, folder, *script = sys.argv[1:]
    for package in PACKAGES:
        importlib.import_module(package)
    for name in NAMES:  # which are imported when they are first asked for
        getattr(sl, name)
    children = []
    for rank in range(int(ranks)):
        child = os.fork()
        if not child:
            os.environ["RANK"] = str(rank)
            said = os.open(Path(folder) / f"{rank}.err", os.O_WRONLY | os.O_CREAT)
            os.dup2(said, 2)
            code = run(script)
            sys.stderr.flush()
            os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.stdout.write(json.dumps(codes) + "\n")


if __name__ == "__main__":
    main()
