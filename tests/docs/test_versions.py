"""The documentation of several versions side by side."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "docs" / "versions.py"


def _program() -> Any:
    spec = importlib.util.spec_from_file_location("versions", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _site(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "index.html").write_text(text)
    return folder


def test_versions_stand_side_by_side_and_the_newest_is_opened(tmp_path: Path) -> None:
    versions, host = _program(), tmp_path / "host"
    for number in ("0.9.0", "0.10.0", "0.2.0"):
        versions.add(_site(tmp_path / number, number), host, number)
    listed = json.loads((host / "versions.json").read_text())
    assert [one["version"] for one in listed] == ["0.10.0", "0.9.0", "0.2.0"]
    assert [one["aliases"] for one in listed] == [["latest"], [], []]
    assert 'url=0.10.0/"' in (host / "index.html").read_text()
    assert (host / "0.9.0" / "index.html").read_text() == "0.9.0"


def test_a_version_built_again_replaces_the_old_build(tmp_path: Path) -> None:
    versions, host = _program(), tmp_path / "host"
    first = _site(tmp_path / "first", "first")
    (first / "gone.html").write_text("gone")
    versions.add(first, host, "0.2.0")
    versions.add(_site(tmp_path / "second", "second"), host, "0.2.0")
    assert [one.name for one in (host / "0.2.0").iterdir()] == ["index.html"]
    assert (host / "0.2.0" / "index.html").read_text() == "second"
    assert sorted(one.name for one in host.iterdir()) == ["0.2.0", "index.html", "versions.json"]


def test_a_site_that_was_not_built_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make docs"):
        _program().add(tmp_path / "nothing", tmp_path / "host", "0.2.0")
    assert not (tmp_path / "host").exists()
