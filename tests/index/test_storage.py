"""The folder of an index: files named after their content, a record that is put there last, and arrays that are as expected."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from shortlist.errors import BundleError
from shortlist.index.storage import Reader, Writer


def saved(folder: Path, values: list[float], native: bytes | None = None) -> None:
    """One array, and one file of a native library."""
    with Writer(folder) as writer:
        writer.array("vectors", np.array(values, np.float32))
        if native is not None:
            made = writer.scratch / "made"
            made.mkdir()
            (made / "graph.bin").write_bytes(native)
            writer.adopt(made, "native")
        writer.commit({"kind": "exact"})


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files_have_the_start_of_their_digest_in_their_names(tmp_path: Path) -> None:
    saved(tmp_path, [1, 2], b"graph")
    (array,) = tmp_path.glob("*.npy")
    of_array = hashlib.sha256(array.read_bytes()).hexdigest()[:12]
    of_native = hashlib.sha256(b"graph").hexdigest()[:12]
    assert files(tmp_path) == {f"vectors-{of_array}.npy", f"native-graph-{of_native}.bin", "index.json"}


def test_a_second_save_leaves_its_own_files_alone(tmp_path: Path) -> None:
    """Files of other programs stay."""
    saved(tmp_path, [1, 2], b"graph")
    (tmp_path / "notes.txt").write_text("mine")
    saved(tmp_path, [3])
    assert len(files(tmp_path)) == 3
    assert "notes.txt" in files(tmp_path)
    reader = Reader(tmp_path)
    assert reader.array("vectors", np.float32, (1,)).tolist() == [3]
    assert not reader.native


def test_a_save_without_its_end_changes_nothing(tmp_path: Path) -> None:
    saved(tmp_path, [1, 2])
    with Writer(tmp_path) as writer:
        writer.array("vectors", np.array([9], np.float32))
    assert Reader(tmp_path).array("vectors", np.float32, (2,)).tolist() == [1, 2]


def test_files_by_role(tmp_path: Path) -> None:
    saved(tmp_path, [1], b"graph")
    reader = Reader(tmp_path)
    assert reader.native
    assert reader.roles("native") == ["graph.bin"]
    assert reader.path("native/graph.bin").read_bytes() == b"graph"
    assert (reader.has("vectors"), reader.has("ids")) == (True, False)
    assert reader.header["kind"] == "exact"


@pytest.mark.parametrize(
    ("dtype", "shape"), [(np.float64, (2,)), (np.float32, (3,)), (np.float32, (2, 1)), (np.int32, (2,))]
)
def test_an_array_of_another_form_is_refused(tmp_path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    saved(tmp_path, [1, 2])
    with pytest.raises(BundleError, match=r"holds float32 \(2,\)"):
        Reader(tmp_path).array("vectors", dtype, shape)


def flipped(path: Path) -> None:
    """The last bit of a file, at the same size."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_what_is_compared(tmp_path: Path) -> None:
    """Everything by default; with "native" the files that a native library parses; without, sizes alone."""
    saved(tmp_path, [1, 2], b"graph")
    (array,) = tmp_path.glob("*.npy")
    flipped(array)
    with pytest.raises(BundleError, match=r"\.npy"):
        Reader(tmp_path)
    assert Reader(tmp_path, verify="native").native
    (native,) = tmp_path.glob("native-*")
    flipped(native)
    with pytest.raises(BundleError, match="native-graph"):
        Reader(tmp_path, verify="native")
    assert Reader(tmp_path, verify=False).native
    array.write_bytes(array.read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"\.npy"):
        Reader(tmp_path, verify=False)


def test_a_folder_without_an_index_and_a_newer_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"holds no index: index\.json is missing"):
        Reader(tmp_path)
    saved(tmp_path, [1])
    content = json.loads((tmp_path / "index.json").read_text())
    content.pop("checksum")
    (tmp_path / "index.json").write_text(json.dumps({**content, "checksum": "0" * 64}))
    with pytest.raises(BundleError):
        Reader(tmp_path)
