"""``shortlist export``: towers as ONNX, and a signature."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.cli.typed import shortlist

import shortlist as sl
from shortlist.recommender import bundle as room


def test_a_bundle_is_exported_and_signed(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "my.shortlist")
    (tmp_path / "bundle.key").write_text("k" * 32 + "\n")
    (tmp_path / "short.key").write_text("k" * 31)
    done = shortlist("export", "my.shortlist", "--out", "out.shortlist", "--sign", "short.key", cwd=tmp_path)
    assert done.returncode == 1
    assert "has 31 bytes" in done.stderr
    assert not (tmp_path / "out.shortlist").exists()
    options = ("--out", "out.shortlist", "--sign", "bundle.key", "--json")
    done = shortlist("export", "my.shortlist", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["onnx_bytes"] > 0
    assert "signed with the key in bundle.key" in done.stderr
    assert room.load(tmp_path / "out.shortlist", key=b"k" * 32).state.model.onnx.keys() == {"query", "candidate"}
    done = shortlist("serve", "my.shortlist", "--require-signature", "bundle.key", cwd=tmp_path)
    assert done.returncode == 1
    assert "has no signature" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("my.shortlist", "--out", "other"), "exists and is not a bundle"),
        (("my.shortlist", "--out", "none/new.shortlist"), "does not exist"),
        (("my.shortlist", "--out", "my.shortlist"), "already exists"),
        (("current",), "is a link"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_the_export(
    words: tuple[str, ...], said: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bundle, tmp_path / "my.shortlist")
    (tmp_path / "other").mkdir()
    (tmp_path / "current").symlink_to("my.shortlist")
    monkeypatch.setattr(sl.Recommender, "export", lambda self: pytest.fail("exported"))
    done = shortlist("export", *words, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
