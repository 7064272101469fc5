"""An index's folder: content-named files, and ``index.json`` replaced last; a killed save changes nothing.

``index.json`` holds size and sha256 of every file and a checksum of itself. Files carry the start of their own
sha256 in their names: a save writes new names next to the old ones, renames ``index.json`` over the old one, and
only then removes what nothing refers to. No path is stored, only names within the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from shortlist.disk import digest, digests, sync
from shortlist.errors import BundleError

__all__ = ["FORMAT", "Reader", "Verify", "Writer"]

Verify: TypeAlias = "bool | Literal['native']"

FORMAT = 1
_INDEX = "index.json"
_OURS = re.compile(r"-[0-9a-f]{12}(\.\w+)?$")  # a name that a save has given
_SCRATCH, _STALE = ".writing-", 3600.0  # a scratch folder left for so many seconds belongs to nobody
_HINT = "the folder is torn or altered: save the index again, or build it from the vectors."


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Writer:
    """Writes an index into a folder; nothing there changes until ``commit``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, dict[str, Any]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.scratch = folder / f"{_SCRATCH}{secrets.token_hex(6)}"

    def __enter__(self) -> Writer:
        self.scratch.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)

    def array(self, role: str, values: npt.NDArray[Any]) -> None:
        """Stores one array as a plain ``.npy`` file."""
        path = self.scratch / f"{role}.npy"
        with path.open("wb") as file:
            np.lib.format.write_array(file, np.ascontiguousarray(values), allow_pickle=False)
        self._adopt(role, path)

    def adopt(self, folder: Path, prefix: str) -> None:
        """Takes over the files that a native library wrote into ``folder``, as roles ``prefix/name``."""
        for path in sorted(folder.iterdir()):
            self._adopt(f"{prefix}/{path.name}", path)

    def _adopt(self, role: str, path: Path) -> None:
        sync(path)
        sha256 = digest(path)
        stem, dot, suffix = role.replace("/", "-").partition(".")
        name = f"{stem}-{sha256[:12]}{dot}{suffix}" if dot else f"{stem}-{sha256[:12]}{path.suffix}"
        self.files[role] = {"name": name, "bytes": path.stat().st_size, "sha256": sha256}
        os.replace(path, self.folder / name)

    def commit(self, header: dict[str, Any]) -> None:
        """Makes the new files the index, and removes those of the old one."""
        content = {"format": FORMAT, **header, "files": self.files}
        text = json.dumps({**content, "checksum": _checksum(content)}, indent=1, sort_keys=True)
        path = self.scratch / _INDEX
        with path.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        sync(self.folder)
        os.replace(path, self.folder / _INDEX)
        sync(self.folder)
        self._sweep()

    def _sweep(self) -> None:
        """Removes the files of the index before, and what saves that were killed have left."""
        current = {entry["name"] for entry in self.files.values()}
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):
                if _OURS.search(path.name) and path.name not in current:
                    path.unlink()
                elif path.name.startswith(_SCRATCH) and path.stat().st_mtime < time.time() - _STALE:
                    shutil.rmtree(path, ignore_errors=True)


def _described(files: object) -> bool:
    """Whether every file has a name, a size and a sha256."""
    expected = {"name": str, "bytes": int, "sha256": str}
    return isinstance(files, dict) and all(
        isinstance(entry, dict) and all(isinstance(entry.get(key), kind) for key, kind in expected.items())
        for entry in files.values()
    )


def _plain(name: object) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and Path(name).name == name and "\\" not in name


class Reader:
    """A saved index, checked: sizes always, sha256 of every file unless ``verify`` is false or "native".

    Raises:
        BundleError: no index there; a newer format; a file missing, truncated, altered, or a link.
    """

    def __init__(self, folder: Path, verify: Verify = True, mmap: bool = False) -> None:
        self.folder, self.mmap = folder, mmap
        self.header = self._header()
        try:
            self._check_all(verify)
        except BundleError:
            before, self.header = self.header, self._header()
            if self.header == before:
                raise
            self._check_all(verify)  # another process has saved meanwhile

    def _check_all(self, verify: Verify) -> None:
        read = []
        for role, entry in self._entries():
            self._check(entry)
            if verify is True or (verify == "native" and "/" in role):
                read.append(entry)
        paths = [self.folder / entry["name"] for entry in read]
        for path, entry, found in zip(paths, read, digests(paths), strict=True):
            if found != entry["sha256"]:
                raise BundleError(f"{path} was altered: its sha256 does not match.", hint=_HINT)

    def _header(self) -> dict[str, Any]:
        path = self.folder / _INDEX
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise BundleError(f"{self.folder} holds no index: {_INDEX} is missing.") from None
        except (OSError, ValueError) as error:
            raise BundleError(f"{path} cannot be read: {error}") from None
        if not isinstance(content, dict) or not _described(content.get("files")):
            raise BundleError(f"{path} is not the description of an index.")
        version = content.get("format")
        if isinstance(version, int) and version > FORMAT:
            raise BundleError(
                f"{path} has format {version}; this shortlist reads up to {FORMAT}.",
                hint="upgrade shortlist.",
            )
        checksum = content.pop("checksum", None)
        if checksum != _checksum(content):
            raise BundleError(f"{path} was altered: its checksum does not match.", hint="save the index again.")
        return content

    def _entries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for role, entry in self.header["files"].items():
            if not _plain(entry["name"]):
                raise BundleError(f"{self.folder / _INDEX} names {entry['name']!r}, which is not a file in its folder.")
            yield role, entry

    def _check(self, entry: dict[str, Any]) -> None:
        path = self.folder / entry["name"]
        if path.is_symlink():
            raise BundleError(f"{path} is a link; a file was expected.", hint=_HINT)
        if not path.is_file():
            raise BundleError(f"{path} is missing.", hint=_HINT)
        if path.stat().st_size != entry["bytes"]:
            raise BundleError(f"{path} has {path.stat().st_size} bytes; {entry['bytes']} were saved.", hint=_HINT)

    @property
    def native(self) -> bool:
        """Whether there are files that a native library reads."""
        return any("/" in role for role in self.header["files"])

    def has(self, role: str) -> bool:
        """Whether the index has a file for ``role``."""
        return role in self.header["files"]

    def roles(self, prefix: str) -> list[str]:
        """Names after ``prefix/`` of the files of a native library."""
        return [role[len(prefix) + 1 :] for role in self.header["files"] if role.startswith(f"{prefix}/")]

    def path(self, role: str) -> Path:
        """The path of the file for ``role``."""
        return self.folder / str(self.header["files"][role]["name"])

    def array(self, role: str, dtype: npt.DTypeLike, shape: tuple[int, ...], mmap: bool = False) -> npt.NDArray[Any]:
        """The array stored for ``role``; ``BundleError`` unless its dtype and shape are as expected."""
        path = self.path(role)
        try:
            values = np.load(path, mmap_mode="r" if mmap and 0 not in shape else None, allow_pickle=False)
        except Exception as error:  # numpy's reader lets through whatever its parser of headers raises
            raise BundleError(f"{path} is not an array: {error}") from None
        if values.dtype != dtype or values.shape != shape or not values.flags.c_contiguous:
            raise BundleError(f"{path} holds {values.dtype} {values.shape}; {np.dtype(dtype)} {shape} were expected.")
        return np.asarray(values)
