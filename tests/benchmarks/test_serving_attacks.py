"""An attack is measured in turn with the same clients alone; each has its place on the cores, and the attacker is not held back."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.serving import attackers, attacks, page
from benchmarks.serving.placing import CORES, PLACES, place_of, placed

from benchmarks import korean

ONE_CORE = len(CORES) < 2


def test_the_ratio_is_that_of_all_slices_and_of_every_other_one() -> None:
    """The p99 of 200 is the 199th, here its largest but one: 2 and 6 of all, 1 and 6 of the first half, 2 and 3 of the second."""
    slices = {"before": [[1.0] * 100, [2.0] * 100], "with": [[6.0] * 100, [3.0] * 100]}
    assert attacks._times_of(slices) == 6 / 2
    assert attacks._times_of(slices, 0) == 6 / 1
    assert attacks._times_of(slices, 1) == 3 / 2
    assert attacks._times_of({"before": [], "with": []}) == 0.0


class _Fake:
    """A server, its callers, the watch on its memory, or an attacker."""

    beside = "nobody"
    port = thread = pid = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.arguments, self.process = arguments, self
        self.share, self.lasted, self.place = 0.25, True, {}
        self.said = {"seconds": 2.0, "connections": 4, "sent": 600, "replies": 10}

    def stop(self) -> Any:
        return {"wrong": 0, "first_wrong": []}

    def __enter__(self) -> _Fake:
        _Fake.beside = self.arguments[0]
        return self

    def __exit__(self, *_: object) -> None:
        _Fake.beside = "nobody"


@pytest.mark.parametrize(("times", "slices", "busy"), [(1.4, 2, 0), (3.0, 10, 2)])
def test_slices_are_taken_in_turn_and_more_of_them_near_the_bar(
    monkeypatch: pytest.MonkeyPatch, times: float, slices: int, busy: int
) -> None:
    asked: list[str] = []

    def measured(callers: Any, seconds: float) -> list[float]:
        asked.append(_Fake.beside)
        assert seconds == attacks.SLICES[attacks.SMALL]
        return [times if _Fake.beside == "a map" else 1.0] * int(attacks.RATES[attacks.SMALL] * seconds)

    for name in ("Server", "Callers", "_Peak", "_Beside"):
        monkeypatch.setattr(attacks, name, _Fake)
    monkeypatch.setattr(attacks, "_times", measured)
    monkeypatch.setattr(attacks, "_warm", lambda port: None)
    monkeypatch.setattr(attacks, "_metrics", lambda port: {})
    monkeypatch.setattr(attacks, "place_of", lambda thread: {})
    monkeypatch.setattr(attacks.time, "sleep", lambda seconds: None)
    found = attacks._attacked("a map", Path("none"), attacks.SMALL, 3.0)
    assert asked == ["nobody", "a map"] * slices + ["busy"] * busy
    assert found["slices"] == slices
    assert found["p99_times"] == found["p99_times_of_halves"][0] == found["p99_times_of_halves"][1] == times
    assert found["before"]["requests"] == found["with"]["requests"] == slices * 300
    assert (slices * 300 >= attacks.ENOUGH[attacks.SMALL]) == (slices == 10)
    assert found["attacker"] == {"connections": 2.0, "sent": 300.0, "replies": 5.0}
    assert ("busy_p99_times" in found) == bool(busy)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no cores for a process")
def test_each_has_its_place_and_children_have_it_too() -> None:
    before = place_of(0)
    command = [sys.executable, "-c", "from benchmarks.serving.placing import place_of; print(place_of(0))"]
    given = {}
    for name in PLACES:
        with placed("honest"), placed(name):
            given[name] = place_of(0)
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            assert said.strip() == str(given[name])
    assert place_of(0) == before
    assert given["attacker"]["policy"] == "other"
    assert given["attacker"]["cores"] == given["honest"]["cores"]
    together = [*given["server"]["cores"], *given["attacker"]["cores"]]
    assert sorted(together) == (CORES * 2 if ONE_CORE else CORES)


def test_places_that_are_not_permitted_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    before = place_of(0)
    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(os, "sched_setscheduler", refuse, raising=False)
    with placed("honest"):
        given = place_of(0)
    assert {name: value for name, value in given.items() if name != "cores"} == {
        name: value for name, value in before.items() if name != "cores"
    }
    assert place_of(0) == before


def test_an_attacker_says_what_it_got_through() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    command = [sys.executable, "-m", "benchmarks.serving.attackers", "a history", str(listening.getsockname()[1])]
    attacker = subprocess.Popen(command, stdout=subprocess.PIPE)
    request, (wanted, _) = attackers.get("/v1/history?query=1"), attackers.ASKING["a history"]
    connections = [listening.accept()[0] for _ in range(wanted)]
    for _ in range(3):
        for one in connections:
            assert one.recv(1 << 16) == request
            one.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
    for one in connections:
        assert one.recv(1 << 16) == request  # so the replies before were read
    attacker.terminate()
    begun, said = attacker.communicate()[0].splitlines()
    for one in (*connections, listening):
        one.close()
    counts = json.loads(said)
    assert begun == b"begins"
    assert counts["connections"] == wanted
    assert counts["replies"] == 3 * wanted
    assert 3 * wanted * len(request) <= counts["sent"] <= 4 * wanted * len(request)
    assert counts["seconds"] > 0


def test_an_attack_beyond_the_bar_is_shown_with_its_spread() -> None:
    one = {"p99_times": 2.5, "p99_times_of_halves": [2.75, 2.25], "busy_p99_times": 1.0, "grown_mb": 3.0, "wrong": 0}
    rows = page._attacks({"attacks": {"a map": one, "metrics": {**one, "p99_times": 1.5}}})
    assert rows[0][1] == "2.50 times"
    assert rows[1][1] == "a map: 2.50 (2.25 to 2.75), next to a process as busy 1.00"
    assert korean.missing(f"| {rows[1][1]} |") == [], "benchmarks/ko.po"
