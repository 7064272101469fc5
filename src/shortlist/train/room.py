"""Whether a run fits, in memory and on the disk, before it begins: a run that starts should be able to finish."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shortlist.errors import ConfigError
from shortlist.language import sized
from shortlist.store import available_memory, device_of, existing, free_disk, held_memory, is_in_memory
from shortlist.train.phases import SERVED, PhaseForecast, Sizes

__all__ = ["Folders", "check_fits", "check_room_for_checkpoints"]

LAST = ("index", "save")  # phases after the training, of the first process alone
OPTIONAL = (*LAST, "checkpoint")  # phases without which a training can still end
LESS = (
    "a smaller dim, RowwiseAdagrad, table_dtype='bfloat16', table_folder=, min_count= or more processes (torchrun) take "
    "less; shortlist plan forecasts each phase"
)
FREE = "free some space there, or choose another folder; shortlist plan forecasts what each phase writes"


@dataclass(frozen=True)
class Folders:
    """Where a run writes; None for what it does not write.

    Attributes:
        bundle: the folder that the bundle is put into.
        checkpoints: of the run.
        tables: of tables in files (``table_folder``).
        shards: to be encoded, or next to which files of rows by query are written.
    """

    bundle: Path | None = None
    checkpoints: Path | None = None
    tables: Path | None = None
    shards: Path | None = None


@dataclass(frozen=True)
class Written:
    """The bytes that a phase adds to a folder that exists."""

    phase: str
    folder: Path
    size: int


def check_fits(sizes: Sizes, folders: Folders, force: str = "") -> None:
    """Check that every phase of a run, up to its bundle, finds the memory and the disk that it needs.

    Index and bundle count where a bundle is written. Vectors are kept in the folder of temporary files where it has room, else
    in memory.

    Args:
        force: what to add to the hint where the training itself fits, but not its index or bundle.

    Raises:
        ConfigError: for the phase that lacks most memory, or for the first disk that is too small.
    """
    written = _written(sizes, folders)
    if folders.bundle is not None and not _has_room_for(sizes.vectors, written):
        sizes = replace(sizes, ids=sizes.ids + sizes.vectors)
    _check_memory(sizes, folders.bundle is not None, force)
    _check_disks(written, force)


def check_room_for_checkpoints(sizes: Sizes, folder: Path) -> None:
    """ConfigError where the disk has no room for the checkpoints of a run."""
    _check_disks(_written(sizes, Folders(checkpoints=folder)), "")


def _check_memory(sizes: Sizes, whole: bool, force: str) -> None:
    """ConfigError where a phase needs more memory than is available and this process has already."""
    here = max(1, min(sizes.processes, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    available, held = available_memory(), held_memory()

    def share(phase: PhaseForecast) -> int:
        """The memory for this process; in the last phases the others on this machine have ended."""
        return held + (available if phase.name in LAST else available // here)

    phases = [one for one in sizes.phases if one.name not in SERVED and (whole or one.name not in LAST)]
    worst = max(phases, key=lambda phase: phase.memory - share(phase))
    if worst.memory <= share(worst):
        return
    raise ConfigError(
        f"this run does not fit: the phase {worst.name!r} needs {sized(worst.memory)} of memory, and {sized(share(worst))} "
        "are available.",
        hint=LESS + (force if worst.name in LAST else ""),
    )


def _written(sizes: Sizes, folders: Folders) -> list[Written]:
    """The bytes that the phases write, by folder, less those that a folder of checkpoints has already."""
    disk = {phase.name: phase.disk for phase in sizes.phases}
    found = []
    if folders.shards is not None:
        found.append(Written("build", existing(folders.shards), sizes.shards))
    if folders.tables is not None:
        found.append(Written("build", existing(folders.tables), sizes.elsewhere))
    if folders.checkpoints is not None:
        there = sum(file.stat().st_size for file in folders.checkpoints.rglob("*") if file.is_file())
        found.append(Written("checkpoint", existing(folders.checkpoints), max(0, disk["checkpoint"] - there)))
    if folders.bundle is not None:
        found.append(Written("save", existing(folders.bundle), disk["save"]))
    return [one for one in found if one.size]


def _check_disks(written: Sequence[Written], force: str) -> None:
    """ConfigError where a disk has less room than all that is written there takes."""
    for one in written:
        there, free = _on_disk_of(one.folder, written), free_disk(one.folder)
        if sum(other.size for other in there) <= free:
            continue
        parts = ", ".join(f"{sized(other.size)} in the phase {other.phase!r}" for other in there)
        raise ConfigError(
            f"this run does not fit: it writes {parts} to the disk of {str(one.folder)!r}, where {sized(free)} are free.",
            hint=FREE + (force if all(other.phase in OPTIONAL for other in there) else ""),
        )


def _has_room_for(vectors: int, written: Sequence[Written]) -> bool:
    """Whether the folder of temporary files has room for vectors next to what is written to its disk, and is not in memory."""
    folder = existing(Path(tempfile.gettempdir()))
    if is_in_memory(folder):
        return False
    return vectors + sum(one.size for one in _on_disk_of(folder, written)) <= free_disk(folder)


def _on_disk_of(folder: Path, written: Sequence[Written]) -> list[Written]:
    device = device_of(folder)
    return [one for one in written if device_of(one.folder) == device]
