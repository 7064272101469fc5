"""A bundle as a folder of verified files: written to another name, synced, renamed into place; the manifest comes last."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from shortlist.disk import digests, sync
from shortlist.errors import BundleError
from shortlist.recommender.manifest import MANIFEST, SAVE_AGAIN, FileEntry, Manifest, decoded, is_bundle, sealed
from shortlist.recommender.tensors import TensorEntry

__all__ = ["Tensors", "amend", "check_place", "verified", "write_folder"]

Tensors = Mapping[str, Mapping[str, TensorEntry]]


def write_folder(
    path: Path,
    overwrite: bool,
    fill: Callable[[Path], tuple[Manifest, Tensors]],
    check: Callable[[Path], None],
) -> None:
    """Let ``fill`` write a new folder next to ``path``, ``check`` it, and rename it into place.

    Whatever goes wrong before the rename leaves ``path`` as it was and nothing next to it; what a killed process left
    beside it goes with the next save. ``fill`` returns the manifest, and what it says of tensors by file.

    Raises BundleError where ``path`` exists and ``overwrite`` is false, where it is not a bundle, or where the disk refuses.
    """
    path = path.absolute()
    try:
        with _alone(path.parent):
            _tidy(path)
            _check_target(path, overwrite)
            scratch = path.parent / f".{path.name}.writing-{secrets.token_hex(6)}"
            try:
                scratch.mkdir()
                manifest, tensors = fill(scratch)
                _seal(scratch, manifest, tensors)
                check(scratch)
                _put(scratch, path)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise BundleError(
            f"the bundle could not be written to {str(path)!r}: {error}.", hint="the previous bundle is unchanged"
        ) from error


def check_place(path: Path, overwrite: bool) -> None:
    """BundleError where a bundle could not be put at ``path``: something else is there, or its folder does not exist."""
    path = path.absolute()
    if not path.parent.is_dir():
        raise BundleError(f"the folder {str(path.parent)!r} does not exist.", hint="create it first")
    _check_target(path, overwrite)


def amend(path: Path, change: Callable[[Manifest], Manifest]) -> None:
    """Put another manifest in the place of the bundle's own, in one step; no other file is touched.

    It is written next to the bundle and renamed into it, so a process that is killed leaves the bundle as it was.
    Raises BundleError for anything but a bundle, or where the disk refuses.
    """
    scratch = path.parent / f".{path.name}.manifest"
    try:
        with _alone(path.parent):
            text = sealed(change(decoded(path / MANIFEST)))
            try:
                scratch.write_bytes(text)
                sync(scratch)
                os.replace(scratch, path / MANIFEST)
            finally:
                scratch.unlink(missing_ok=True)
            sync(path)
    except OSError as error:
        raise BundleError(
            f"the manifest of {str(path)!r} could not be written: {error}.", hint="the bundle is unchanged"
        ) from error


def verified(
    path: Path, unread: Callable[[str], bool] = lambda name: False, rest: Callable[[], None] | None = None
) -> Manifest:
    """The manifest of the bundle at ``path``, after every file was found to be as it was saved.

    unread: names of files of which the size alone is compared. rest: called between steps, where others are to run meanwhile;
    then one file is read at a time.

    Raises BundleError for a bundle that is missing, torn, altered, of a newer format, or holds anything that its
    manifest does not name. No file but the manifest is parsed.
    """
    if not path.is_dir():
        aside = _asides(path)
        hint = f"a save was cut off; the bundle that was there is {str(aside[0])!r}" if aside else "check the path"
        raise BundleError(f"there is no bundle at {str(path)!r}.", hint=hint)
    manifest = decoded(path / MANIFEST)
    found = {file.relative_to(path).as_posix(): file for file in _files(path)}
    found.pop(MANIFEST)
    for name in manifest.files:
        if PurePosixPath(name).is_absolute() or "\\" in name or ".." in name.split("/"):
            raise BundleError(
                f"the manifest of {str(path)!r} names {name!r}, which is outside the folder.", hint=SAVE_AGAIN
            )
        if name not in found:
            raise BundleError(f"{name!r} is missing from {str(path)!r}.", hint=SAVE_AGAIN)
    for name in found:
        if name not in manifest.files:
            raise BundleError(f"{str(path)!r} holds {name!r}, which its manifest does not name.", hint=SAVE_AGAIN)
    for name, entry in manifest.files.items():
        size = found[name].stat().st_size
        if size != entry.bytes:
            raise BundleError(
                f"{name!r} of {str(path)!r} has {size:,} bytes; {entry.bytes:,} were saved.", hint=SAVE_AGAIN
            )
    read = [name for name in manifest.files if not unread(name)]
    for name, digest in zip(read, _digests([found[name] for name in read], rest), strict=True):
        if digest != manifest.files[name].sha256:
            raise BundleError(f"{name!r} of {str(path)!r} was altered: its sha256 differs.", hint=SAVE_AGAIN)
    return manifest


def _digests(files: list[Path], rest: Callable[[], None] | None) -> Iterator[str]:
    if rest is None:
        yield from digests(files)
        return
    for file in files:
        rest()
        yield from digests([file])


def _seal(folder: Path, manifest: Manifest, tensors: Tensors) -> None:
    """Bring every file to the disk, then write the manifest that names them."""
    files = {}
    written = _files(folder)
    for file in written:
        sync(file)
    for file, digest in zip(written, digests(written), strict=True):
        name = file.relative_to(folder).as_posix()
        described = tensors.get(name)
        files[name] = FileEntry(
            bytes=file.stat().st_size, sha256=digest, tensors=None if described is None else dict(described)
        )
    (folder / MANIFEST).write_bytes(sealed(msgspec.structs.replace(manifest, files=files)))
    sync(folder / MANIFEST)
    for inner in [*(entry for entry in folder.rglob("*") if entry.is_dir()), folder]:
        sync(inner)


def _check_target(path: Path, overwrite: bool) -> None:
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise BundleError(f"{str(path)!r} already exists.", hint="choose another path, or overwrite=True")
    if path.is_symlink() or not is_bundle(path / MANIFEST):
        raise BundleError(
            f"{str(path)!r} exists and is not a bundle; refusing to overwrite it.", hint="choose another path"
        )


def _put(scratch: Path, path: Path) -> None:
    """Rename ``scratch`` to ``path``. A bundle that is there changes places with it where the system can do that in
    one step; elsewhere it steps aside first. Either way it is removed last."""
    if not path.exists():
        os.rename(scratch, path)
        sync(path.parent)
        return
    if _exchanged(scratch, path):
        sync(path.parent)
        return  # ``scratch`` now holds the old bundle, which the caller removes
    aside = path.parent / f".{path.name}.old-{secrets.token_hex(6)}"
    os.rename(path, aside)
    try:
        os.rename(scratch, path)
    except OSError:
        os.rename(aside, path)
        raise
    sync(path.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _exchanged(first: Path, second: Path) -> bool:
    """Swap two folders in one step; False where the system or its file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(swap(here, os.fsencode(first), here, os.fsencode(second), exchange) == 0)


@contextlib.contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """Hold off other saves into ``parent``; the lock goes with the process, however it ends."""
    if not parent.is_dir():
        raise BundleError(f"the folder {str(parent)!r} does not exist.", hint="create it first")
    handle = os.open(parent, os.O_RDONLY)
    try:
        with contextlib.suppress(ImportError, OSError):  # file systems without locks
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _tidy(path: Path) -> None:
    """Remove what killed saves left; put back a bundle that had been moved aside for one that was never finished."""
    asides = _asides(path)
    if asides and not os.path.lexists(path):
        os.rename(asides[0], path)
        asides = asides[1:]
    for left in [*_beside(path, "writing"), *asides]:
        shutil.rmtree(left, ignore_errors=True)


def _beside(path: Path, role: str) -> list[Path]:
    start = f".{path.name}.{role}-"
    return sorted(entry for entry in path.parent.iterdir() if entry.name.startswith(start) and not entry.is_symlink())


def _asides(path: Path) -> list[Path]:
    return _beside(path, "old") if path.parent.is_dir() else []


def _files(folder: Path) -> list[Path]:
    """Every file below ``folder``; BundleError for a link or anything else that is not a plain file or folder."""
    files: list[Path] = []
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            raise BundleError(
                f"{str(entry)!r} is a link or a special file; a bundle must not have any.", hint=SAVE_AGAIN
            )
        files += [entry] if entry.is_file() else _files(entry)
    return files
