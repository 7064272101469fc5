"""An index's folder: content-named files, and ``index.json`` replaced last; a killed save changes nothing.

``index.json`` holds size and sha256 of every file and a checksum of itself. Files carry the start of their own
sha256 in their names: a save adds files under new names, renames ``index.json`` over the old one, and only then removes
files that nothing refers to. No path is stored, only names within the folder.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from shortlist.errors import BundleError
from shortlist.store import Additions, DamageError, NamedEntry, TooNewError, check, read_json

__all__ = ["HALVES", "PLAIN", "Reader", "Verify", "Writer", "scratch"]

Verify: TypeAlias = "bool | Literal['native']"

PLAIN, HALVES = 1, 2  # formats: the second has vectors of bfloat16
_INDEX = "index.json"
_OURS = re.compile(r"-[0-9a-f]{12}(\.\w+)?$")  # a name that ``save`` gives
_HINT = "the folder is torn or altered: save the index again, or build it from the vectors."


class Writer(Additions):
    """Writes an index into a folder; nothing there changes until ``commit``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.files: dict[str, NamedEntry] = {}

    def array(self, role: str, values: npt.NDArray[Any]) -> None:
        """Stores one array as a plain ``.npy`` file."""
        path = self.scratch / f"{role}.npy"
        with path.open("wb") as file:
            np.lib.format.write_array(file, np.ascontiguousarray(values), allow_pickle=False)
        self.files[role] = self.add(path, role, ".npy")

    def adopt(self, folder: Path, prefix: str) -> None:
        """Takes over the files that a native library wrote into ``folder``, as roles ``prefix/name``."""
        for path in sorted(folder.iterdir()):
            stem, dot, suffix = path.name.partition(".")
            self.files[f"{prefix}/{path.name}"] = self.add(path, f"{prefix}-{stem}", dot + suffix)

    def commit(self, header: dict[str, Any], form: int = PLAIN) -> None:
        """Makes the new files the index, and removes those of the old one; ``form`` is the format."""
        files = {role: entry.to_dict() for role, entry in self.files.items()}
        self.publish(_INDEX, {"format": form, **header, "files": files}, indent=1, sort_keys=True)
        self.remove(_OURS, {entry.name for entry in self.files.values()})


class Reader:
    """A saved index, checked: sizes always, sha256 of every file unless ``verify`` is false or "native".

    Raises:
        BundleError: for a folder without an index, a newer format, and a file that is missing, truncated, altered or a link.
    """

    def __init__(self, folder: Path, verify: Verify = True, mmap: bool = False) -> None:
        self.folder, self.mmap = folder, mmap
        self.header, self.files = self._described()
        try:
            self._check(verify)
        except BundleError:
            before = self.header
            self.header, self.files = self._described()
            if self.header == before:
                raise
            self._check(verify)  # another process has saved meanwhile

    def _check(self, verify: Verify) -> None:
        native = {entry.name for role, entry in self.files.items() if "/" in role}
        entries = {entry.name: entry for entry in self.files.values()}
        try:
            check(self.folder, entries, lambda name: verify is True or (verify == "native" and name in native))
        except DamageError as damage:
            raise BundleError(str(damage), hint=_HINT) from damage

    def _described(self) -> tuple[dict[str, Any], dict[str, NamedEntry]]:
        """The content of ``index.json``, with its files by role."""
        path = self.folder / _INDEX
        try:
            content = read_json(path, HALVES)
            return content, msgspec.convert(content.get("files"), dict[str, NamedEntry])
        except FileNotFoundError:
            raise BundleError(f"{self.folder} holds no index: {_INDEX} is missing.") from None
        except TooNewError as damage:
            raise BundleError(str(damage), hint="upgrade shortlist.") from damage
        except DamageError as damage:
            raise BundleError(str(damage), hint=_HINT) from damage
        except (OSError, msgspec.ValidationError) as error:
            raise BundleError(f"{path} is not the description of an index: {error}", hint=_HINT) from None

    @property
    def native(self) -> bool:
        """Whether there are files that a native library reads."""
        return any("/" in role for role in self.files)

    def has(self, role: str) -> bool:
        """Whether the index has a file for ``role``."""
        return role in self.files

    def roles(self, prefix: str) -> list[str]:
        """Names after ``prefix/`` of the files of a native library."""
        return [role[len(prefix) + 1 :] for role in self.files if role.startswith(f"{prefix}/")]

    def path(self, role: str) -> Path:
        """The path of the file for ``role``."""
        return self.folder / self.files[role].name

    def array(self, role: str, dtype: npt.DTypeLike, shape: tuple[int, ...], mmap: bool = False) -> npt.NDArray[Any]:
        """The array stored for ``role``; ``BundleError`` unless its dtype and shape are as expected."""
        path = self.path(role)
        try:
            values = np.load(path, mmap_mode="r" if mmap and 0 not in shape else None, allow_pickle=False)
        except Exception as error:  # numpy's reader passes on any error of its parser of headers
            raise BundleError(f"{path} is not an array: {error}") from None
        if values.dtype != dtype or values.shape != shape or not values.flags.c_contiguous:
            raise BundleError(f"{path} holds {values.dtype} {values.shape}; {np.dtype(dtype)} {shape} were expected.")
        return np.asarray(values)


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for a moment, for libraries that read and write files alone; in memory where no other can be written to."""
    for place in (None, "/dev/shm"):
        with contextlib.suppress(OSError):
            return tempfile.TemporaryDirectory(dir=place)
    raise BundleError(
        "the files of an index pass through a temporary folder, and none can be written to.",
        hint="mount an empty folder at /tmp, or set TMPDIR to a folder that can be written to",
    )
