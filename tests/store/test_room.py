"""What is left of memory and disk: of the machine, and of the containers that a process is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from shortlist.store import available_memory, existing, free_disk, held_memory, is_in_memory, room

MEMORY = "MemTotal:  9000 kB\nMemAvailable:  5000 kB\n"
OWN = "/pod/app"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of which 5,000 kB are available; the process is in the groups /pod and /pod/app."""
    monkeypatch.setattr(room, "PROC", tmp_path / "proc")
    monkeypatch.setattr(room, "GROUPS", tmp_path / "groups")
    own = tmp_path / "proc" / "self"
    own.mkdir(parents=True)
    (tmp_path / "groups").mkdir()
    (tmp_path / "proc" / "meminfo").write_text(MEMORY)
    (own / "cgroup").write_text(f"4:memory,cpu:{OWN}\n0::{OWN}\n")
    (own / "status").write_text("Name:\tpython\nRssAnon:\t     700 kB\nRssFile:\t 10 kB\n")
    return tmp_path


def group(folder: Path, limit: str, used: int, unused: int = 0, version: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 7\n{names[2]} {unused}\n")


@pytest.mark.parametrize(("version", "below"), [(2, ""), (1, "memory")])
def test_the_smallest_room_counts(version: int, below: str, system: Path) -> None:
    """Pages of files that nobody used lately are no use of memory; "max" is no limit."""
    root = system / "groups" / below
    assert available_memory() == 5000 * 1024
    group(root, "max", 1000, version=version)
    assert available_memory() == 5000 * 1024
    group(root / "pod", "4000", 3000, 500, version)
    assert available_memory() == 4000 - 3000 + 500
    group(root / "pod" / "app", "3000", 2900, 200, version)
    assert available_memory() == 3000 - 2900 + 200
    group(root / "pod" / "app", "3000", 3100, version=version)
    assert available_memory() == 0


def test_a_container_that_sees_its_own_group_alone(system: Path) -> None:
    group(system / "groups", "2000", 500)
    assert available_memory() == 1500
    (system / "proc" / "self" / "cgroup").unlink()
    assert available_memory() == 1500
    (system / "groups" / "memory.stat").unlink()
    assert available_memory() == 1500


def test_what_the_process_holds(system: Path) -> None:
    assert held_memory() == 700 * 1024
    (system / "proc" / "self" / "status").unlink()
    assert held_memory() == 0


def test_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert existing(tmp_path / "a" / "b" / "c") == tmp_path / "a"
    assert free_disk(tmp_path / "a" / "b") > 0


def test_files_in_memory(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "device_of", lambda folder: 5)  # major 0, minor 5
    lines = "22 1 0:4 / / rw - ext4 /dev/vda rw\n23 22 0:5 / /tmp rw - {} none rw\n"
    for kind, kept in (("tmpfs", True), ("ext4", False)):
        (system / "proc" / "self" / "mountinfo").write_text(lines.format(kind))
        assert is_in_memory(Path("/tmp")) is kept
