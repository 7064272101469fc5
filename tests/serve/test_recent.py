"""The last changes of a log: found again by name, and bounded however long they are."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shortlist.serve import recent
from shortlist.serve.recent import MOST, Recent


def change(number: int, entries: int = 1) -> dict[str, Any]:
    chosen = [{"query": "ann", "candidate": f"c{one}", "at": 1.0} for one in range(entries)]
    return {"op": "events", "at": 1.0, "events": chosen, "name": f"n{number}", "outcome": entries}


def test_changes_are_found_by_name_as_they_were() -> None:
    kept = Recent()
    made = [kept.add(change(number)) for number in range(3)]
    found = kept.of(["n2", "n0"])
    assert found == [made[2], made[0]]
    assert [msgspec.msgpack.decode(one) for one in found] == [change(2), change(0)]
    assert kept.of([]) == []
    assert kept.of(["n1", "n3"]) is None


@pytest.mark.parametrize("entries", [1, 2_000], ids=["short", "long"])
def test_the_oldest_are_dropped_by_number_and_by_bytes(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "SIZE", 1 << 20)
    kept = Recent()
    for number in range(MOST + 10):
        kept.add(change(number, entries))
        assert kept.size <= 1 << 20
    last = MOST + 9
    assert kept.of([f"n{last}"]) is not None
    assert kept.of([f"n{last - MOST}"]) is None
    assert (kept.of([f"n{last - MOST + 1}"]) is None) == (entries > 1)


def test_one_that_is_longer_than_all_may_be_is_kept_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "SIZE", 100)
    kept = Recent()
    for number in range(3):
        kept.add(change(number, 50))
    assert kept.of(["n2"]) is not None
    assert kept.of(["n1"]) is None
