"""Files of shards: damage is found by name, a record is one of its kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.data.shards.encoding import encoded

import shortlist as sl
from shortlist.data.shards import files


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


def test_a_record_of_another_kind_is_refused(folder: Path, tmp_path: Path) -> None:
    encoded(folder, tmp_path / "shards")
    header = files.read_record(tmp_path / "shards" / "source.json", files.Header)
    assert header.query == "user"
    with pytest.raises(sl.DataError, match="another version"):
        files.read_record(tmp_path / "shards" / "source.json", files.Piece)
