"""A bundle as a checked folder: written next to its place, checked, and put there in one step."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from shortlist.errors import BundleError
from shortlist.recommender.manifest import (
    MANIFEST,
    FileEntry,
    Manifest,
    decoded,
    is_bundle,
    learned,
    refused,
    sealed,
)
from shortlist.recommender.tensors import TensorEntry
from shortlist.store import (
    Entry,
    check,
    check_names,
    check_writable,
    entries_of,
    locked,
    new_folder,
    set_aside,
    write_file,
)

__all__ = ["Tensors", "amend", "check_place", "make_writable", "require_folder", "verified", "write_folder"]

Tensors = Mapping[str, Mapping[str, TensorEntry]]


def write_folder(
    path: Path,
    overwrite: bool,
    fill: Callable[[Path], tuple[Manifest, Tensors, Mapping[str, Entry]]],
    accept: Callable[[Path], None],
) -> None:
    """Let ``fill`` write a new folder, ``accept`` it or raise, and put it in the place of ``path`` (see ``store.new_folder``).

    ``fill`` returns the manifest, its entries for tensors by file, and those of files that were read back already.

    Raises:
        BundleError: where ``path`` exists and ``overwrite`` is false, where it is not a bundle, or the disk refuses;
            ``path`` is as it was then.
    """
    require_folder(path.absolute().parent)
    try:
        with refused(), new_folder(path) as scratch:
            _check_target(path, overwrite)
            manifest, tensors, known = fill(scratch)
            files = {
                name: FileEntry(
                    bytes=entry.bytes, sha256=entry.sha256, tensors=dict(tensors[name]) if name in tensors else None
                )
                for name, entry in entries_of(scratch, known).items()
            }
            training = learned(manifest.fingerprint, files)
            (scratch / MANIFEST).write_bytes(sealed(msgspec.structs.replace(manifest, files=files, training=training)))
            accept(scratch)
    except OSError as error:
        raise BundleError(
            f"the bundle could not be written to {str(path.absolute())!r}: {error}.",
            hint="the bundle that was there is unchanged" if path.exists() else "nothing was left there",
        ) from error


def require_folder(folder: Path) -> None:
    """BundleError where there is no such folder."""
    if not folder.is_dir():
        raise BundleError(f"the folder {str(folder)!r} does not exist.", hint="create it first")


def make_writable(folder: Path) -> None:
    """Make a folder, and those above it, where they are missing.

    Raises:
        BundleError: where the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BundleError(
            f"cannot write to {str(folder)!r}: {error.strerror}.",
            hint="free some space there, or choose a folder that can be written to",
        ) from error


def check_place(path: Path, overwrite: bool) -> None:
    """BundleError where a bundle could not be put at ``path``: something else is there, its folder does not exist or may not be
    written to, or the name is too long."""
    try:
        require_folder(path.absolute().parent)
        _check_target(path, overwrite)
        check_writable(path)
    except OSError as error:
        raise BundleError(
            f"no bundle can be written to {str(path)!r}: {error.strerror or error}.", hint="choose another path"
        ) from error


def amend(path: Path, change: Callable[[Manifest], Manifest]) -> None:
    """Put another manifest in the place of the bundle's own, in one step; no other file is touched.

    It is written next to the bundle, which may hold nothing that its manifest does not name.

    Raises:
        BundleError: for a path that is not a bundle, or where the disk refuses; the bundle is as it was then.
    """
    require_folder(path.parent)
    try:
        with locked(path.parent):
            text = sealed(change(decoded(path / MANIFEST)))
            write_file(path / MANIFEST, text, scratch=path.parent / f".{path.name}.manifest")
    except OSError as error:
        raise BundleError(
            f"the manifest of {str(path)!r} could not be written: {error}.", hint="the bundle is unchanged"
        ) from error


def verified(
    path: Path, unread: Callable[[str], bool] = lambda name: False, pause: Callable[[], None] | None = None
) -> Manifest:
    """The manifest of the bundle at ``path``, after every file was found to be as it was saved.

    No file but the manifest is parsed.

    Args:
        unread: names of files of which only the size is compared.
        pause: called between steps, so that other threads can run; then one file is read at a time.

    Raises:
        BundleError: for a bundle that is missing, torn, altered, of a newer format, or holds anything that its manifest
            does not name.
    """
    if not path.is_dir():
        aside = set_aside(path)
        hint = f"a save was cut off; the bundle that was there is {str(aside[0])!r}" if aside else "check the path"
        if any(part.endswith(":") for part in path.parts):  # such as s3://bucket/name
            hint = "a bundle is a folder on this machine; download it first"
        raise BundleError(f"there is no bundle at {str(path)!r}.", hint=hint)
    manifest = decoded(path / MANIFEST)
    with refused():
        check_names(path, manifest.files, MANIFEST)
        check(path, manifest.files, lambda name: not unread(name), pause)
    return manifest


def _check_target(path: Path, overwrite: bool) -> None:
    if not os.path.lexists(path):
        return
    if path.is_symlink():
        raise BundleError(
            f"{str(path)!r} is a link and not a bundle; refusing to overwrite it.",
            hint="choose another path; shortlist promote points a link at a bundle",
        )
    if not is_bundle(path / MANIFEST):
        raise BundleError(
            f"{str(path)!r} exists and is not a bundle; refusing to overwrite it.", hint="choose another path"
        )
    if not overwrite:
        raise BundleError(f"{str(path)!r} already exists.", hint="choose another path, or overwrite=True (--overwrite)")
