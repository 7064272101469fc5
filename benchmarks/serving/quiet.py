"""The measurements that need a machine of their own, one after the other, each with a result of its own; about 25 minutes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.serving import attacks as hostile
from benchmarks.serving import processes
from benchmarks.serving.changes import log
from benchmarks.serving.speed import overload, speed

SECONDS = 3  # of each attack, at least, and as long without it
WORST = 1  # attack that is then measured for 30 seconds


def prepare(made: Path) -> None:
    """Make the bundles that are missing, so that no measurement waits for it."""
    hostile.make(made.with_name(made.name + ".small"), hostile.SMALL)
    hostile.make(made.with_name(made.name + ".large"), hostile.LARGE)
    processes.make(made.with_name(made.name + ".million"))


def steps(
    options: argparse.Namespace,
) -> Iterator[tuple[str, Callable[[argparse.Namespace], dict], argparse.Namespace]]:
    """Each measurement with its options, by name; those first whose bars nothing else shows.

    Args:
        options: with two bundles: one that ``shortlist demo --recipe als`` wrote, and where bundles of attacks and of a million candidates are.
    """
    bundle, made = options.bundles[:2]
    million = made.with_name(made.name + ".million")
    for name, measure, changed in (
        ("speed", speed, {"bundles": [bundle], "seconds": 8}),
        ("log", log, {"bundles": [bundle]}),
        ("overload", overload, {"bundles": [bundle], "rounds": 7}),
        ("worker_kills", processes.worker_kills, {"bundles": [bundle], "seconds": 60}),
        ("cores", processes.cores, {"bundles": [bundle], "rounds": 9}),
        ("memory", processes.memory, {"bundles": [million]}),
        (
            "attacks",
            hostile.attacks,
            {"bundles": [made], "attack": "", "seconds": SECONDS, "worst": WORST},
        ),
    ):
        yield name, measure, argparse.Namespace(**{**vars(options), **changed})


def quiet(options: argparse.Namespace, keep: Callable[[str, Callable[[], dict]], None]) -> None:
    """Run them all.

    Args:
        options: see ``steps``.
        keep: is given each name and measurement, and writes its result.
    """
    if len(options.bundles) < 2:
        raise SystemExit(
            "quiet BUNDLE X: a bundle that `shortlist demo --recipe als` wrote, and a path for bundles that are made"
        )
    prepare(options.bundles[1])
    for name, measure, own in steps(options):
        started = time.perf_counter()
        keep(name, lambda measure=measure, own=own: measure(own))  # type: ignore[misc]
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
