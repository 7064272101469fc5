"""Files that commands write next to their bundles: whole or as they were, and never in the place of a device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.typed import shortlist

from shortlist.cli.result_files import check_result_file, write_result_file
from shortlist.errors import ConfigError
from shortlist.store import disk


def unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path.name}: {error.strerror}")


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "figures.json"
    write_result_file(path, "old", unwritable)

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "sync", full)
    with pytest.raises(ConfigError, match=r"figures\.json: No space left"):
        write_result_file(path, "new and longer", unwritable)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("figures.json", "old")]


def test_a_place_that_takes_no_file_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("none/file")
    for place in (tmp_path, tmp_path / "none" / "file", tmp_path / "link"):
        with pytest.raises(ConfigError):
            check_result_file(place, unwritable)
    os.mkfifo(tmp_path / "pipe")
    check_result_file(tmp_path / "pipe", unwritable)


@pytest.mark.skipif(not Path("/proc/self/fd/1").exists(), reason="this system has no /proc")
def test_results_go_to_standard_output_where_that_is_named(bundle: Path, folder: Path, tmp_path: Path) -> None:
    """The file behind it is the one that the shell has opened, and the link to it stays."""
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")
    (tmp_path / "report.html").symlink_to("kept.html")
    (tmp_path / "kept.html").write_text("old")
    code = "import sys; from shortlist.cli.main import main; main()"
    output = tmp_path / "output"
    with output.open("wb") as file:
        words = ["report", str(bundle), "-o", str(tmp_path / "stdout"), "--json"]
        subprocess.run([sys.executable, "-c", code, *words], stdout=file, check=True, cwd=folder, timeout=300)
    assert os.readlink(tmp_path / "stdout") == "/proc/self/fd/1"
    page, _, figures = output.read_bytes().decode().rpartition("</html>")
    assert page.lower().startswith("<!doctype html>")
    assert json.loads(figures)
    done = shortlist("report", bundle, "-o", tmp_path / "report.html", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").is_symlink()
    assert "<html" in (tmp_path / "kept.html").read_text()
