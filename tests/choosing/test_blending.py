"""A mixture is measured from its sources' best candidates, and ranks as it is measured."""

from __future__ import annotations

import polars as pl
import pytest
from tests.choosing.tables import blocks

import shortlist as sl
from shortlist.choosing import hold_out
from shortlist.choosing.blending import best_blend
from shortlist.choosing.trial import Trial
from shortlist.model import popularity


@pytest.mark.parametrize("weighted", [False, True])
def test_a_mixture_is_measured_as_it_ranks(weighted: bool) -> None:
    """From both sources' best candidates alone, new queries by popularity: the figure is that of the exact ranks."""
    data = blocks(1500, 90, 60)
    late = pl.DataFrame({"who": [1000, 1001], "what": data.interactions["what"][:2]})
    train, held_out, _ = hold_out(data, 0.1, 42)
    rows = pl.concat([held_out.interactions, late])
    rows = rows.with_columns(counts=pl.Series([float(number % 4) for number in range(len(rows))]))
    held_out = sl.Dataset(rows, "who", "what", weight="counts", candidates=data.candidates)
    trial = Trial.of(train, train, held_out, None, 0, weighted)
    assert trial.new > 0
    table = sl.Cooccurrence().fit(train)
    blended = best_blend(popularity(train), table, trial, (1.0,), (0.5, 0.95))
    exact = trial.measure(blended.odd)
    if blended.even.weights != blended.odd.weights:
        exact = exact.alternated(trial.measure(blended.even))
    found = blended.measure(trial)
    assert found.sums.numerator.tolist() == pytest.approx(exact.sums.numerator.tolist())
    assert found.value == pytest.approx(exact.value)
    for share in (0.5, 0.95):  # and so are the shares that are compared
        weights = sl.Blend(share, 1.0).weights
        one = trial.measure(blended.mixture.with_weights(weights))
        counted = blended.asked.counted(weights, trial.k)
        there = blended.asked.weight > 0
        assert counted[there].sum() / (len(counted) if weighted else there.sum()) == pytest.approx(one.value)
