"""A swap is compared with the seconds before it, whatever the machine's speed; a bundle's reply says that it is in place."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from benchmarks.serving import page, swaps


def test_a_ratio_is_of_seconds_next_to_each_other() -> None:
    """The machine is half as fast at each swap as at the one before: no ratio changes."""
    one = [0.001] * 990 + [0.002] * 10
    slow = [0.001] * 980 + [0.005] * 20  # two in a hundred: beyond the p99
    of = [tuple([2.0**number * time for time in times] for times in (one, one, slow)) for number in range(3)]
    found = swaps.compared(of)  # type: ignore[arg-type]
    assert found["p99_ratio"] == pytest.approx(2.5)
    assert (found["quiet_p99_ratio"], found["p99_ratio_beyond"], found["quiet_p99_ratio_beyond"]) == (1.0, 1.0, 0.0)
    assert found["swapping_p99_ms"] == pytest.approx(10.0)  # of 3,000 the 31st from above
    assert found["quiet_p99_ms"] == pytest.approx([4.0, 4.0])


def test_a_swap_that_costs_nothing_is_as_quiet_as_the_seconds_before() -> None:
    first, second = [0.001] * 100, [0.002] * 100
    found = swaps.compared([(first, second, second), (second, first, first), (second, second, second)])
    assert (found["p99_ratio"], found["p99_ratio_beyond"]) == (1.0, 0.0)
    assert (found["quiet_p99_ratio"], found["quiet_p99_ratio_beyond"]) == (1.0, pytest.approx(1 / 3))


def test_a_swap_lasts_until_a_reply_names_the_new_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Clients ask for a share of what they got before that swap; lost and wrong replies of all of them are counted."""
    served: list[Path] = []
    clients: list[Any] = []
    slept: list[float] = []

    class Callers:
        def __init__(self, port: int, rate: float, users: list[str], right: Any) -> None:
            clients.append(self)
            self.rate, self.right, self.times, self.wrong, self.seconds = rate, right, [], [], 2.5

        def count(self) -> None:
            self.times = []

        def stop(self) -> dict:
            self.wrong = ["lost: None"]
            return {"good_per_second": 1000.0 * len(clients), "wrong": 1, "requests": 1}

    def server(link: Path, *options: str) -> Any:
        served.append(link)
        return SimpleNamespace(port=1, stop=lambda: None)

    def sleep(seconds: float) -> None:
        clients[-1].right("7", SimpleNamespace(bundle=served[0].resolve().name))
        clients[-1].times += [0.001] * round(1000 * seconds)
        slept.append(seconds)

    for name, value in {
        "time": SimpleNamespace(sleep=sleep, perf_counter=lambda: 0.0), "Callers": Callers, "Server": server,
        "wrk": lambda *arguments: {}, "right_answers": lambda bundles: lambda user, reply: True,
    }.items():  # fmt: skip
        monkeypatch.setattr(swaps, name, value)
    found = swaps.swaps(argparse.Namespace(bundles=[tmp_path / "one", tmp_path / "two"], count=2, broken=0))
    rates = [one.rate for one in clients]
    assert rates == [swaps.ALL, 500.0, swaps.ALL, 1500.0, 500.0]  # the last while broken bundles are refused
    quiet, swapping = 2 * (2000 + 2500), 2 * (20 + 400)  # as long as the swap before took
    assert (found["requests"], found["wrong"], found["first_wrong"]) == (quiet + swapping, 2, ["lost: None"] * 2)
    (_, lost, none), (_, ratio, bar), *_ = page.ROWS["swaps"](found)
    assert (lost, none, ratio, bar) == (f"2 of {quiet + swapping:,}", "0", "1.00 times", "1.5 times")
