"""The things that a link no longer needs: old bundles, the cached shards and the checkpoints that they were made from.

Kept are the bundle that the link points to, the newest ones of its record, whatever another link or record names, and whatever a
process has marked as in use: a server the bundle that it answers from, a training the bundle that it started from and its shards.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from shortlist.data.cache import default_cache
from shortlist.data.shards.files import MARK
from shortlist.errors import BundleError, ConfigError
from shortlist.index.databases.named import collection_version
from shortlist.recommender.bundle import INDEX
from shortlist.recommender.manifest import MANIFEST, Manifest, decoded, is_bundle
from shortlist.recommender.promotion import RECORD, link_locked, recorded
from shortlist.store import in_use, locked

__all__ = ["Cleaned", "Item", "clean", "remaining"]

CHECKPOINTS = "checkpoint-*"
REMOVED = "removed"


@dataclass(frozen=True)
class Item:
    """Something that can be removed.

    Attributes:
        kind: "bundle", "shards" or "checkpoints".
        path: where it is.
        bytes: its size.
    """

    kind: Literal["bundle", "shards", "checkpoints"]
    path: Path
    bytes: int


@dataclass(frozen=True)
class Cleaned:
    """Items that were removed, or would be.

    Attributes:
        removed: in the order of removal.
        kept: the bundles that stay, each with the reason.
    """

    removed: list[Item] = field(default_factory=list)
    kept: list[tuple[Path, str]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        removed = [{"kind": one.kind, "path": str(one.path), "bytes": one.bytes} for one in self.removed]
        return {"removed": removed, "kept": [{"path": str(path), "reason": reason} for path, reason in self.kept]}


def clean(link: str | Path, keep: int, dry_run: bool = False) -> Cleaned:
    """Remove what ``link`` no longer needs.

    1. Of the bundles in the link's record the ``keep`` newest stay. Others that were made for this link, such as those that failed a
       condition, are removed with those of their time.
    2. Shards in the cache, and checkpoints, go with the last bundle that was made from them.

    Args:
        link: as in ``promote``.
        keep: how many promoted bundles stay, the one that is served among them.
        dry_run: only say what would be removed.

    Raises:
        ConfigError: for ``keep`` below 1.
        BundleError: where there is no link, or its record cannot be read.
    """
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
        raise ConfigError(f"keep is {keep!r}; a whole number of at least 1 was expected.", hint="keep=7")
    link = Path(link)
    if not link.is_symlink():
        raise BundleError(f"there is no link {str(link)!r}.", hint="shortlist promote BUNDLE LINK")
    with link_locked(link):
        bundles = _bundles(link)
        reasons = _reasons(link, keep, bundles)
        olds = [path for path in bundles if path not in reasons]
        done = Cleaned(kept=sorted(reasons.items()))
        for item in [*_bundle_items(olds), *_leftovers(bundles, olds)]:
            if dry_run or _remove(item):
                done.removed.append(item)
        return done


def remaining(link: str | Path, without: Collection[Path] = ()) -> set[str]:
    """The versions of the collections that the bundles of the link's record and folders need, but for some bundles.

    A bundle needs the one that ``publish`` filled with it, and the one that its own index searches.
    """
    bundles = {path: one for path, one in _bundles(Path(link)).items() if path not in without}
    needed = {manifest.fingerprint[:16] for manifest in bundles.values()}
    for path in bundles:
        with contextlib.suppress(BundleError):
            needed |= {version for version in [collection_version(path / INDEX)] if version is not None}
    return needed


def _bundles(link: Path) -> dict[Path, Manifest]:
    """The bundles of the link's record, and those that were made for it in the same folders; the oldest first."""
    named = {_place(link, one.bundle) for one in recorded(link)}
    target = Path(os.path.realpath(link))
    folders = {link.absolute().parent, *(path.parent for path in named), target.parent}
    near = [path for folder in folders if folder.is_dir() for path in folder.iterdir() if not path.is_symlink()]
    found = {}
    for path in {*named, target, *near}:
        if path.is_symlink() or path.name.startswith(".") or not is_bundle(path / MANIFEST):
            continue
        with contextlib.suppress(BundleError):
            manifest = decoded(path / MANIFEST)
            made_for = manifest.metadata.get("run", {}).get("link")
            if path in named or path == target or made_for == link.name:
                found[path] = manifest
    return dict(sorted(found.items(), key=lambda one: (one[1].created, one[0])))


def _reasons(link: Path, keep: int, bundles: dict[Path, Manifest]) -> dict[Path, str]:
    """Why each bundle that stays does."""
    reasons: dict[Path, str] = {}
    promoted = list(dict.fromkeys(_place(link, one.bundle) for one in reversed(recorded(link))))
    promoted = [path for path in promoted if path in bundles]
    newest = promoted[:keep]
    for path in newest:
        reasons[path] = f"one of the {keep} newest that were promoted"
    oldest = min((bundles[path].created for path in newest), default="")
    for path, manifest in bundles.items():
        if path not in promoted and (len(promoted) <= keep or manifest.created >= oldest):
            reasons[path] = "not promoted, and newer than the oldest that is kept"
    for path, other in _named_elsewhere(link):
        if path in bundles:
            reasons[path] = f"{other} names it"
    for path in bundles:
        if in_use(path):
            reasons[path] = "a server or a training is using it"
    target = Path(os.path.realpath(link))
    if target in bundles:
        reasons[target] = "the link points to it"
    return reasons


def _named_elsewhere(link: Path) -> Iterator[tuple[Path, str]]:
    """Bundles that other links, and the records of other links, name."""
    own = link.absolute()
    for entry in sorted(own.parent.iterdir()):
        if entry.is_symlink() and entry != own:
            yield Path(os.path.realpath(entry)), f"the link {entry.name!r}"
        elif entry.name.endswith(RECORD) and entry.name != f"{own.name}{RECORD}":
            other = entry.with_name(entry.name.removesuffix(RECORD))
            with contextlib.suppress(BundleError):
                yield from ((_place(other, one.bundle), f"the record of {other.name!r}") for one in recorded(other))


def _place(link: Path, bundle: str) -> Path:
    return Path(os.path.normpath(link.absolute().parent / bundle))


def _bundle_items(paths: Iterable[Path]) -> Iterator[Item]:
    yield from (Item("bundle", path, _size(path.rglob("*"))) for path in paths)


def _leftovers(bundles: dict[Path, Manifest], olds: list[Path]) -> Iterator[Item]:
    """Shards in the cache and checkpoints that only bundles to be removed were made from."""
    cache = default_cache() / "shards"
    for kind in ("shards", "checkpoints"):
        wanted = {_made_from(manifest, kind) for path, manifest in bundles.items() if path not in olds}
        for path in dict.fromkeys(_made_from(bundles[path], kind) for path in olds):
            if path is None or path in wanted or not path.is_dir():
                continue
            if kind == "shards" and path.parent == cache and not in_use(path / MARK):
                yield Item("shards", path, _size(path.iterdir()))
            elif kind == "checkpoints":
                latest = max(bundles[old].created for old in olds if _made_from(bundles[old], kind) == path)
                files = list(path.glob(CHECKPOINTS))
                if files and not _newer_than(files, latest):
                    yield Item("checkpoints", path, _size(files))


def _made_from(manifest: Manifest, kind: str) -> Path | None:
    place = manifest.metadata.get("run", {}).get(kind)
    return Path(place) if isinstance(place, str) else None


def _newer_than(files: Iterable[Path], created: str) -> bool:
    """Whether another run has written checkpoints there since."""
    return max(path.stat().st_mtime for path in files) > datetime.fromisoformat(created).timestamp() + 1


def _size(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file() and not path.is_symlink())


def _remove(item: Item) -> bool:
    """Remove an item as a whole: renamed first, so that nobody finds a part of it. False where it is in use by now."""
    try:
        if item.kind == "checkpoints":
            for path in item.path.glob(CHECKPOINTS):
                path.unlink()
            with contextlib.suppress(OSError):
                item.path.rmdir()  # unless it holds something else
            return True
        with locked(item.path if item.kind == "bundle" else item.path / MARK, wait=False):
            gone = item.path.with_name(f".{item.path.name}.{REMOVED}-{secrets.token_hex(6)}")
            os.rename(item.path, gone)
        shutil.rmtree(gone, ignore_errors=True)
    except BlockingIOError:
        return False
    except OSError as error:
        raise BundleError(
            f"{str(item.path)!r} could not be removed: {error}.",
            hint="check the folder's rights; the rest is unchanged",
        ) from error
    return True
