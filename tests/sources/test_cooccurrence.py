"""Co-occurrence: the sparse product is the plain count, in any blocks, and one heavy query costs no more than others."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.plain import cooccurrence, dataset, logs, most, ordered, weights_of

import shortlist as sl
from shortlist.errors import ConfigError, DataError


@given(logs, st.booleans(), st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 5))
def test_it_is_the_plain_count(rows, timed, power, length) -> None:
    source = sl.Cooccurrence(query_power=power, source_power=1 - power, target_power=power, length=length)
    found = weights_of(source.fit(dataset(rows, timed)))
    assert found == pytest.approx(cooccurrence(ordered(rows, timed), power, 1 - power, power, length), rel=1e-6)


def test_by_hand() -> None:
    # query 0 chose 0 1 2, query 1 chose 0 1, query 2 chose 1 twice; n_q = 3, 2, 1; n_i = 2, 3, 1
    rows = [
        (0, 0, 0, 1.0),
        (0, 1, 1, 1.0),
        (0, 2, 2, 1.0),
        (1, 0, 0, 1.0),
        (1, 1, 1, 1.0),
        (2, 1, 0, 1.0),
        (2, 1, 1, 1.0),
    ]
    found = weights_of(sl.Cooccurrence(query_power=1, source_power=1, target_power=0).fit(dataset(rows)))
    assert found == pytest.approx(
        {(0, 1): (1 / 3 + 1 / 2) / 2, (0, 2): (1 / 3) / 2, (1, 0): (1 / 3 + 1 / 2) / 3, (1, 2): (1 / 3) / 3}
        | {(2, 0): 1 / 3, (2, 1): 1 / 3}
    )
    # without what a heavy query discounts, it is another table
    plain = weights_of(sl.Cooccurrence(query_power=0, source_power=1, target_power=0).fit(dataset(rows)))
    assert plain == pytest.approx({(0, 1): 1, (0, 2): 1 / 2, (1, 0): 2 / 3, (1, 2): 1 / 3, (2, 0): 1, (2, 1): 1})


@given(logs, st.integers(1, 2))
def test_the_heaviest_are_kept(rows, count) -> None:
    whole = weights_of(sl.Cooccurrence().fit(dataset(rows)))
    assert weights_of(sl.Cooccurrence(neighbours=count).fit(dataset(rows))) == most(whole, count)


def test_in_blocks_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(one % 4, one * one % 6, one, 1.0) for one in range(40)]
    whole = weights_of(sl.Cooccurrence().fit(dataset(rows)))
    for size in (1, 7):
        monkeypatch.setattr("shortlist.sources.tables.BLOCK", size)
        assert weights_of(sl.Cooccurrence().fit(dataset(rows))) == whole


def test_a_query_with_everything_costs_no_more_products_than_length_squared(monkeypatch: pytest.MonkeyPatch) -> None:
    import shortlist.sources.cooccurrence as module

    table = pl.DataFrame({"q": np.zeros(100_000, np.int64), "c": np.arange(100_000)})
    counted = []
    blocks = module.in_blocks
    monkeypatch.setattr(module, "in_blocks", lambda products: counted.append(int(products.sum())) or blocks(products))
    found = sl.Cooccurrence(length=20, neighbours=5).fit(sl.Dataset(table, "q", "c"))
    assert counted == [20 * 20]
    assert np.flatnonzero(np.diff(found.offsets)).tolist() == list(range(99_980, 100_000))  # the latest: the last rows


def test_nothing_in_common() -> None:
    assert len(sl.Cooccurrence().fit(dataset([(0, 0, 0, 1.0), (1, 1, 0, 1.0)])).columns) == 0


@pytest.mark.parametrize(
    "options", [{"query_power": -1}, {"target_power": 3}, {"neighbours": 0}, {"length": 0}, {"age": 0}]
)
def test_settings_that_cannot_be(options) -> None:
    with pytest.raises(ConfigError, match=f"Cooccurrence got {next(iter(options))}="):
        sl.Cooccurrence(**options)


def test_it_hands_on_how_a_history_asks() -> None:
    table = sl.Cooccurrence(age=0.5, length=3).fit(dataset([(0, 0, 0, 1.0), (0, 1, 1, 1.0)]))
    assert (table.age, table.length, table.kind) == (0.5, 3, "cooccurrence")


def test_it_wants_a_dataset() -> None:
    with pytest.raises(DataError, match=r"Cooccurrence\.fit\(train\) got a.*; a Dataset or Shards was expected"):
        sl.Cooccurrence().fit(pl.DataFrame())  # type: ignore[arg-type]
