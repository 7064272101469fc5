"""A cache is believed only when it is exactly what was written; see also tests/congruence/test_checked_folders.py."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import shortlist as sl
from shortlist.data import cache

TABLES = {"a": pl.DataFrame({"x": ["é", ""], "y": [[1], []]}), "b": pl.DataFrame({"z": [1.5]})}


def same(tables: dict[str, pl.DataFrame] | None) -> bool:
    return tables is not None and tables.keys() == TABLES.keys() and all(tables[k].equals(TABLES[k]) for k in TABLES)


def test_what_was_stored_is_loaded_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    assert cache.load(tmp_path / "data") is None
    for _ in range(2):
        cache.store(tmp_path / "data", TABLES)
        assert same(cache.load(tmp_path / "data"))
        assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("manifest", ["[]", "null", "{}", '{"format": 1}', '{"format": 1, "sha256": [1]}'])
def test_another_manifest_is_not_trusted(manifest: str, tmp_path: Path) -> None:
    cache.store(tmp_path / "data", TABLES)
    (tmp_path / "data" / "manifest.json").write_text(manifest)
    assert cache.load(tmp_path / "data") is None


def test_another_format_is_not_read(tmp_path: Path) -> None:
    cache.store(tmp_path / "data", TABLES)
    path = tmp_path / "data" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    assert cache.load(tmp_path / "data") is None


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("SHORTLIST_CACHE", raising=False)
    assert cache.default_cache() == tmp_path / ".cache" / "shortlist"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.default_cache() == tmp_path / "xdg" / "shortlist"
    monkeypatch.setenv("SHORTLIST_CACHE", "~/own")
    assert cache.default_cache() == tmp_path / "own"


def test_without_a_home_a_folder_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As a user without an entry has none where the environment is empty."""
    for name in ("HOME", "XDG_CACHE_HOME", "SHORTLIST_CACHE"):
        monkeypatch.delenv(name, raising=False)
    pwd = pytest.importorskip("pwd")

    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(sl.ConfigError, match="no home folder") as raised:
        cache.default_cache()
    assert "SHORTLIST_CACHE" in str(raised.value.hint)
    monkeypatch.setenv("SHORTLIST_CACHE", str(tmp_path))
    assert cache.default_cache() == tmp_path


def test_the_home_of_nobody_is_a_name_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nobody = "~nobody-of-that-name/log.csv"
    with pytest.raises(sl.DataError, match="nobody-of-that-name"):
        sl.Dataset(nobody, "u", "i")
    with pytest.raises(sl.DataError, match="nobody-of-that-name"):
        sl.Shards.encode(nobody, tmp_path / "shards", query="u", candidate="i")
    with pytest.raises(sl.DataError, match="nobody-of-that-name"):
        sl.datasets.movielens("100k", data_dir="~nobody-of-that-name")
    pytest.importorskip("duckdb")
    with pytest.raises(sl.DataError, match="nobody-of-that-name"):
        sl.read_sql("select 1", "~nobody-of-that-name/shop.duckdb")
