"""What keeps a trained model from being saved, and what is only said of it."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tests.evaluation.test_diagnostics import choices, model_of, own_taste

import shortlist as sl
from shortlist.cli.outcome import Outcome, check_outcome, figures_of, verdict_lines
from shortlist.cli.training_data import TrainingData
from shortlist.errors import TrainingError

CHOSEN: Any = cast("Any", object())  # a choice: its model won on held-out rows
PERSONAL, ALIKE = "personal", "alike"


def model(kind: str) -> sl.TwoTower:
    query, candidate = own_taste()
    if kind == ALIKE:
        query[:] = query[20]  # everyone is reader 20
    return model_of(query, candidate, choices())


def outcome(saved: str, measured: str | None = None, chosen: bool = True) -> Outcome:
    """saved, measured: what the lists of the model are before and after the refit; None where there was none."""
    data = choices()
    final = model(saved)
    before = final if measured is None else model(measured)
    return Outcome(final, before, sl.recipes.load("factorization"), data, data, choice=CHOSEN if chosen else None)


def check(made: Outcome, force: bool = False) -> None:
    recommender = sl.Recommender(made.model, index=sl.BruteForce())
    check_outcome(made, recommender, force)


@pytest.mark.parametrize(
    ("saved", "measured", "chosen", "refused"),
    [
        (PERSONAL, None, False, False),
        (ALIKE, None, False, True),
        (ALIKE, None, True, False),  # it won with these lists, and was not trained again
        (ALIKE, ALIKE, True, False),  # it won with these lists
        (ALIKE, PERSONAL, True, True),  # it won with others, and collapsed in the training on all rows
        (PERSONAL, ALIKE, True, False),
    ],
)
def test_lists_that_are_alike_are_refused_unless_the_model_won_with_them(
    saved: str, measured: str | None, chosen: bool, refused: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    made = outcome(saved, measured, chosen)
    if refused:
        with pytest.raises(
            TrainingError, match="100% of 30 queries get exactly the same ones; the bundle was not saved"
        ):
            check(made)
        check(made, force=True)
        assert "saved anyway" in capsys.readouterr().err
        return
    check(made)
    said = " ".join(capsys.readouterr().err.split())
    assert ("note: two queries' top 4 share 100%" in said) == (saved == ALIKE)


def test_a_collapse_of_counted_neighbours_has_no_training_to_change() -> None:
    data = choices()
    mixed = sl.Mixture.of(model(ALIKE), sl.Cooccurrence().fit(data), data, share=0.0, temperature=1.0)
    (finding,) = [one for one in sl.diagnose(mixed) if one.name == "collapsed"]
    assert finding.hint == "if popularity is all there is to learn, a list of bestsellers is cheaper"


@pytest.mark.parametrize(
    ("again", "timed", "half"),
    [
        (True, True, "seen_in"),  # people choose the same again
        (False, True, "seen_out"),
        (True, False, "seen_out"),  # rows without a time may be copies of rows that training had
    ],
)
def test_where_people_choose_again_the_model_is_judged_with_seen_items_left_in(
    again: bool, timed: bool, half: str
) -> None:
    """Held-out rows of the table itself are not called rows that training had."""
    of = {"query": "reader", "candidate": "book", "timestamp": "at" if timed else None}
    rows = [
        {"reader": f"r{n}", "book": f"b{(2 * n + (step % 4 if again else step)) % 24}", "at": 100 * step + n}
        for step in range(8)
        for n in range(24)
    ]
    books = {"book": [f"b{n}" for n in range(24)]}
    data = sl.Dataset(rows, **of, candidates=books)
    train, held_out = (
        data.with_interactions(data.interactions.filter((data.interactions["at"] < 600) == first))
        for first in (True, False)
    )
    model = sl.TwoTower(sl.Tower(sl.StringLookup("reader"), dim=4), sl.Tower(sl.StringLookup("book"), dim=4))
    sl.fit(model, train, epochs=1, batch_size=32)
    made = Outcome(model, model, sl.recipes.load("factorization"), train, train)
    given = TrainingData(train, held_out, how="time")
    measured = figures_of(made, given, sl.Recommender(model, seen=train))
    assert measured["judged_by"] == half
    said = "Measured on choices that it was trained on" in verdict_lines(made, measured, given)[0]
    assert said == (again and not timed)
