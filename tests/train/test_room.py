"""A run that would not fit is refused before it begins, with the phase that lacks room."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.train.processes import choices

import shortlist as sl
from shortlist.train import room
from shortlist.train.phases import Sizes
from shortlist.train.room import Folders, check_fits

FORCE = "; or --force"
SIZES = Sizes(
    weights=1000, optimizer=500, dense=0, ids=100, interactions=50, shards=40, vectors=300, stored=700, index=200, serving=0
)  # fmt: skip
STEPS = 300_000_000 + 1000 + 500 + 100 + 50
INDEX, SAVE = STEPS + 200, STEPS + 2 * 200 + 100


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What there is: memory, what this process holds of it, and each disk by its number."""
    there = {"memory": 10**12, "held": 0, "disk": 10**12, "in memory": 0}
    monkeypatch.setattr(room, "available_memory", lambda: there["memory"])
    monkeypatch.setattr(room, "held_memory", lambda: there["held"])
    monkeypatch.setattr(room, "free_disk", lambda folder: there["disk"])
    monkeypatch.setattr(room, "is_in_memory", lambda folder: bool(there["in memory"]))
    monkeypatch.setattr(room, "device_of", lambda folder: 1)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    return there


@pytest.mark.parametrize(("bundle", "need", "phase"), [(True, SAVE, "save"), (False, STEPS, "steps|build|checkpoint")])
def test_memory_counts_with_what_the_process_has(
    bundle: bool, need: int, phase: str, machine: dict[str, int], tmp_path: Path
) -> None:
    folders = Folders(bundle=tmp_path if bundle else None)
    for held in (0, 1000):
        machine |= {"memory": need - held, "held": held}
        check_fits(SIZES, folders, FORCE)
        machine["memory"] -= 1
        with pytest.raises(
            sl.ConfigError, match=f"does not fit: the phase '{phase}' needs 300.0 MB of memory"
        ) as raised:
            check_fits(SIZES, folders, FORCE)
        assert str(raised.value.hint).endswith(FORCE) == bundle  # training itself cannot be forced


def test_processes_of_one_machine_share_its_memory(
    machine: dict[str, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of 1,500 bytes of tables and state each of four has 375; two of them are on this machine."""
    sizes = replace(SIZES, processes=4)
    steps = STEPS - 1500 + 375
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    machine["memory"] = 2 * steps
    check_fits(sizes, Folders())
    machine["memory"] -= 1
    with pytest.raises(sl.ConfigError, match="does not fit"):
        check_fits(sizes, Folders())
    machine["memory"] = 2 * steps  # more than the first alone needs while it saves
    check_fits(sizes, Folders(bundle=tmp_path))


def test_vectors_without_a_disk_for_them_are_in_memory(machine: dict[str, int], tmp_path: Path) -> None:
    folders = Folders(bundle=tmp_path)
    machine |= {"memory": SAVE, "disk": 700 + 300}
    check_fits(SIZES, folders)
    for less in ({"disk": 700 + 299}, {"in memory": 1}):
        there = dict(machine)
        machine |= less
        with pytest.raises(sl.ConfigError, match="the phase 'save' needs"):
            check_fits(SIZES, folders)
        machine["memory"] = SAVE + 2 * 300  # as vectors, and as those of the bundle that is compared
        check_fits(SIZES, folders)
        machine |= there


def test_what_is_written_to_one_disk_counts_together(machine: dict[str, int], tmp_path: Path) -> None:
    """A bundle of 700 bytes, three checkpoints of 1,500 each, of which 600 bytes are there, and shards of 40."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "left").write_bytes(b"x" * 600)
    folders = Folders(bundle=tmp_path, checkpoints=tmp_path / "runs", shards=tmp_path / "new" / "shards")
    machine["disk"] = 40 + (4500 - 600) + 700
    check_fits(SIZES, folders, FORCE)
    machine["disk"] -= 1
    told = "it writes 0.0 kB in the phase 'build', 3.9 kB in the phase 'checkpoint', 0.7 kB in the phase 'save' to the disk of"
    with pytest.raises(sl.ConfigError, match=told) as raised:
        check_fits(SIZES, folders, FORCE)
    assert not str(raised.value.hint).endswith(FORCE)  # shards are needed
    machine["disk"] = 699
    with pytest.raises(
        sl.ConfigError, match=r"it writes 0\.7 kB in the phase 'save' to the disk of .*, where 0\.7 kB are free"
    ) as raised:
        check_fits(SIZES, Folders(bundle=tmp_path), FORCE)
    assert str(raised.value.hint).endswith(FORCE)


def test_tables_in_files_take_the_disk_of_their_folder(machine: dict[str, int], tmp_path: Path) -> None:
    sizes = replace(SIZES, elsewhere=1500)
    machine |= {"memory": STEPS - 1500, "disk": 1500}
    check_fits(sizes, Folders(tables=tmp_path))
    machine["disk"] -= 1
    with pytest.raises(sl.ConfigError, match=r"1\.5 kB in the phase 'build'"):
        check_fits(sizes, Folders(tables=tmp_path))


def test_a_training_without_room_for_its_checkpoints_does_not_begin(machine: dict[str, int], tmp_path: Path) -> None:
    towers = [sl.Tower(sl.IntegerLookup(name), dim=4) for name in ("reader", "book")]
    machine["disk"] = 100
    with pytest.raises(sl.ConfigError, match="in the phase 'checkpoint' to the disk of"):
        sl.fit(sl.TwoTower(*towers), choices(), epochs=1, checkpoints=sl.Checkpoints(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()
    assert towers[0].built is False
