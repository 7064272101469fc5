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
from shortlist.sources import Weights
from shortlist.train.recipes import load


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


def test_two_towers_are_mixed_as_towers_and_a_table_are() -> None:
    """Each at its own temperature; at the cut-off and at ten times it, the figure is that of the exact ranks."""
    train, held_out, _ = hold_out(blocks(2500, 120, 240), 0.1, 42)
    trial = Trial.of(train, train, held_out, None, 0)
    als, _ = load("als", ["model.dim=8"]).train(train)
    trained, _ = load("factorization", ["model.dim=8", "fit.epochs=2"]).train(train)
    blended = best_blend(als, trained, trial, (0.1, 0.4), (0.2, 0.5, 0.8), of_other=(0.05, 0.2))
    weights = blended.mixture.weights
    assert set(weights.temperatures) <= {0.1, 0.4, 0.05, 0.2}
    assert weights.temperatures[1] in (0.05, 0.2)
    assert blended.mixture.others == (trained,)
    found, exact = blended.measure(trial), trial.measure(blended.odd).alternated(trial.measure(blended.even))
    assert trial.ks == (10, 100)
    for one, other in ((found, exact), (found.deep, exact.deep)):
        assert one.sums.numerator.tolist() == pytest.approx(other.sums.numerator.tolist())
    at_first = [Weights((1 - share, share), (0.1, 0.05)) for share in (0.2, 0.5, 0.8)]
    counts = {one: blended.asked.counted(one, trial.k) for one in at_first}
    best = max(at_first, key=lambda one: counts[one].mean())
    assert best == at_first[0]  # no other share is near it, so further temperatures are tried at this one alone
    further = [Weights(best.values, at) for at in ((0.4, 0.05), (0.1, 0.2))]
    counts |= {one: blended.asked.counted(one, trial.k) for one in further}
    gains = {one: counts[best] - found for one, found in counts.items()}
    level = [one for one, gain in gains.items() if gain.mean() <= gain.std() / len(gain) ** 0.5]
    assert max(counts, key=lambda one: counts[one].mean()) == best
    assert weights == max(level, key=lambda one: blended.asked.counted(one, 10 * trial.k).mean())
