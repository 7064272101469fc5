"""What the measurement of kills needs is said before it starts."""

from __future__ import annotations

import importlib.util
from argparse import Namespace
from pathlib import Path

import pytest
from benchmarks.serving import changes


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "Server", lambda *given: pytest.fail("a server was started"))


@pytest.mark.parametrize("missing", ["all", "model", "candidate.onnx"])
def test_kills_need_an_exported_bundle(missing: str, never: None, tmp_path: Path) -> None:
    bundle = tmp_path / "my.shortlist"
    if missing != "all":
        bundle.mkdir()
    if missing == "candidate.onnx":
        (bundle / "model").mkdir()
        (bundle / "model" / "query.onnx").write_bytes(b"x")
    with pytest.raises(SystemExit, match=f"run: shortlist export {bundle}"):
        changes.kills(Namespace(bundles=[bundle], count=3))


def test_kills_need_onnxruntime(never: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "candidate.onnx").write_bytes(b"x")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="onnxruntime is not installed"):
        changes.kills(Namespace(bundles=[tmp_path], count=3))
