"""Shards that grow: what is read and written, what it equals, and what a kill at any step leaves."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.data.shards import files
from shortlist.data.shards.growth import InUseError
from shortlist.data.source import Source

COLUMNS = {"query": "user", "candidate": "film", "timestamp": "when", "weight": "stars"}
SMALL = {"block_rows": 8, "piece_rows": 32}


def day(number: int, rows: int = 40, users: int = 20, films: int = 15) -> pl.DataFrame:
    """A day's log; later days bring users and films that earlier ones did not have."""
    draw = np.random.default_rng(number)
    return pl.DataFrame(
        {
            "user": draw.integers(0, users + 3 * number, rows),
            "film": [f"f{film:02}" for film in draw.integers(0, films + number, rows)],
            "when": 1000 * number + np.arange(rows),
            "stars": draw.integers(1, 6, rows).astype(np.float32),
            "device": [("phone", "tv", f"d{number}")[one] for one in draw.integers(0, 3, rows)],
        }
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A folder with two days."""
    place = tmp_path / "log"
    place.mkdir()
    for number in (1, 2):
        day(number).write_parquet(place / f"day-{number}.parquet")
    return place


def grown(log: Path, folder: Path, **options: Any) -> sl.Shards:
    return sl.Shards.encode(log, folder, **{**COLUMNS, **SMALL, "grow": True, **options})


def contents(shards: sl.Shards) -> dict[str, Any]:
    """What is in the shards, whatever the numbers of ids and the order of rows."""
    data = shards.to_dataset()
    names = sorted(data.interactions.columns)
    rows = sorted(map(repr, data.interactions.select(names).rows()))
    counted = {
        side: {one: int(count) for one, count in zip(table[key].to_list(), counts.tolist(), strict=True) if count}
        for side, table, key, counts in (
            ("query", shards.queries, shards.query, shards.query_counts),
            ("candidate", shards.candidates, shards.candidate, shards.candidate_counts),
        )
    }
    return {"names": names, "rows": rows, **counted}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many rows were read of files, and how many arrays of pieces were written."""
    found = {"rows": 0, "arrays": 0}
    read, scans, write = Source.read, Source.scans, files.write_array

    def counting_read(self: Source, file: Any, start: int, rows: int, columns: Any) -> pl.DataFrame:
        found["rows"] += rows
        return read(self, file, start, rows, columns)

    def counting_scans(self: Source, columns: Any, *rest: Any) -> Iterator[tuple[str, pl.LazyFrame]]:
        found["rows"] += sum(map(self.rows, self.files))
        return scans(self, columns, *rest)

    def counting_write(path: Path, values: Any) -> Any:
        found["arrays"] += path.name[0].isdigit()
        return write(path, values)

    monkeypatch.setattr(Source, "read", counting_read)
    monkeypatch.setattr(Source, "scans", counting_scans)
    monkeypatch.setattr(files, "write_array", counting_write)
    return found


def test_one_more_day_reads_and_writes_that_day_alone(tmp_path: Path, counted: dict[str, int]) -> None:
    """A hundred days, then one of 1%: at most 3% of what the first encoding read and wrote."""
    log = tmp_path / "log"
    log.mkdir()
    for number in range(100):
        day(number).write_parquet(log / f"day-{number:03}.parquet")
    first = grown(log, tmp_path / "shards")
    before = dict(counted)
    old = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "shards").glob("0*.npy")}
    day(100).write_parquet(log / "day-100.parquet")
    counted.update(rows=0, arrays=0)
    shards = grown(log, tmp_path / "shards")
    assert 0 < counted["rows"] <= 0.03 * before["rows"]
    assert 0 < counted["arrays"] <= 0.03 * before["arrays"]
    assert old.items() <= {path.name: path.stat().st_mtime_ns for path in (tmp_path / "shards").glob("0*.npy")}.items()
    assert len(shards) == len(first) + 40
    assert contents(shards) == contents(grown(log, tmp_path / "anew"))


def test_known_ids_keep_their_rows(log: Path, tmp_path: Path) -> None:
    before = grown(log, tmp_path / "shards")
    day(3).write_parquet(log / "day-3.parquet")
    after = grown(log, tmp_path / "shards")
    for table in ("queries", "candidates"):
        old, new = getattr(before, table), getattr(after, table)
        assert new.head(len(old)).equals(old)
        assert len(new) > len(old)
        assert new.tail(len(new) - len(old)).equals(new.tail(len(new) - len(old)).sort(new.columns[0]))
    assert after.fingerprint != before.fingerprint
    assert contents(after) == contents(grown(log, tmp_path / "anew"))
    assert grown(log, tmp_path / "shards").fingerprint == after.fingerprint  # nothing to do


def test_a_day_that_is_late_changed_or_gone(log: Path, tmp_path: Path) -> None:
    """A file between the others, one that was written again with more rows, and one that was removed."""
    grown(log, tmp_path / "shards")
    day(3).write_parquet(log / "day-1b.parquet")
    pl.concat([day(2), day(4)]).write_parquet(log / "day-2.parquet")
    assert contents(grown(log, tmp_path / "shards")) == contents(grown(log, tmp_path / "anew"))
    (log / "day-1b.parquet").unlink()
    shards = grown(log, tmp_path / "shards")
    assert contents(shards) == contents(grown(log, tmp_path / "again"))
    assert (shards.query_counts >= 0).all()
    numbers = [piece.number for piece in shards.manifest.pieces]
    day(5).write_parquet(log / "day-5.parquet")
    after = grown(log, tmp_path / "shards")
    made = {piece.number for piece in after.manifest.pieces} - set(numbers)
    assert made
    assert min(made) > 5  # no number is given twice: of the six pieces before, two are gone
    named = {name for piece in after.manifest.pieces for name in piece.files} | set(after.manifest.tables.files)
    assert {path.name for path in (tmp_path / "shards").iterdir()} == {*named, files.HEADER, files.MANIFEST}


def test_contexts_tables_of_features_and_text_grow_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    for number in (1, 2):
        frame = day(number).with_columns(when=pl.lit(datetime(2026, 11, number)))
        frame.write_csv(log / f"day-{number}.csv")
    films = pl.DataFrame({"film": [f"f{n:02}" for n in range(18)], "year": [1990 + n for n in range(18)]})
    options = {"context": ("device",), "candidates": films}
    with pytest.warns(sl.ShortlistWarning, match="lacked"):
        grown(log, tmp_path / "shards", candidates=films.head(3), context=("device",))
    with pytest.warns(sl.ShortlistWarning, match="lacked"):
        newer = grown(log, tmp_path / "shards", candidates=films.head(9), context=("device",))  # a newer table alone
    assert newer.candidates.filter(film="f08")["year"].to_list() == [1998]
    day(3).with_columns(when=pl.lit(datetime(2026, 11, 3))).write_csv(log / "day-3.csv")
    after = grown(log, tmp_path / "shards", **options)
    anew = grown(log, tmp_path / "anew", **options)
    assert contents(after) == contents(anew)
    assert after.candidates.sort("film").equals(anew.candidates.sort("film").select(after.candidates.columns))
    assert after.contexts is not None
    assert anew.contexts is not None
    assert sorted(after.contexts["device"]) == sorted(anew.contexts["device"])
    by_name = dict(zip(after.contexts["device"], after.context_counts.tolist(), strict=True))
    assert by_name == dict(zip(anew.contexts["device"], anew.context_counts.tolist(), strict=True))


@pytest.mark.parametrize("given", ["films/", "films/*.parquet", "films/part-0.parquet"])
def test_features_in_files_are_read_again_where_any_of_these_was_changed(log: Path, tmp_path: Path, given: str) -> None:
    """A folder or a pattern as a file: new prices reach the shards, and shards of old prices are not taken for them."""
    films, shards, one = tmp_path / "films", tmp_path / "shards", given.endswith("0.parquet")
    films.mkdir()

    def priced(price: int) -> None:
        table = pl.DataFrame({"film": [f"f{n:02}" for n in range(30)], "price": [price + n for n in range(30)]})
        for number, part in enumerate([table] if one else [table.head(20), table.tail(10)]):
            part.write_parquet(films / f"part-{number}.parquet")
            os.utime(films / f"part-{number}.parquet", ns=(price, price))

    priced(100)
    first = grown(log, shards, candidates=str(tmp_path / given))
    assert first.candidates["price"].to_list() == list(range(100, 130))
    stamp = first.manifest.header.tables
    assert grown(log, shards, candidates=str(tmp_path / given), grow=False).manifest.header.tables == stamp
    priced(500)
    with pytest.raises(sl.DataError, match="encoded with other options"):
        grown(log, shards, candidates=str(tmp_path / given), grow=False)
    after = grown(log, shards, candidates=str(tmp_path / given))
    assert after.candidates["price"].to_list() == list(range(500, 530))
    assert after.manifest.header.tables != stamp


def test_tables_grow_by_parts_of_which_few_are_written_again(tmp_path: Path) -> None:
    """Days of 8, 1, 1, 1 and 1 new users: parts of 8; 8, 1; 8, 2; 8, 2, 1; 8, 4. A day without new ones writes none."""
    log, shards = tmp_path / "log", tmp_path / "shards"
    log.mkdir()
    users: list[int] = []
    found = []
    for number, new in enumerate((8, 1, 1, 0, 1, 1)):
        users += range(100 - len(users) - new, 100 - len(users))
        frame = pl.DataFrame({"user": users[-new:] if new else users[:1], "film": ["f"] * (new or 1)})
        frame.write_parquet(log / f"{number}.parquet")
        made = sl.Shards.encode(log, shards, query="user", candidate="film", grow=True)
        found.append([(one.generation, one.rows) for one in made.manifest.tables.parts.get("queries.parquet", [])])
        assert made.queries["user"].to_list() == [*range(92, 100), *users[8:]]
        assert made.queries.equals(sl.Shards.load(shards).queries)
        assert (shards / "candidates.parquet").exists()
    assert found == [
        [],
        [(0, 8), (1, 1)],
        [(0, 8), (2, 2)],
        [(0, 8), (2, 2)],
        [(0, 8), (2, 2), (4, 1)],
        [(0, 8), (5, 4)],
    ]
    names = {"queries.parquet", "queries-5.parquet"}
    assert {path.name for path in shards.glob("queries*")} == names


def test_a_table_whose_earlier_rows_change_is_written_as_a_whole(tmp_path: Path) -> None:
    log, shards = tmp_path / "log", tmp_path / "shards"
    log.mkdir()
    films = pl.DataFrame({"film": [f"f{n}" for n in range(9)], "year": range(1990, 1999)})

    def made(day: int, table: pl.DataFrame) -> sl.Shards:
        films = [f"f{n}" for n in range(8)] if day == 0 else [f"f{7 + day}"]
        pl.DataFrame({"user": [1] * len(films), "film": films}).write_parquet(log / f"{day}.parquet")
        return sl.Shards.encode(log, shards, query="user", candidate="film", candidates=table, grow=True)

    first = made(0, films.head(8))
    same = made(1, films)
    assert [one.rows for one in same.manifest.tables.parts["candidates.parquet"]] == [8, 1]
    assert same.candidates.head(8).equals(first.candidates)
    later = made(
        2, pl.concat([films.with_columns(year=pl.col("year") + 1), films.head(1).with_columns(film=pl.lit("f9"))])
    )
    assert "candidates.parquet" not in later.manifest.tables.parts
    assert later.candidates["year"].to_list() == [*range(1991, 2000), 1990]


def test_where_nothing_is_as_it_was_everything_is_encoded_anew(log: Path, tmp_path: Path) -> None:
    grown(log, tmp_path / "shards")
    for number in (1, 2):
        pl.concat([day(number), day(number + 5)]).write_parquet(log / f"day-{number}.parquet")
    shards = grown(log, tmp_path / "shards")
    anew = grown(log, tmp_path / "anew")
    assert shards.fingerprint == anew.fingerprint
    day(1).write_parquet(log / "day-1.parquet")
    day(2).write_parquet(log / "day-2.parquet")
    with shards.kept(), pytest.raises(InUseError, match="are being trained on"):
        grown(log, tmp_path / "shards")
    assert contents(shards) == contents(anew)  # and they can still be read


def test_shards_in_use_keep_their_files(log: Path, tmp_path: Path) -> None:
    shards = grown(log, tmp_path / "shards")
    with shards.kept():
        (log / "day-1.parquet").unlink()
        for number in (3, 4):
            day(number).write_parquet(log / f"day-{number}.parquet")
            grown(log, tmp_path / "shards")
        whole = contents(shards)  # counts and rows are read only now
    assert len(whole["rows"]) == 80
    day(5).write_parquet(log / "day-5.parquet")
    grown(log, tmp_path / "shards")
    assert not (tmp_path / "shards" / "query_counts.npy").exists()


@pytest.mark.parametrize("stop", range(12))
def test_a_kill_at_any_step(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    """What is there stays readable as it was until the growth is finished; the next run resumes it, also after more files."""
    before = contents(grown(log, tmp_path / "shards"))
    day(3).write_parquet(log / "day-3.parquet")
    replaced = os.replace
    left = [stop]

    def stopping(*arguments: Any) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        replaced(*arguments)

    with monkeypatch.context() as patched, contextlib.suppress(KeyboardInterrupt):
        patched.setattr(os, "replace", stopping)
        grown(log, tmp_path / "shards")
    now = contents(sl.Shards.load(tmp_path / "shards"))
    assert now in (before, contents(grown(log, tmp_path / "anew")))
    day(4).write_parquet(log / "day-4.parquet")
    shards = grown(log, tmp_path / "shards")
    assert contents(shards) == contents(grown(log, tmp_path / "anew-after"))
    assert sl.Shards.load(tmp_path / "shards").fingerprint == shards.fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.with_columns(pl.col("user").cast(pl.String)), "are of type|is of type|types"),
        (lambda frame: frame.with_columns(pl.col("when").cast(pl.Float64)), "'when' is of type Float64"),
        (lambda frame: frame.drop("stars"), "stars"),
    ],
)
def test_files_of_other_types_are_refused(
    log: Path, tmp_path: Path, change: Callable[[pl.DataFrame], pl.DataFrame], message: str
) -> None:
    before = grown(log, tmp_path / "shards")
    change(day(3)).write_parquet(log / "day-3.parquet")
    with pytest.raises(sl.DataError, match=message):
        grown(log, tmp_path / "shards")
    assert sl.Shards.load(tmp_path / "shards").fingerprint == before.fingerprint


def test_other_options_are_refused(log: Path, tmp_path: Path) -> None:
    grown(log, tmp_path / "shards")
    day(3).write_parquet(log / "day-3.parquet")
    with pytest.raises(sl.DataError, match="other options"):
        grown(log, tmp_path / "shards", weight=None)
    with pytest.raises(sl.DataError, match=r"the source differs from the encoded one: 'day-3\.parquet' is new"):
        grown(log, tmp_path / "shards", grow=False)
