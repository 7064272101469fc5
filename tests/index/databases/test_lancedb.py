"""What is peculiar to LanceDB: addresses, the table of aliases, the graph of larger tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.index.databases.engines import needs

import shortlist as sl
from shortlist.errors import ConfigError, MissingExtraError, SearchError
from shortlist.index.databases import lancedb as module

VECTORS = np.random.default_rng(0).standard_normal((600, 6)).astype(np.float32)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("localhost:80", "a folder, s3://"),
        ("http://lance", "a folder, s3://"),
        ("s3://me:secret@bucket", "LANCEDB_API_KEY"),
    ],
)
def test_addresses_that_cannot_be(uri: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        sl.LanceDB(uri)
    assert "secret" not in str(caught.value)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"'lancedb'.*\n.*shortlist\[lancedb\]"):
        sl.LanceDB("films").require()


@needs("lancedb")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SearchError, match=r"LanceDB at .* did not answer"):
        sl.LanceDB(str(tmp_path / "file" / "films")).build(VECTORS)


@needs("lancedb")
def test_a_larger_table_has_a_graph_and_a_small_one_none(tmp_path: Path) -> None:
    import lancedb

    sl.LanceDB(str(tmp_path), collection="large").build(VECTORS)
    sl.LanceDB(str(tmp_path), collection="small").build(VECTORS[:200])
    connection = lancedb.connect(tmp_path)
    aliases = connection.open_table("shortlist_aliases").to_arrow().to_pylist()
    graphs = {row["alias"]: len(connection.open_table(row["table"]).list_indices()) for row in aliases}
    assert graphs == {"large": 1, "small": 0}
