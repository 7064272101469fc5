"""A mixture is measured from its sources' best candidates, and ranks as it is measured."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from tests.choosing.tables import blocks

import shortlist as sl
from shortlist.choosing import blending, hold_out
from shortlist.choosing.blending import _spread, best_blend
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


@pytest.mark.parametrize("queries", [10, 11, 12, 25, 400])
def test_some_of_many_queries_are_spread_over_their_table(queries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are chosen by the newest of them too; one that is even or odd among those kept is so among all."""
    monkeypatch.setattr(blending, "QUERIES", 10)
    who = np.repeat(np.arange(queries) * 3, 2)
    data = sl.Dataset({"who": who, "what": np.arange(len(who)) % 7}, "who", "what")
    some = _spread(data)
    places = np.unique(some.query_rows)
    assert len(places) == 10
    assert len(some) == 20
    assert (places % 2).tolist() == [0, 1] * 5
    assert (places[0], places[-1]) == (0, queries // 2 * 2 - 1)
    assert np.diff(places[::2]).max() - np.diff(places[::2]).min() <= 2
    assert _spread(some) is some


def test_a_mixture_of_few_of_the_queries_is_measured_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blending, "QUERIES", 20)
    train, held_out, _ = hold_out(blocks(1500, 90, 60), 0.1, 42)
    trial = Trial.of(train, train, held_out, None, 0)
    blended = best_blend(popularity(train), sl.Cooccurrence().fit(train), trial, (1.0,), (0.5, 0.95))
    assert len(blended.asked.truths) == 20
    assert not blended.asked.whole
    assert len(blended.measure(trial).sums.numerator) == len(np.unique(held_out.query_rows))


def _odd(kind: str, seed: int) -> tuple[sl.Dataset, sl.Dataset]:
    """A training and a held-out part whose pairs repeat, or whose candidates tie; some held-out queries are new."""
    generator = np.random.default_rng(seed)
    rows = pl.DataFrame({"who": generator.integers(30, size=600), "what": generator.integers(40, size=600)})
    if kind == "ties":  # each candidate as often, so that all are as popular and many of a query's choices tie
        rows = pl.DataFrame({"who": np.repeat(np.arange(30), 4), "what": np.arange(120) % 40})
    late = pl.DataFrame({"who": generator.integers(20, 40, size=400), "what": generator.integers(40, size=400)})
    if kind == "repeats":
        late = pl.concat([late, late, late.head(50), late.head(5), late.head(5)])
    late = late.with_columns(counts=pl.Series(generator.integers(1, 4, len(late)).astype(float)))
    train = sl.Dataset(rows, "who", "what")
    return train, sl.Dataset(late, "who", "what", weight="counts", candidates=train.candidates)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["repeats", "ties"])
def test_repeated_pairs_and_ties_count_in_mixtures_as_in_any_model(kind: str, weighted: bool) -> None:
    """A pair that is there twice is one choice, and of several choices that tie some are within the first k."""
    for seed in range(5):
        train, held_out = _odd(kind, seed)
        trial = Trial.of(train, train, held_out, "recall@4", seed, weighted)
        blended = best_blend(popularity(train), sl.Cooccurrence().fit(train), trial, (1.0,), (0.5, 0.95))
        found, exact = blended.measure(trial), trial.measure(blended.odd).alternated(trial.measure(blended.even))
        for one, other in ((found, exact), (found.deep, exact.deep)):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert one.sums.numerator.tolist() == pytest.approx(other.sums.numerator.tolist())
                assert one.sums.denominator.tolist() == pytest.approx(other.sums.denominator.tolist())


def test_lists_that_are_popularitys_have_its_figure() -> None:
    """Where nobody held out is known, a table of neighbours answers by popularity; choosing the same thing twice changes nothing."""
    generator = np.random.default_rng(0)
    rows = pl.DataFrame({"who": np.repeat(np.arange(200), 12), "what": generator.integers(9, size=2400) ** 2})
    data = sl.Dataset(rows.with_columns(at="who"), "who", "what", timestamp="at")
    choice = sl.choose(data, budget=20, refit=False)
    figures = {one.name: one.figure.value for one in choice.tried if one.figure is not None}
    assert choice.trial.new == 1
    plain = {name for name in figures if name in ("transitions", "long transitions", "co-occurrence", "EASE", "ALS")}
    assert len(plain) == 5
    assert {name: figures[name] for name in plain} == pytest.approx(dict.fromkeys(plain, figures["popularity"]))
