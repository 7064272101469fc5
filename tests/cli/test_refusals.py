"""A system that refuses is said in words: full disks, missing rights, no file left to open, no folder for temporary files."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from tests.cli.typed import shortlist

from shortlist.cli.refusals import refusal

FULL = Path("/dev/full")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES])
def test_a_disk_that_refuses(number: int) -> None:
    found = refusal(OSError(number, os.strerror(number), "/data/x"))
    assert found is not None
    assert found.message == f"'/data/x' could not be read or written: {os.strerror(number)}."
    found = refusal(OSError(number, os.strerror(number)))
    assert found is not None
    assert found.message == f"a file could not be read or written: {os.strerror(number)}."


def test_other_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (errno.EMFILE, errno.ENFILE):
        found = refusal(OSError(number, os.strerror(number)))
        assert found is not None
        assert (found.message, found.hint) == (
            "too many files are open.",
            "allow this process more open files: ulimit -n 1024",
        )
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/none/at/all"])
    with pytest.raises(FileNotFoundError) as raised:
        tempfile.gettempdir()
    found = refusal(raised.value)
    assert found is not None
    assert "TMPDIR" in str(found.hint)


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file or directory", "x"), OSError("odd"), OSError()])
def test_what_may_be_a_bug_stays_one(error: OSError) -> None:
    assert refusal(error) is None


def test_a_command_that_meets_one_has_no_traceback(bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "results/x")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    done = shortlist("plan", "choices.csv", "factorization", "--query", "reader", "--candidate", "book", cwd=folder)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "'results/x' could not be read or written: No space left on device." in " ".join(done.stderr.split())


@pytest.mark.parametrize("refused", ["a folder of its own", "the state"])
def test_a_daily_run_ends_with_its_line_all_the_same(
    refused: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "daily.toml").write_text(
        f'link = "models/current"\nbundles = "bundles"\n[train]\ninteractions = {json.dumps(str(folder / "choices.csv"))}\n'
        'query = "reader"\ncandidate = "book"\nrecipe = "als"\nforce = true\n'
    )
    if refused == "the state":
        from shortlist.store import disk

        def full(path: Path, content: bytes, scratch: Path | None = None) -> None:
            if path.name == ".current.daily.json":
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            written(path, content, scratch)

        written = disk.write_file
        monkeypatch.setattr("shortlist.store.write_file", full)
    else:
        (tmp_path / "bundles").write_text("a file in the way")
    done = shortlist("daily", "daily.toml", "--day", "2026-11-28", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    said = json.loads(done.stdout)
    assert said["status"] == "failed"
    assert ("No space left" if refused == "the state" else "bundles") in said["error"]


def typed(words: str, where: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, with the streams that the shell gives it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    line = f"exec {shlex.quote(sys.executable)} -m shortlist {words} {where}"
    return subprocess.run(
        ["sh", "-c", line], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "words",
    ["recommend my.shortlist 1 --json", "recommend my.shortlist 1", "schema", "doctor", "--help", "train --help"],
)
def test_a_result_that_cannot_be_written_is_an_error_in_words(bundle: Path, folder: Path, words: str) -> None:
    done = typed(words, ">/dev/full", folder)
    assert done.returncode == 1, done.stderr
    said = " ".join(done.stderr.split())
    assert said.startswith("error: the result could not be written to standard output: No space left on device.")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_messages_that_cannot_be_written_stop_no_work(bundle: Path, folder: Path, tmp_path: Path) -> None:
    """A training of hours is not lost with the disk of its log."""
    train = f"train choices.csv --query reader --candidate book --recipe als --force --out {tmp_path / 'x.shortlist'}"
    assert typed(train, "2>/dev/full", folder).returncode == 0
    assert (tmp_path / "x.shortlist" / "manifest.json").is_file()
    done = typed("recommend my.shortlist 1 --json", "2>/dev/full", folder)
    assert done.returncode == 0
    assert json.loads(done.stdout)
    assert typed("recommend nowhere.shortlist 1", "2>/dev/full", folder).returncode == 1
