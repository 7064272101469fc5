"""Chance is the loss of a model that scores every candidate alike, whatever the corrections."""

from __future__ import annotations

from math import log

import pytest

import shortlist as sl

pytestmark = pytest.mark.filterwarnings("ignore:loss at chance")

PAIRS = {"who": ["a", "b", "c", "d", "e", "f"], "what": ["x", "x", "x", "y", "y", "z"], "weight": [1, 1, 1, 1, 1, 5]}


def blank(task: sl.Retrieval, weight: str | None = None, batch_size: int = 6) -> sl.Epoch:
    """The only epoch of a model of zeros that hardly learns."""
    data = sl.Dataset(PAIRS, "who", "what", weight=weight)
    towers = [sl.Tower(sl.StringLookup(side), dim=2, init_scale=0.0) for side in ("who", "what")]
    return sl.fit(sl.TwoTower(*towers), data, task=task, optimizer=sl.SGD(1e-12), epochs=1, batch_size=batch_size)[0]


def test_without_corrections_it_is_the_log_of_the_batch() -> None:
    assert blank(sl.Retrieval(remove_accidental_hits=False)).chance == pytest.approx(log(6))


def test_an_own_candidate_counts_once_without_accidental_hits() -> None:
    """x, x and x leave 6 − 2 competitors, y and y 6 − 1, z 6."""
    expected = (3 * log(4) + 2 * log(5) + log(6)) / 6
    assert blank(sl.Retrieval(remove_accidental_hits=True)).chance == pytest.approx(expected)


def test_a_correction_for_popularity_counts() -> None:
    """Q is 1/2, 1/3, 1/6: Σ m / Q = 6 + 6 + 6 = 18; a pair's own log Q is added."""
    expected = log(18) + (3 * log(1 / 2) + 2 * log(1 / 3) + log(1 / 6)) / 6
    assert blank(sl.Retrieval(log_q="counts", remove_accidental_hits=False)).chance == pytest.approx(expected)


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("log_q", [None, "counts"])
@pytest.mark.parametrize(("weight", "batch_size"), [(None, 6), (None, 4), ("weight", 6)])
def test_a_model_of_zeros_has_exactly_chance(
    remove: bool, log_q: str | None, weight: str | None, batch_size: int
) -> None:
    epoch = blank(sl.Retrieval(log_q=log_q, remove_accidental_hits=remove), weight, batch_size)
    assert epoch.loss == pytest.approx(epoch.chance, rel=1e-5)
