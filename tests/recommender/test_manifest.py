"""A manifest that is not one, or does not fit its bundle, is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.recommender.saved import rewrite

import shortlist as sl
from shortlist.errors import BundleError


def test_what_the_manifest_does_not_name_is_refused(bundle: Path) -> None:
    for extra in ("extra.txt", "index/extra.npy", "model/more/deep"):
        (bundle / extra).parent.mkdir(exist_ok=True)
        (bundle / extra).write_text("x")
        with pytest.raises(BundleError, match="does not name"):
            sl.Recommender.load(bundle)
        (bundle / extra).unlink()
    os.mkfifo(bundle / "pipe")
    with pytest.raises(BundleError, match="special"):
        sl.Recommender.load(bundle)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "index/../../outside", "index\\..\\outside"])
def test_paths_that_leave_the_folder_are_refused(bundle: Path, name: str) -> None:
    (bundle.parent / "outside").write_text("x")
    rewrite(bundle, lambda manifest: manifest["files"].update({name: {"bytes": 1, "sha256": "0" * 64}}))
    with pytest.raises(BundleError, match="is outside the folder"):
        sl.Recommender.load(bundle)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read"),
        (b"not json", "cannot be read"),
        (b"\xff\xfe{}", "cannot be read"),
        (b"[1, 2]", "cannot be read"),
        (b'{"name": "an extension", "manifest_version": 3}', "cannot be read"),
        (b'{"kind": "shortlist bundle", "format": "1"}', "cannot be read"),
        (b'{"kind": "shortlist bundle", "format": 1}', "missing required field"),
        (b'{"kind": "shortlist bundle", "format": 3}', "missing required field"),
        (b'{"kind": "shortlist bundle", "format": 4, "library": "9.1"}', "9.1"),
        (b"[" * 100_000, "cannot be read"),
        (b" " * ((16 << 20) + 1), "at most"),
    ],
)
def test_a_manifest_that_is_none_is_refused(bundle: Path, content: bytes, says: str) -> None:
    (bundle / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError) as caught:
        sl.Recommender.load(bundle)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(format=True),
        lambda manifest: manifest.update(dim="2"),
        lambda manifest: manifest.update(surprise=1),
        lambda manifest: manifest.update(cold_start="guess"),
        lambda manifest: manifest.update(files=[]),
        lambda manifest: manifest["files"]["seen.safetensors"].update(bytes=1.5),
        lambda manifest: manifest["golden"][0].update(rows=["a"]),
        lambda manifest: manifest.pop("fingerprint"),
    ],
)
def test_wrong_types_in_the_manifest_are_refused(bundle: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    rewrite(bundle, change)
    with pytest.raises(BundleError, match="cannot be read"):
        sl.Recommender.load(bundle)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda manifest: manifest.update(dim=3), "queries"),
        (lambda manifest: manifest["queries"].update(rows=5), "differs from the table"),
        (lambda manifest: manifest["queries"].update(id="known"), "cannot be read|repeated|another|differs"),
        (lambda manifest: manifest["queries"].update(added="who"), "differs from the table"),
        (lambda manifest: manifest["golden"][0].update(query=99), "unknown queries"),
        (lambda manifest: manifest["golden"][0]["rows"].reverse(), "differently"),
        (lambda manifest: manifest["golden"][0]["scores"].reverse(), "differently"),
        (lambda manifest: manifest["golden"].pop(), "golden"),
        (lambda manifest: manifest.update(fingerprint="0" * 64), "do not belong to one training"),
        (lambda manifest: manifest.update(training="0" * 64), "do not belong to one training"),
        (lambda manifest: manifest.update(sample="0" * 64), "do not belong to one training"),
        (lambda manifest: manifest["files"]["vectors.safetensors"].update(tensors=None), "does not list the tensors"),
        (lambda manifest: manifest["files"]["vectors.safetensors"]["tensors"].pop("queries"), "other tensors"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    bundle: Path, change: Callable[[dict[str, Any]], Any], says: str
) -> None:
    rewrite(bundle, change)
    with pytest.raises(BundleError, match=says):
        sl.Recommender.load(bundle)
