"""What keeps a trained model from being saved, and what is only said of it."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tests.evaluation.test_diagnostics import choices, model_of, own_taste

import shortlist as sl
from shortlist.cli.outcome import Outcome, check_outcome
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
