"""What a bundle says of its data, and which data are no news to it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

import shortlist as sl
from shortlist.train.lineage import Lineage

ROWS = {"who": [1, 2, 1], "what": ["a", "b", "b"], "at": [5, 3, 4]}


def test_data_carry_their_fingerprint_and_their_last_time(tmp_path: Path) -> None:
    """In memory and from disk; a date is text."""
    data = sl.Dataset(ROWS, "who", "what", "at")
    found = Lineage.of(data)
    assert (found.interactions, found.until, found.earlier) == (3, 5, ())
    assert len(found.fingerprint) == 64
    assert Lineage.in_metadata({"run": {"given": found.to_dict()}}) == found
    assert Lineage.in_metadata({"run": {}}) is None
    assert Lineage.of(sl.Dataset(ROWS, "who", "what")).until is None
    pl.DataFrame({**ROWS, "at": [datetime(2026, 11, day) for day in (28, 3, 4)]}).write_parquet(
        tmp_path / "log.parquet"
    )
    shards = sl.Shards.encode(
        tmp_path / "log.parquet", tmp_path / "shards", query="who", candidate="what", timestamp="at"
    )
    assert Lineage.of(shards).until == "2026-11-28 00:00:00"
    train, _ = shards.split(test=0.3, by="time")
    assert Lineage.of(train).until == "2026-11-04 00:00:00"  # the 28th is held out


@pytest.mark.parametrize(
    ("now", "then", "older"),
    [
        (5, 5, True),
        (5, 4, False),
        (4.5, 5, True),
        (None, 5, False),
        ("2026-11-28", 5, False),
        ("2026-11-28", "2026-11-29", True),
    ],
)
def test_older(now: object, then: object, older: bool) -> None:
    assert Lineage("a", 1, now).no_later_than(Lineage("b", 1, then)) is older  # type: ignore[arg-type]


def test_data_that_a_chain_of_trainings_has_learned_from_are_known() -> None:
    """Trainings on new rows alone add up: Monday, Tuesday on top, Wednesday on top."""
    days = [sl.Dataset({**ROWS, "at": [day] * 3}, "who", "what", "at") for day in (1, 2, 3)]
    monday = Lineage.of(days[0])
    tuesday = Lineage.of(days[1], monday)
    wednesday = Lineage.of(days[2], tuesday)
    assert wednesday.earlier == (monday.fingerprint, tuesday.fingerprint)
    assert monday.known_to(wednesday)
    assert tuesday.known_to(wednesday)
    assert not wednesday.known_to(tuesday)
