"""Shards hold what a Dataset holds, whatever stops the encoding on the way."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.data.shards import files, find
from shortlist.data.shards.encode import id_counts
from shortlist.data.shards.quantile import time_of_rank

COLUMNS = {"query": "user", "candidate": "film", "timestamp": "when", "weight": "stars"}
SMALL = {"block_rows": 32, "piece_rows": 128}


def encoded(source: Path | str, folder: Path, **options: object) -> sl.Shards:
    return sl.Shards.encode(source, folder, **{**COLUMNS, **SMALL, **options})


def queries_and_rows(data: sl.Dataset) -> list[tuple[object, ...]]:
    """Every interaction with its row numbers, sorted."""
    rows = data.interactions.select(COLUMNS.values()).rows()
    return sorted(zip(rows, data.query_rows.tolist(), data.candidate_rows.tolist(), strict=True))


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.suffix == ".npy"}


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


def test_tables_given_are_merged_and_completed_as_in_a_dataset(folder: Path, tmp_path: Path) -> None:
    films = pl.DataFrame({"film": [5, 107, 107, 114], "year": [1990, 1991, 1992, 1993]})
    with pytest.warns(sl.ShortlistWarning, match="lacked"):
        data = sl.Dataset(folder, "user", "film", candidates=films)
    with pytest.warns(sl.ShortlistWarning, match="lacked"):
        shards = sl.Shards.encode(folder, tmp_path / "shards", query="user", candidate="film", candidates=films)
    assert shards.candidates.equals(data.candidates)
    assert shards.notes == data.notes
    assert shards.candidate_counts.tolist() == data.candidate_counts.tolist()
    assert sorted(shards.to_dataset().candidate_rows) == sorted(data.candidate_rows)


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


def test_work_done_once_is_not_done_again(folder: Path, tmp_path: Path) -> None:
    first = encoded(folder, tmp_path / "shards")
    times = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "shards").iterdir()}
    again = encoded(folder, tmp_path / "shards", on_piece=lambda done, total: pytest.fail("encoded again"))
    assert again.fingerprint == first.fingerprint
    assert times == {file.name: file.stat().st_mtime_ns for file in (tmp_path / "shards").iterdir()}


KILLED = """
    import os, sys
    import shortlist as sl
    from shortlist.data.shards import files

    write, left = files.write_array, int(sys.argv[3])

    def dying(path, values):
        global left
        left -= 1
        if left == 0:  # in the middle of a file
            path.with_name(f".{path.name}.writing").write_bytes(b"half")
            os.kill(os.getpid(), 9)
        return write(path, values)

    files.write_array = dying
    sl.Shards.encode(sys.argv[1], sys.argv[2], query="user", candidate="film", timestamp="when", weight="stars",
                     block_rows=32, piece_rows=128)
"""


@pytest.mark.parametrize("after", [1, 4, 13])  # in the tables; in the first piece; in the third
def test_a_killed_run_is_taken_up_where_it_was(folder: Path, tmp_path: Path, after: int) -> None:
    whole = encoded(folder, tmp_path / "whole")
    target = tmp_path / "killed"
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(folder), str(target), str(after)]
    assert subprocess.run(command, check=False, capture_output=True, timeout=300).returncode == -9
    with pytest.raises(sl.DataError, match="not finished"):
        sl.Shards.load(target)
    finished = {file.name: file.stat().st_mtime_ns for file in target.iterdir() if file.suffix == ".npy"}
    resumed = encoded(folder, target)
    assert contents(target) == contents(tmp_path / "whole")
    assert resumed.fingerprint == whole.fingerprint
    kept = [name for name, time in finished.items() if (target / name).stat().st_mtime_ns == time]
    assert len(kept) >= {1: 0, 4: 2, 13: 10}[after]  # two counts; and two pieces of four arrays
    assert sorted(file.name for file in target.iterdir()) == sorted(
        file.name for file in (tmp_path / "whole").iterdir()
    )


def test_a_full_disk_leaves_what_is_done_and_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, left = os.fsync, [12]

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    target = tmp_path / "shards"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(sl.DataError, match="No space left on device") as failed:
            encoded(folder, target)
    assert "resumes with the first missing piece" in str(failed.value)
    assert not list(target.glob(".*"))
    encoded(folder, target)
    encoded(folder, tmp_path / "whole")
    assert contents(target) == contents(tmp_path / "whole")


@pytest.mark.parametrize("name", ["00004.query.npy", "queries.parquet", "query_counts.npy", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_damage_is_found_by_name(folder: Path, tmp_path: Path, name: str, damage: str) -> None:
    target = tmp_path / "shards"
    encoded(folder, target)
    path = target / name
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[:-3])
    elif damage == "flipped":
        content[-2] ^= 4
        path.write_bytes(content)
    else:
        path.unlink()
    with pytest.raises(sl.DataError, match="not finished" if (name, damage) == ("manifest.json", "gone") else name):
        sl.Shards.load(target)


def test_a_truncated_piece_of_an_unfinished_run_is_found(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "shards"

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoded(folder, target, on_piece=stop)
    path = target / "00001.candidate.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(sl.DataError, match=r"00001\.candidate\.npy"):
        encoded(folder, target)


def test_a_source_that_changed_is_named(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "shards"
    encoded(folder, target)
    pl.read_parquet(folder / "b.parquet").head(100).write_parquet(folder / "b.parquet")
    (folder / "a.parquet").rename(folder / "d.parquet")
    with pytest.raises(sl.DataError) as changed:
        encoded(folder, target)
    for told in ("'d.parquet' is new", "'a.parquet' is gone", "'b.parquet' is changed"):
        assert told in str(changed.value)
    assert len(encoded(folder, target, overwrite=True)) == 750


def test_a_source_that_changes_meanwhile_is_refused(folder: Path, tmp_path: Path) -> None:
    def rewrite(done: int, total: int) -> None:
        if done == total:
            os.utime(folder / "a.parquet", (1, 1))

    with pytest.raises(sl.DataError, match=r"'a\.parquet' is changed"):
        encoded(folder, tmp_path / "shards", on_piece=rewrite)


def test_a_folder_of_something_else_is_left_alone(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / "thesis.json").write_text("{}")
    for overwrite in (False, True):
        with pytest.raises(sl.DataError, match=r"thesis\.json"):
            encoded(folder, target, overwrite=overwrite)
    assert (target / "thesis.json").read_text() == "{}"


def test_two_at_once_are_refused(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "shards"

    def second(done: int, total: int) -> None:
        with pytest.raises(sl.DataError, match="another process"):
            encoded(folder, target)

    encoded(folder, target, on_piece=second)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"user": pl.lit(None)}, "'user'"),
        ({"film": pl.when(pl.int_range(pl.len()) == 5).then(None).otherwise("film")}, "3 nulls in 'film'"),
        ({"stars": pl.lit(-1.0)}, "weight"),
        ({"stars": pl.lit(0.0)}, "zero in every row"),
        ({"when": pl.lit(True)}, "timestamp"),
        ({"film": pl.col("film").cast(pl.Float64)}, "Float64"),
    ],
)
def test_what_a_dataset_refuses_is_refused(folder: Path, tmp_path: Path, change: dict[str, pl.Expr], says: str) -> None:
    for file in folder.rglob("*.parquet"):
        pl.read_parquet(file).with_columns(**change).write_parquet(file)
    with pytest.raises(sl.DataError, match=says):
        encoded(folder, tmp_path / "shards")


def test_missing_columns_and_files_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(sl.DataError, match="did you mean 'user'"):
        encoded(folder, tmp_path / "one", query="usr")
    with pytest.raises(sl.DataError, match="does not exist"):
        encoded(tmp_path / "nowhere", tmp_path / "two")
    with pytest.raises(sl.ConfigError, match="inside the source"):
        encoded(folder, folder / "shards")
    (folder / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(sl.DataError, match="could not be read"):
        encoded(folder, tmp_path / "three")


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


@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_a_rank_among_numbers_on_disk_is_exact(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    from shortlist.data.shards import quantile

    monkeypatch.setattr(quantile, "AT_ONCE", 7)
    monkeypatch.setattr(quantile, "BINS", 5)
    rng = np.random.default_rng(3)
    for spread in (1, 4, 10**12):
        values = rng.integers(-spread, spread + 1, 300).astype(kind)
        for rank in (1, 2, 150, 299, 300):
            found = time_of_rank(lambda values=values: np.split(values, [100, 210]), rank)
            assert found == np.sort(values)[300 - rank]


def test_a_record_of_another_kind_is_refused(folder: Path, tmp_path: Path) -> None:
    encoded(folder, tmp_path / "shards")
    header = files.read_record(tmp_path / "shards" / "source.json", files.Header)
    assert header.query == "user"
    with pytest.raises(sl.DataError, match="another version"):
        files.read_record(tmp_path / "shards" / "source.json", files.Piece)


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


def test_ids_are_counted_over_all_parts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = find(folder)

    def counted() -> pl.DataFrame:
        ids, often = id_counts(source, "user", "query")
        return pl.DataFrame({"id": ids, "often": often}).sort("id")

    whole = counted()
    scans = type(source).scans
    monkeypatch.setattr(type(source), "scans", lambda self, columns: scans(self, columns, 77))
    assert counted().equals(whole)
    assert whole["often"].sum() == 1000


def test_contexts_are_counted_and_a_column_may_be_called_len(tmp_path: Path) -> None:
    """Of eight rows, three at 5, one at 7, four at no known hour; of those kept after a split, as many as are read."""
    rows = pl.DataFrame(
        {"len": [1, 2, 3, 4, 1, 2, 3, 4], "item": [5, 6] * 4, "hour": [5, None, 7, None, 5, None, 5, None]}
    )
    rows.write_parquet(tmp_path / "log.parquet")
    shards = sl.Shards.encode(
        tmp_path / "log.parquet", tmp_path / "shards", query="len", candidate="item", context=["hour"]
    )
    assert shards.contexts is not None
    assert dict(zip(shards.contexts["hour"].to_list(), shards.context_counts.tolist(), strict=True)) == {
        None: 4,
        5: 3,
        7: 1,
    }
    assert shards.query_counts.tolist() == [2, 2, 2, 2]
    train, test = shards.split(0.25)
    held = test.interactions["hour"].to_list()
    left = {hour: count - held.count(hour) for hour, count in {None: 4, 5: 3, 7: 1}.items()}
    assert dict(zip(shards.contexts["hour"].to_list(), train.context_counts.tolist(), strict=True)) == left
