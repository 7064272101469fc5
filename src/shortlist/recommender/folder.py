"""A bundle as a folder of verified files: written beside, fsynced, renamed into place; the manifest comes last."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from shortlist.errors import BundleError

__all__ = ["FORMAT", "FileEntry", "Manifest", "read_manifest", "write_folder"]

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_LIMIT = 16 << 20
CHUNK = 1 << 22
SAVE_AGAIN = "copy the bundle again, or save it again from the model"


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size and sha256 of one file."""

    bytes: int
    sha256: str


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer to one stored query vector: candidate rows and scores."""

    rows: list[int]
    scores: list[float]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle says of itself."""

    format: int
    library: str
    created: str
    fingerprint: str
    query: str
    candidate: str
    cold_start: str
    fallback: list[str]
    index: str
    reason: str
    golden: list[Golden]
    metadata: dict[str, Any]
    files: dict[str, FileEntry]


def write_folder(path: Path, overwrite: bool, fill: Callable[[Path], Manifest], check: Callable[[Path], None]) -> None:
    """Let ``fill`` write a new folder beside ``path``, ``check`` it, and rename it into place.

    Whatever goes wrong before the rename leaves ``path`` as it was and nothing beside it. Raises BundleError where
    ``path`` exists and ``overwrite`` is false, or is something that is no bundle.
    """
    if os.path.lexists(path):
        if not overwrite:
            raise BundleError(f"{str(path)!r} is there already.", hint="choose another path, or overwrite=True")
        if path.is_symlink() or not (path / MANIFEST).is_file():
            raise BundleError(
                f"{str(path)!r} is there and is no bundle; it will not be replaced.", hint="choose another path"
            )
    if not path.parent.is_dir():
        raise BundleError(f"the folder {str(path.parent)!r} does not exist.", hint="create it first")
    for left in path.parent.glob(f".{path.name}.writing-*"):  # of saves that were killed
        shutil.rmtree(left, ignore_errors=True)
    scratch = path.parent / f".{path.name}.writing-{secrets.token_hex(6)}"
    try:
        scratch.mkdir()
        manifest = fill(scratch)
        for file in _files(scratch):
            _sync(file)
        files = {_name(scratch, file): _entry(file) for file in _files(scratch)}
        text = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(manifest, files=files)), indent=1)
        (scratch / MANIFEST).write_bytes(text + b"\n")
        _sync(scratch / MANIFEST)
        _sync(scratch)
        check(scratch)
        _replace(scratch, path)
    except OSError as error:
        raise BundleError(f"the bundle could not be written to {str(path)!r}: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def read_manifest(path: Path) -> Manifest:
    """The manifest of the bundle at ``path``, after every file was found unaltered.

    Raises BundleError for a bundle that is missing, torn, altered, of a newer format, or holds anything it should not.
    """
    manifest_path = path / MANIFEST
    if not path.is_dir():
        aside = sorted(path.parent.glob(f".{path.name}.old-*")) if path.parent.is_dir() else []
        hint = f"a save was cut off; the old bundle is {str(aside[0])!r}" if aside else "check the path"
        raise BundleError(f"there is no bundle at {str(path)!r}.", hint=hint)
    if manifest_path.is_symlink() or not manifest_path.is_file():
        raise BundleError(f"{str(path)!r} has no {MANIFEST}: it is no bundle, or a torn one.", hint=SAVE_AGAIN)
    if manifest_path.stat().st_size > MANIFEST_LIMIT:
        raise BundleError(f"{MANIFEST} of {str(path)!r} is larger than {MANIFEST_LIMIT:,} bytes.", hint=SAVE_AGAIN)
    manifest = _decode(manifest_path)
    found = {_name(path, file): file for file in _files(path)}
    found.pop(MANIFEST)
    for name in sorted(found.keys() - manifest.files.keys()):
        raise BundleError(f"{str(path)!r} holds {name!r}, which its manifest does not name.", hint=SAVE_AGAIN)
    for name, entry in manifest.files.items():
        if name not in found:
            raise BundleError(f"{name!r} is missing from {str(path)!r}.", hint=SAVE_AGAIN)
        size = found[name].stat().st_size
        if size != entry.bytes:
            raise BundleError(f"{name!r} of {str(path)!r} has {size:,} bytes; {entry.bytes:,} were saved.", hint=SAVE_AGAIN)
        if _digest(found[name]) != entry.sha256:
            raise BundleError(f"{name!r} of {str(path)!r} was altered: its sha256 differs.", hint=SAVE_AGAIN)
    return manifest


def _decode(manifest_path: Path) -> Manifest:
    text = manifest_path.read_bytes()
    try:
        version = msgspec.json.decode(text)["format"]
        if isinstance(version, int) and version > FORMAT:
            raise BundleError(
                f"{str(manifest_path.parent)!r} has format {version}; this version reads up to {FORMAT}.",
                hint="upgrade shortlist",
            )
        return msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise BundleError(f"{MANIFEST} of {str(manifest_path.parent)!r} cannot be read: {error}.", hint=SAVE_AGAIN) from None


def _files(folder: Path) -> list[Path]:
    """Every file below ``folder``; BundleError for a link or anything else that is no plain file or folder."""
    files = []
    for entry in sorted(folder.rglob("*")):
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            raise BundleError(f"{str(entry)!r} is a link or a special file; a bundle has none.", hint=SAVE_AGAIN)
        if entry.is_file():
            files.append(entry)
    return files


def _name(folder: Path, file: Path) -> str:
    return file.relative_to(folder).as_posix()


def _entry(file: Path) -> FileEntry:
    return FileEntry(file.stat().st_size, _digest(file))


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace(scratch: Path, path: Path) -> None:
    """Rename ``scratch`` to ``path``; a bundle that is there steps aside first and is removed after."""
    aside = path.parent / f".{path.name}.old-{secrets.token_hex(6)}"
    replaces = path.exists()
    if replaces:
        os.rename(path, aside)
    try:
        os.rename(scratch, path)
    except OSError:
        if replaces:
            os.rename(aside, path)
        raise
    with contextlib.suppress(OSError):
        _sync(path.parent)
    shutil.rmtree(aside, ignore_errors=True)
