"""Two workers and one process are asked in turn, by clients that interrupt them and by clients that do not."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from benchmarks.serving import page, processes

GOOD = {(1, 32): 1000.0, (2, 32): 1800.0, (2, 64): 1900.0}  # answers a second, of one core and of two


def test_a_share_is_of_slices_of_one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """In each round the machine is half as fast as in the one before: no share changes."""
    asked: list[tuple[int, int, bool]] = []
    used, warmed = {1: 0.0, 2: 0.0}, list[int]()

    def wrk(port: int, connections: int, seconds: int, interrupts: bool = True) -> dict[str, Any]:
        used[port] += seconds * port
        clock.now += seconds
        warmed.append(port)
        if len(warmed) <= 2:
            return {}
        asked.append((port, connections, interrupts))
        speed = 0.5 ** ((len(asked) - 1) // 6) * (0.5 if interrupts and port == 2 else 1.0)
        return {"good_per_second": GOOD[port, connections] * speed}

    def server(bundle: Path, *options: str) -> Any:
        number = int(options[-1])
        return SimpleNamespace(port=number, process=SimpleNamespace(pid=number), stop=lambda: None)

    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    for name, value in {
        "wrk": wrk, "Server": server, "time": clock, "tree": lambda pid: [pid],
        "processor_seconds": lambda pids: used[pids[0]],
    }.items():  # fmt: skip
        monkeypatch.setattr(processes, name, value)
    found = processes.cores(argparse.Namespace(bundles=[Path("a")], rounds=3))
    assert warmed[:2] == [1, 2]
    assert asked[:3] == [(2, 64, False), (2, 32, False), (1, 32, False)]
    assert asked[6:9] == [(1, 32, False), (2, 32, False), (2, 64, False)]
    assert [one[2] for one in asked] == ([False] * 3 + [True] * 3) * 3
    assert found["undisturbed"] == {"share": pytest.approx(0.9), "share_by_worker": pytest.approx(0.95)}
    assert found["interrupted"] == {"share": pytest.approx(0.45), "share_by_worker": pytest.approx(0.475)}
    (what, figure, bar), (_, other, none) = page.ROWS["cores"](found)
    assert ("3 rounds" in what, figure[:3], bar) == (True, "90%", "90%")
    assert (other[:3], none) == ("45%", "")
