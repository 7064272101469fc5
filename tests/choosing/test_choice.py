"""The outcome of a choice in words and plain values: who won by how much, and what to do next; by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import shortlist as sl
from shortlist.choosing.choice import Choice, Tried
from shortlist.choosing.trial import Figure, Trial
from shortlist.intervals import PairSums
from shortlist.train.recipes import load

DATA = sl.Dataset({"u": ["a", "b"], "i": ["x", "y"]}, "u", "i")
TIMED = sl.Dataset({"u": ["a", "b"], "i": ["x", "y"], "t": [1, 2]}, "u", "i", timestamp="t")
TRIAL = Trial(TIMED, TIMED, DATA, DATA, "recall", 10, exclude_seen=True, again=0.0, new=0.0)
QUERIES = 400


def tried(name: str, kind: str, found: int | None, reason: str | None = None) -> Tried:
    """A contender that finds the one pair of each of the first ``found`` of 400 queries."""
    figure = None
    if found is not None:
        sums = PairSums((np.arange(QUERIES) < found).astype(np.float64), np.ones(QUERIES))
        figure = Figure(sums.value, sums, 2.0)
    return Tried(name, kind, 0, load("factorization"), figure, 2.0, reason)


def choice(*contenders: Tried, **trial: Any) -> Choice:
    """Of ``contenders`` the first was chosen."""
    first = contenders[0]
    return Choice(sl.popularity(DATA), first.recipe, first, contenders, replace(TRIAL, **trial), "time", 60, 4.0, True)


ALS, EASE, POPULAR = (
    tried("ALS", "towers", 200),
    tried("EASE", "neighbours", 198),
    tried("popularity", "popularity", 100),
)


LATE = tried("GRU", "towers", None, "takes about 3 s; 1 s were left")
THREE = PairSums(np.ones(3), np.ones(3))
FEW = Tried("ALS", "towers", 0, load("factorization"), Figure(1.0, THREE, 2.0), 2.0, None)


def test_the_table_marks_the_chosen_and_names_what_was_left_out() -> None:
    lines = choice(ALS, POPULAR, tried("history", "towers", None, "needs a column of times")).table().splitlines()
    # one half of 400 queries: the root of 400 · 0.25 / 400² is 0.025; one quarter: the root of 400 · 0.1875 / 400² is 0.0217
    assert lines[0].split() == ["model", "recall@10", "±", "s.e.", "seconds"]
    assert lines[1].split() == ["*", "ALS", "0.5000", "0.0250", "2.0"]
    assert lines[2].split() == ["popularity", "0.2500", "0.0217", "2.0"]
    assert lines[3] == "  on 2 held-out pairs of 400 queries (the latest), seen items excluded"
    assert lines[4] == "  not tried: history: needs a column of times"


def test_a_lead_is_told_from_chance() -> None:
    lines = choice(ALS, EASE, POPULAR).verdict()
    assert lines[0] == "chosen: ALS (recall@10 0.5000)"
    assert lines[1].startswith("ahead of popularity (+0.2500 ± 0.0217)")
    assert lines[2].startswith("level with EASE (+0.0050 ± 0.0035)")  # two queries of 400, each 1/400
    assert lines[3] == "the model was then trained again on all rows; the figures are from before that"
    simpler = choice(EASE, ALS, POPULAR).verdict()
    assert simpler[2].startswith("simpler than ALS, and behind it by no more than chance (-0.0050 ± 0.0035)")
    # popularity is taken unless the lead is more than the luckiest of three would have by chance: 2.1 standard errors
    luckier = choice(POPULAR, tried("ALS", "towers", 104), EASE).verdict()
    assert luckier[1].startswith("simpler than ALS, and behind it by no more than chance (-0.0100 ± 0.0050)")
    assert choice(POPULAR, ALS).verdict()[1].startswith("behind ALS (-0.2500 ± 0.0217)")


@pytest.mark.parametrize(
    ("contenders", "trial", "says"),
    [
        ((ALS, POPULAR), {}, "next: shortlist report shows"),
        ((POPULAR, ALS), {}, "next: no model here is better than popularity"),
        ((ALS, POPULAR), {"train": DATA}, "next: if the table has a column of times"),
        ((ALS, POPULAR), {"new": 0.25}, "next: many queries are new"),
        (
            (ALS, tried("GRU", "towers", None, "9 s were left")),
            {},
            "next: a longer budget= (--budget) would also try GRU",
        ),
        ((ALS, LATE, LATE), {}, "next: a longer budget= (--budget) would also try GRU"),
        ((FEW, LATE, LATE), {}, "next: a longer budget= (--budget) would also try GRU"),
        ((FEW, LATE), {}, "next: only 3 queries were measured"),
        ((ALS, POPULAR), {"new": 0.95}, "next: nearly all held-out pairs (95%) have new queries"),
        ((FEW, LATE), {"new": 1.0}, "next: nearly all held-out pairs (100%) have new queries"),
    ],
)
def test_one_piece_of_advice(contenders: tuple[Tried, ...], trial: dict[str, Any], says: str) -> None:
    assert choice(*contenders, **trial).verdict()[-1].startswith(says)


def test_repeats_and_new_queries_are_named() -> None:
    out = choice(ALS, POPULAR, again=0.5, new=0.125).verdict()
    assert any(line.startswith("repeats: 50.0%") and "so 50.0% is the maximum" in line for line in out)
    assert any(line.startswith("new queries: 12.5%") for line in out)
    left_in = choice(ALS, POPULAR, again=0.5, exclude_seen=False).verdict()
    assert any("exclude_seen=False (--include-seen)" in line for line in left_in)


def test_it_is_plain_values_and_no_line_is_wider_than_80() -> None:
    made = choice(ALS, EASE, POPULAR, tried("GRU", "towers", None, "it would take " + "very " * 40 + "long"))
    plain = json.loads(json.dumps(made.to_dict()))
    assert (plain["chosen"], plain["figure"], plain["by"], plain["held_out_how"]) == (
        "ALS",
        0.5,
        "recall@10",
        "the latest",
    )
    assert [one["name"] for one in plain["contenders"]] == ["ALS", "EASE", "popularity", "GRU"]
    assert plain["contenders"][3]["figure"] is None
    assert plain["contenders"][0]["standard_error"] == pytest.approx(0.025)
    assert all(len(line) <= 80 for line in str(made).splitlines())
