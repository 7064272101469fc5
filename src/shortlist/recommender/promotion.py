"""The choice of the bundle that is served: a link, switched in one step, and a record of earlier bundles.

Next to the link ``current`` is ``current.promoted.json``: a list of promotions, the oldest first. The link decides: the
record is written before a promotion and after a rollback, so that even after a killed process the bundle before the
linked one can be found.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from shortlist.errors import BundleError
from shortlist.recommender.folder import require_folder, verified
from shortlist.store import in_one_step, locked, read_file, write_file

__all__ = ["Promotion", "promote", "promotions", "rollback"]

KEPT = 100
SAY = "shortlist promote BUNDLE LINK"


class Promotion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bundle that was linked.

    Attributes:
        bundle: its path, relative to the link's folder if it is below or next to that.
        checksum: of its manifest.
        at: when.
    """

    bundle: str
    checksum: str
    at: str


def promote(bundle: str | Path, link: str | Path) -> Promotion:
    """Let ``link`` point at ``bundle``, which is verified first; readers see the old one or the new one.

    Raises:
        BundleError: for a bundle that is not whole, a ``link`` that is something else, or a disk that refuses; the link
            is unchanged then.
    """
    bundle, link = Path(bundle), Path(link)
    manifest = verified(Path(os.path.realpath(bundle)))
    with _alone(link):
        now = _target(link)
        record = _until(_read(link), now)
        if now is not None and (not record or record[-1].bundle != now):
            record.append(Promotion(now, _checksum(link.parent / now), ""))
        named = _relative(bundle, link)
        new = Promotion(named, manifest.checksum, datetime.now(timezone.utc).isoformat(timespec="seconds"))
        if named != now:
            record.append(new)
        _write(link, record[-KEPT:])
        _turn(link, named)
    return new


def rollback(link: str | Path) -> Promotion:
    """Let ``link`` point at the bundle before the current one; a second call goes back one more.

    Raises:
        BundleError: where there is none, or it is no longer whole; the link is unchanged then.
    """
    link = Path(link)
    with _alone(link):
        now = _target(link)
        if now is None:
            raise BundleError(f"there is no link {str(link)!r}.", hint=SAY)
        before = _until(_read(link), now)[:-1]
        if not before:
            raise BundleError(f"nothing was promoted to {str(link)!r} before {now!r}.", hint=SAY)
        last = before[-1]
        found = verified(Path(os.path.realpath(link.parent / last.bundle))).checksum
        if last.checksum and found != last.checksum:
            raise BundleError(
                f"{last.bundle!r} is no longer the bundle that was promoted.", hint=f"promote it again: {SAY}"
            )
        _turn(link, last.bundle)
        _write(link, before)
    return last


def promotions(link: str | Path) -> list[Promotion]:
    """The bundles that were promoted to ``link``, the oldest first, up to the one it points at now."""
    link = Path(link)
    return _until(_read(link), _target(link))


def _until(record: list[Promotion], now: str | None) -> list[Promotion]:
    """The record up to the last promotion of ``now``; all of it if ``now`` is not in it."""
    places = [place for place, one in enumerate(record) if one.bundle == now]
    return record[: places[-1] + 1] if places else list(record)


def _target(link: Path) -> str | None:
    """Where the link points, or None where there is none. BundleError for anything but a link."""
    if not os.path.lexists(link):
        return None
    if not link.is_symlink():
        raise BundleError(
            f"{str(link)!r} exists and is not a link.", hint="choose another name for the link, such as current"
        )
    return os.readlink(link)


def _relative(bundle: Path, link: Path) -> str:
    """The bundle as seen from the link's folder, so that both can be moved together."""
    whole = os.path.abspath(bundle)
    return os.path.relpath(whole, os.path.abspath(link.parent))


def _checksum(path: Path) -> str:
    with suppress(BundleError, OSError):
        return verified(Path(os.path.realpath(path))).checksum
    return ""


def _turn(link: Path, target: str) -> None:
    try:
        with in_one_step(link) as new:
            os.symlink(target, new)
    except OSError as error:
        raise BundleError(
            f"the link {str(link)!r} could not be changed: {error}.",
            hint="free some space there, or choose a folder that can be written to",
        ) from error


def _record(link: Path) -> Path:
    return link.parent / f"{link.name}.promoted.json"


def _read(link: Path) -> list[Promotion]:
    path = _record(link)
    try:
        return msgspec.json.decode(read_file(path), type=list[Promotion])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(
            f"the record of promotions {str(path)!r} cannot be read: {error}.", hint="remove it; the link is kept"
        ) from None


def _write(link: Path, record: list[Promotion]) -> None:
    path = _record(link)
    try:
        write_file(path, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    except OSError as error:
        raise BundleError(
            f"the record {str(path)!r} could not be written: {error}.",
            hint="free some space there, or choose a folder that can be written to",
        ) from error


@contextmanager
def _alone(link: Path) -> Iterator[None]:
    """Hold off other promotions of links in that folder."""
    require_folder(link.parent)
    with locked(link.parent):
        yield
