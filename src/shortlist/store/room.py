"""How much memory and disk are left: of the machine, or of the container where that is less."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

__all__ = ["available_memory", "device_of", "existing", "free_disk", "held_memory", "is_in_memory"]

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
LIMITS = ("memory.max", "memory.current", "inactive_file")  # cgroup v2: two files, and a line of memory.stat
EARLIER = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")  # cgroup v1


def available_memory() -> int:
    """Bytes that are available without swapping: of the machine, or of the container where that is less.

    Pages of files that nobody has used lately count as available, since the system gives them up first.
    """
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 8 << 30
    with contextlib.suppress(OSError, ValueError, IndexError):
        free = _lines(PROC / "meminfo").get("MemAvailable", free)
    return max(min([free, *_group_rooms()]), 0)


def held_memory() -> int:
    """Bytes of anonymous memory that this process holds; 0 where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return _lines(PROC / "self" / "status").get("RssAnon", 0)
    return 0


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    return next((one for one in (folder, *folder.parents) if one.is_dir()), folder)


def free_disk(folder: Path) -> int:
    """Bytes that this user can still write in a folder, which need not exist yet."""
    return shutil.disk_usage(existing(folder)).free


def device_of(folder: Path) -> int:
    """The number of the file system of a folder, which need not exist yet."""
    return existing(folder).stat().st_dev


def is_in_memory(folder: Path) -> bool:
    """Whether files of a folder are kept in memory (tmpfs)."""
    with contextlib.suppress(OSError, AttributeError):  # AttributeError: Windows has no numbers of devices
        device = device_of(folder)
        here = f"{os.major(device)}:{os.minor(device)}"
        for line in (PROC / "self" / "mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split()
            if len(words) > 2 and words[2] == here:
                return any(kind in words for kind in ("tmpfs", "ramfs"))
    return False


def _group_rooms() -> Iterator[int]:
    """The bytes left to each control group that this process is in, up to the topmost one with a limit."""
    try:
        listed = (PROC / "self" / "cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        listed = []
    paths = {"": "/", "memory": "/"}
    for line in listed:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        for one in controllers.split(","):
            if one in paths:
                paths[one] = path
    for root, path, names in ((GROUPS, paths[""], LIMITS), (GROUPS / "memory", paths["memory"], EARLIER)):
        own = root / path.lstrip("/")
        for group in dict.fromkeys([own, *(one for one in own.parents if one.is_relative_to(root)), root]):
            room = _room_of(group, *names)
            if room is not None:
                yield room


def _room_of(group: Path, limit: str, used: str, unused: str) -> int | None:
    """The bytes left to a group; None without a limit."""
    try:
        most, now = int((group / limit).read_text()), int((group / used).read_text())
    except (OSError, ValueError):  # "max"
        return None
    files = 0
    with contextlib.suppress(OSError, ValueError):
        stat = dict(line.split(" ", 1) for line in (group / "memory.stat").read_text().splitlines() if " " in line)
        files = int(stat.get(unused, 0))
    return most - now + files


def _lines(path: Path) -> dict[str, int]:
    """The bytes of each line "name: 12 kB" of a file."""
    found = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if value.endswith("kB"):
            found[name] = int(value.split()[0]) * 1024
    return found
