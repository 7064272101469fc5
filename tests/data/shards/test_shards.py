"""Shards hold what a Dataset holds, whatever stops the encoding on the way."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from tests.data.shards.encoding import COLUMNS, encoded

import shortlist as sl
from shortlist.data.shards import find


def queries_and_rows(data: sl.Dataset) -> list[tuple[object, ...]]:
    """Every interaction with its row numbers, sorted."""
    rows = data.interactions.select(COLUMNS.values()).rows()
    return sorted(zip(rows, data.query_rows.tolist(), data.candidate_rows.tolist(), strict=True))


def test_shards_hold_what_a_dataset_holds(folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    shards = encoded(folder, tmp_path / "shards", on_piece=lambda done, total: seen.append((done, total)))
    data = sl.Dataset(folder, "user", "film", "when", "stars")
    assert (
        repr(shards)
        == f"Shards(1,000 interactions · {len(data.queries)} queries · {len(data.candidates)} candidates · 9 shards)"
    )
    assert seen == [(number, 9) for number in range(1, 10)]  # 400 = 3·128 + 16, 350 = 2·128 + 94, 250 = 128 + 122
    assert shards.queries.equals(data.queries)
    assert shards.candidates.equals(data.candidates)
    assert shards.query_counts.tolist() == data.query_counts.tolist()
    assert shards.candidate_counts.tolist() == data.candidate_counts.tolist()
    back = shards.to_dataset()
    assert queries_and_rows(back) == queries_and_rows(data)
    first = back.interactions.head(128)  # of a piece, in another order
    assert not first.equals(data.interactions.head(128).select(first.columns))
    assert first.sort(first.columns).equals(data.interactions.head(128).select(first.columns).sort(first.columns))
    assert back.queries is shards.queries


def test_dates_and_wide_or_scattered_ids_come_back_as_they_came(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "who": pl.Series([2**64 - 1, 0, 2**63, 7], dtype=pl.UInt64),
            "what": pl.Series([-(2**62), 2**62, 0, 1]),
            "at": [datetime(2024, 5, day, 12) for day in (3, 1, 2, 4)],
        }
    )
    frame.write_parquet(tmp_path / "log.parquet")
    shards = sl.Shards.encode(
        tmp_path / "log.parquet", tmp_path / "shards", query="who", candidate="what", timestamp="at"
    )
    assert shards.to_dataset().interactions.sort("at").equals(frame.sort("at"))


def test_an_object_store_is_read_through_fsspec(folder: Path, tmp_path: Path) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    store.put(str(folder), "/bucket/log", recursive=True)
    try:
        remote = encoded("memory://bucket/log", tmp_path / "remote")
        local = encoded(folder, tmp_path / "local")
        assert remote.fingerprint == local.fingerprint
        assert sorted(remote.source) == ["a.parquet", "b.parquet", "month=2/c.parquet"]
        with pytest.raises(sl.DataError, match="no file matches"):
            encoded("memory://bucket/nothing", tmp_path / "none")
    finally:
        store.rm("/bucket", recursive=True)
    by_url = encoded(f"file://{folder}", tmp_path / "by_url")
    assert by_url.fingerprint == local.fingerprint


def test_shards_can_be_moved(folder: Path, tmp_path: Path) -> None:
    first = encoded(folder, tmp_path / "shards")
    shutil.move(tmp_path / "shards", tmp_path / "elsewhere")
    assert str(tmp_path) not in (tmp_path / "elsewhere" / "manifest.json").read_text()
    assert sl.Shards.load(tmp_path / "elsewhere").fingerprint == first.fingerprint


@pytest.mark.parametrize("by", ["random", "time"])
def test_a_split_parts_the_interactions(folder: Path, tmp_path: Path, by: str) -> None:
    shards = encoded(folder, tmp_path / "shards")
    data = sl.Dataset(folder, "user", "film", "when", "stars")
    train, test = shards.split(test=0.2, by=by)
    both = pl.concat([train.to_dataset().interactions, test.interactions])
    assert len(train) + len(test) == 1000
    assert both.sort(both.columns).equals(data.interactions.select(both.columns).sort(both.columns))
    assert train.query_counts.tolist() == train.to_dataset().query_counts.tolist()
    assert train.query_counts.sum() == len(train) == train.block_counts.sum()
    if by == "time":
        cut = data.interactions["when"].sort(descending=True)[199]
        assert test.interactions["when"].min() == cut
        assert train.to_dataset().interactions["when"].max() < cut
    else:
        assert 150 < len(test) < 250
        assert 0.3 < test.query_rows.mean() / data.query_rows.mean() < 3
    _, few = shards.split(test=0.2, by=by, most=40)
    assert 10 < len(few) < 80
    with pytest.raises(sl.ConfigError, match="already"):
        train.split(0.5)


def test_a_split_that_cannot_be_is_refused(folder: Path, tmp_path: Path) -> None:
    shards = sl.Shards.encode(folder, tmp_path / "shards", query="user", candidate="film")
    with pytest.raises(sl.DataError, match="timestamp"):
        shards.split(by="time")
    for share in (0.0, 1.0, 2):
        with pytest.raises(sl.ConfigError, match="fraction"):
            shards.split(share)
    with pytest.raises(sl.ConfigError, match="by is"):
        shards.split(0.1, by="moon")  # type: ignore[arg-type]
    for seed in (1.5, None, True, "42", 2**64):
        with pytest.raises(sl.ConfigError, match=r"Shards.split\(\) got seed="):
            shards.split(0.1, seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("at_once", [1, 399, 400, 751, 10_000])
def test_the_source_is_read_in_parts_of_bounded_rows(at_once: int, folder: Path) -> None:
    """Files of 400, 350 and 250 rows: what fits is read together, what does not is cut."""
    source = find(folder)
    parts = [scan.select(pl.len()).collect().item() for _, scan in source.scans(["user"], at_once)]
    assert max(parts) <= at_once
    expected = {399: [399, 1, 350, 250], 400: [400, 350, 250], 751: [750, 250], 10_000: [1000]}
    assert parts == expected.get(at_once, [1] * 1000)
    whole = pl.concat([scan.select("user").collect() for _, scan in source.scans(["user"], at_once)])
    assert whole["user"].to_list() == pl.read_parquet(sorted(folder.rglob("*.parquet")))["user"].to_list()


def test_shards_over_larger_tables(folder: Path, tmp_path: Path) -> None:
    """The same interactions, counts and splits; rows are those of the tables that are given."""
    shards = encoded(folder, tmp_path / "shards")
    turned = {name: getattr(shards, name).reverse() for name in ("queries", "candidates")}
    over = shards.over(**turned).over(**turned)
    for side, table, key in (("query", over.queries, "user"), ("candidate", over.candidates, "film")):
        assert table.equals(turned[{"query": "queries", "candidate": "candidates"}[side]])
        own, moved = getattr(shards, f"{side}_counts"), getattr(over, f"{side}_counts")
        assert moved.tolist() == own[::-1].tolist()
        ids = getattr(shards, {"query": "queries", "candidate": "candidates"}[side])[key]
        for before, now in zip(shards.chunks(), over.chunks(), strict=True):
            then = ids.gather(getattr(before, side)).to_list()
            assert table[key].gather(getattr(now, side)).to_list() == then
    train, held_out = shards.split(0.2)
    others, other_held_out = over.split(0.2)
    assert held_out.interactions.equals(other_held_out.interactions)
    assert others.query_counts.tolist() == train.query_counts[::-1].tolist()
    with pytest.raises(sl.DataError, match="not in its table"):
        shards.over(shards.queries.head(1), shards.candidates)
