"""The choice of the bundle that is served: a link, switched in one step, and a record of earlier bundles.

Next to the link ``current`` is ``current.promoted.json``: a list of promotions, the oldest first. The link decides: the
record is written before a promotion and after a rollback, so that even after a killed process the bundle before the
linked one can be found.

``alone`` holds the lock of a link's run, from before its training until after its promotion: two runs of one link would
start from the same bundle and promote one over the other. A rollback does not wait for it.
"""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from shortlist.errors import BundleError, ShortlistWarning
from shortlist.recommender.folder import require_folder, verified
from shortlist.recommender.manifest import MANIFEST, decoded, is_bundle
from shortlist.store import in_one_step, locked, read_file, write_file

__all__ = [
    "RECORD",
    "BusyError",
    "MovedError",
    "Promotion",
    "alone",
    "fingerprint_of",
    "link_locked",
    "previous",
    "promote",
    "promotions",
    "recorded",
    "require_link",
    "rollback",
    "served_by",
]

KEPT = 100
SAY = "shortlist promote BUNDLE LINK"
RECORD = ".promoted.json"
_held: ContextVar[frozenset[Path]] = ContextVar("held", default=frozenset())
"""The locks that this process holds, so that a run's parts can ask for the lock of the whole."""


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


class MovedError(BundleError):
    """The link serves another bundle than the one that the new bundle was compared with."""


class BusyError(BundleError):
    """Another run of the link is in progress."""


def promote(bundle: str | Path, link: str | Path, expected: Callable[[], bool] = lambda: True) -> Promotion:
    """Let ``link`` point at ``bundle``, which is verified first; readers see the old one or the new one.

    Args:
        bundle: a folder that ``save`` wrote.
        link: the link, which may not exist yet.
        expected: whether the link serves what it should, asked at the moment it is switched.

    Raises:
        BundleError: for a bundle that is not whole, a ``link`` that is something else, or a disk that refuses; the link
            is unchanged then. MovedError where ``expected`` says no.
    """
    bundle, link = Path(bundle), Path(link)
    manifest = verified(Path(os.path.realpath(bundle)))
    with link_locked(link):
        now = _target(link)
        if not expected():
            raise MovedError(
                f"{str(link)!r} points to {now!r} now, which {str(bundle)!r} was not compared with.",
                hint="run it again: it compares with what the link serves then",
            )
        record = _until(recorded(link), now)
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

    Bundles that have been removed are stepped over. A ShortlistWarning where the link was turned, and the record of
    promotions could not be written.

    Raises:
        BundleError: where there is none, or it is no longer whole; the link is unchanged then.
    """
    link = Path(link)
    with link_locked(link):
        now = _target(link)
        if now is None:
            raise BundleError(f"there is no link {str(link)!r}.", hint=SAY)
        before = _before(recorded(link), now)
        if not before:
            raise BundleError(f"nothing was promoted to {str(link)!r} before {now!r}.", hint=SAY)
        before = _up_to_existing(before, link)
        if not before:
            raise BundleError(
                f"there is no bundle to go back to: what was promoted to {str(link)!r} before {now!r} has been removed.",
                hint=SAY,
            )
        last = before[-1]
        found = verified(Path(os.path.realpath(link.parent / last.bundle))).checksum
        if last.checksum and found != last.checksum:
            raise BundleError(
                f"{last.bundle!r} is no longer the bundle that was promoted.", hint=f"promote it again: {SAY}"
            )
        _turn(link, last.bundle)
        try:
            _write(link, before)
        except BundleError as error:  # the link decides: a full disk must not keep a bad bundle
            warnings.warn(error.message, ShortlistWarning, stacklevel=2)
    return last


def previous(link: str | Path) -> Promotion | None:
    """The promotion that ``rollback`` would go back to; None where there is none, or no link.

    Raises:
        BundleError: for a ``link`` that is something else, and a record that cannot be read.
    """
    link = Path(link)
    now = _target(link)
    there = [] if now is None else _up_to_existing(_before(recorded(link), now), link)
    return there[-1] if there else None


def served_by(link: str | Path) -> Path | None:
    """The bundle that the link points to, without links; None where there is no link or no bundle behind it."""
    path = Path(os.path.realpath(link))
    return path if Path(link).is_symlink() and is_bundle(path / MANIFEST) else None


def fingerprint_of(link: str | Path) -> str | None:
    """The fingerprint of the model that the link serves; None where it serves none."""
    path = served_by(link)
    return None if path is None else decoded(path / MANIFEST).fingerprint


def require_link(link: Path) -> None:
    """BundleError where ``link`` is something else than a link, or its folder does not exist."""
    require_folder(link.absolute().parent)
    _target(link)


@contextmanager
def alone(link: str | Path) -> Iterator[None]:
    """Hold off other runs for ``link``: training, comparison and promotion are one piece of work.

    Raises:
        BundleError: where another process is at it, or the folder cannot be written to.
    """
    link = Path(link)
    require_link(link)
    path = link.absolute().parent / f".{link.name}.lock"
    if path in _held.get():  # by the caller of the caller
        yield
        return
    with ExitStack() as held:
        try:
            path.touch()
            held.enter_context(locked(path, wait=False))
            path.write_text(f"process {os.getpid()} of {socket.gethostname()}\n", encoding="utf-8")
        except BlockingIOError as error:
            raise BusyError(
                f"another run for {str(link)!r} is in progress{_holder(path)}.",
                hint="wait for it to end, or stop it",
            ) from error
        except OSError as error:
            raise BundleError(
                f"the lock {str(path)!r} cannot be written: {error}.",
                hint="free some space there, or choose a folder that can be written to",
            ) from error
        before = _held.set(_held.get() | {path})
        held.callback(_held.reset, before)
        yield


def _holder(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return f" ({path.read_text(encoding='utf-8').strip()})"
    return ""


def promotions(link: str | Path) -> list[Promotion]:
    """The bundles that were promoted to ``link``, the oldest first, up to the one it points at now."""
    link = Path(link)
    return _until(recorded(link), _target(link))


def _until(record: list[Promotion], now: str | None) -> list[Promotion]:
    """The record up to the last promotion of ``now``; all of it if ``now`` is not in it."""
    places = [place for place, one in enumerate(record) if one.bundle == now]
    return record[: places[-1] + 1] if places else list(record)


def _before(record: list[Promotion], now: str) -> list[Promotion]:
    """The record before the last promotion of ``now``; all of it if the link was turned to ``now`` by hand."""
    until = _until(record, now)
    return until[:-1] if until and until[-1].bundle == now else until


def _up_to_existing(record: list[Promotion], link: Path) -> list[Promotion]:
    """The record without the promotions at its end whose bundles have been removed."""
    there = [place for place, one in enumerate(record) if os.path.lexists(link.parent / one.bundle)]
    return record[: there[-1] + 1] if there else []


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
    return link.parent / f"{link.name}{RECORD}"


def recorded(link: Path) -> list[Promotion]:
    """Every promotion in the link's record, also those after which it was turned back."""
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
def link_locked(link: Path) -> Iterator[None]:
    """Hold off other switches of links in that folder."""
    require_folder(link.parent)
    with locked(link.parent):
        yield
