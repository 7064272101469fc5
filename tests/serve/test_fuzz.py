"""Whatever happens to a bundle's bytes: a clear refusal, or the same answers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.errors import BundleError
from shortlist.serve.loaded import Loaded


@settings(max_examples=40)
@given(data=st.data())
def test_flipped_cut_and_swapped_files_are_refused(
    data: st.DataObject, bundles: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("fuzz") / "one"
    shutil.copytree(bundles / "one", place)
    names = sorted(str(file.relative_to(place)) for file in place.rglob("*") if file.is_file())
    name = data.draw(st.sampled_from(names))
    before = (place / name).read_bytes()
    kind = data.draw(st.sampled_from(["flip", "cut", "grow", "swap", "gone", "more"]))
    if kind == "flip":
        at = data.draw(st.integers(0, len(before) - 1))
        after = before[:at] + bytes([before[at] ^ 1 << data.draw(st.integers(0, 7))]) + before[at + 1 :]
    elif kind == "cut":
        after = before[: data.draw(st.integers(0, len(before) - 1))]
    elif kind == "grow":
        after = before + data.draw(st.binary(min_size=1, max_size=9))
    elif kind == "swap":
        after = (bundles / "two" / name).read_bytes()
    else:
        after = before
    if kind == "gone":
        (place / name).unlink()
    elif kind == "more":
        (place / data.draw(st.sampled_from(["x.pkl", "model/more.onnx", "index/x"]))).write_bytes(b"x")
    elif after == before:
        return  # the two bundles share this file
    else:
        (place / name).write_bytes(after)
    with pytest.raises(BundleError) as caught:
        Loaded.read(place)
    assert caught.value.message
