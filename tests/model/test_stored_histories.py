"""Windows in files are those of memory, however few rows are looked at together; and so are the lists of last choices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.data.shards import by_query, ordered_by_query
from shortlist.model.history_inputs import training_histories, with_histories
from shortlist.model.stored_histories import stored_histories, with_stored_histories


@pytest.mark.parametrize("at_once", [1, 10, 1 << 22])
@pytest.mark.parametrize("context", ["past", "others"])
def test_windows_and_lists_are_those_of_memory(
    context: str, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_query, "AT_ONCE", at_once)
    rng = np.random.default_rng(8)
    frame = pl.DataFrame(
        {"user": rng.integers(0, 7, 80), "item": rng.integers(0, 9, 80), "time": rng.integers(0, 20, 80)}
    )
    frame.write_parquet(tmp_path / "log.parquet")
    names = {"query": "user", "candidate": "item", "timestamp": "time"}
    shards = sl.Shards.encode(tmp_path / "log.parquet", tmp_path / "shards", **names)
    data = shards.to_dataset()
    data = data.with_interactions(data.interactions.sort("user", "time", maintain_order=True))
    history = sl.History(length=4, context=context, share=False)  # type: ignore[arg-type]
    query, candidate = sl.Tower(history, dim=2), sl.Tower(sl.IntegerLookup("item"), dim=2)
    (memory,) = training_histories(query, candidate, data).values()
    ordered = ordered_by_query(shards)
    (stored,) = stored_histories(query, candidate, shards, ordered).values()
    assert stored.stored
    for name in ("values", "start", "stop", "left_out"):
        one, two = getattr(memory, name), getattr(stored, name)
        assert (one is None and two is None) or np.array_equal(one, two), name
    table = with_stored_histories(query, shards.queries, shards, ordered)
    assert table.equals(with_histories(query, data.queries, data))
