"""The one tree of exceptions.

    ShortlistError
    ├── ConfigError          an option or a combination of options that cannot work
    ├── DataError            a table that cannot be trained on, evaluated or encoded
    ├── DownloadError        a dataset that could not be fetched or failed its checksum
    ├── TrainingError        a training run that cannot continue (NaN, collapse)
    ├── SearchError          vectors, ids or k that an index cannot take
    ├── BundleError          a bundle that is torn, altered, foreign or too new
    ├── UnknownQueryError    a query id the model never saw, under the policy "refuse"
    └── MissingExtraError    an optional package that is not installed

Every message says what was given and what was expected; ``hint`` says what to do, and where none is given ``remedy`` does,
which is the same for every error of a class.
"""

from __future__ import annotations

import difflib
import sys
import unicodedata
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

__all__ = [
    "REMOVED_IN",
    "BundleError",
    "ConfigError",
    "DataError",
    "DownloadError",
    "MissingExtraError",
    "SearchError",
    "ShortlistError",
    "ShortlistWarning",
    "TrainingError",
    "UnknownQueryError",
    "check_flags",
    "checked_list",
    "deprecated",
    "did_you_mean",
    "nearest",
]

REMOVED_IN = "0.3"
"""The version that no longer takes the old names."""


class ShortlistError(Exception):
    """Base of every error that a user can cause.

    Args:
        message: what is wrong.
        hint: what to do; by default the ``remedy`` of the class.
        plain: the message without what was given, for a server, which does not repeat its requests.
    """

    remedy: ClassVar[str | None] = None

    def __init__(self, message: str, hint: str | None = None, plain: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.remedy if hint is None else hint
        self.plain = plain

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.message, self.hint)  # between processes


def _restored(kind: type[ShortlistError], message: str, hint: str | None) -> ShortlistError:
    error = kind.__new__(kind, message)
    ShortlistError.__init__(error, message, hint)
    return error


class ConfigError(ShortlistError, ValueError):
    """An option or a combination of options that cannot work."""


class DataError(ShortlistError, ValueError):
    """A table that cannot be trained on, evaluated or encoded."""


class DownloadError(ShortlistError, OSError):
    """A dataset that could not be fetched, or whose checksum is wrong."""

    remedy = "try again, or fetch it elsewhere and pass its folder as data_dir= (--data-dir)"

    def __str__(self) -> str:
        return ShortlistError.__str__(self)


class TrainingError(ShortlistError, RuntimeError):
    """A training run that cannot continue."""


class SearchError(ShortlistError, ValueError):
    """Vectors, ids or k that an index cannot take."""


class BundleError(ShortlistError, ValueError):
    """A bundle that is torn, altered, foreign or of a newer format."""

    remedy = "copy it again from where it was saved, or save it again"


class UnknownQueryError(ShortlistError, KeyError):
    """A query id the model never saw, under the cold-start policy "refuse"."""

    def __str__(self) -> str:
        return ShortlistError.__str__(self)


class MissingExtraError(ShortlistError, ImportError):
    """An optional package that is not installed; names the extra that brings it.

    Args:
        package: what cannot be imported.
        extra: the extra of shortlist that installs it.
        purpose: what needs it.
        hint: what to do where installing the extra is not enough.
    """

    def __init__(self, package: str, extra: str, purpose: str, hint: str | None = None) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed.",
            hint=f'pip install "shortlist[{extra}]"' if hint is None else hint,
        )


class ShortlistWarning(UserWarning):
    """Something that works, but that its user would want to know."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known name, or lists all of them when none is near."""
    known = sorted(known)
    same = [one for one in known if one.casefold() == name.casefold() or one.strip() == name.strip()]
    if same:
        return f"did you mean {same[0]!r}?"
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near is not None else f"known: {', '.join(known)}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like ``name``; None where none is near. Korean is compared by its single letters."""
    letters = {unicodedata.normalize("NFD", one): one for one in known}
    near = difflib.get_close_matches(unicodedata.normalize("NFD", name), letters, n=1, cutoff=0.6)
    return letters[near[0]] if near else None


def check_flags(where: str, **flags: object) -> None:
    """ConfigError unless each of these is True or False; a text such as "no" would count as True."""
    for name, value in flags.items():
        if type(value).__name__ not in ("bool", "bool_"):  # Python's and numpy's
            raise ConfigError(
                f"{where} got {name}={repr(value)[:80]}; True or False was expected.",
                hint=f"{name}=True or {name}=False",
            )


def checked_list(value: object, where: str, of: str, kind: type | None = None) -> list[Any]:
    """The values of a list. A text is refused: its characters would count as values.

    Args:
        where: how the caller wrote it, such as ``"evaluate(ks=)"``.
        of: what the list holds, such as "numbers".
        kind: the type of each value.

    Raises:
        ConfigError: for a text, bytes, a mapping, a table, and anything else that is not a list; for a value of
            another type.
    """
    is_table = hasattr(value, "columns")
    if isinstance(value, (str, bytes, bytearray, Mapping)) or is_table or not isinstance(value, Iterable):
        given = f"a {type(value).__name__}" if is_table else repr(value)[:80]
        one = isinstance(value, (str, int)) and not isinstance(value, bool) and len(repr(value)) < 80
        hint = f"for one: [{value!r}]" if one else None
        raise ConfigError(f"{where} got {given}; a list of {of} was expected.", hint=hint)
    values = list(value)
    for number, one in enumerate(values):
        if kind is not None and not isinstance(one, kind):
            raise ConfigError(f"{where} got {repr(one)[:80]} at place {number}; a list of {of} was expected.")
    return values


def deprecated(old: str, new: str) -> None:
    """A DeprecationWarning for an old name that still works, at the line outside this package that used it."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == __package__:
        frame, level = frame.f_back, level + 1
    warnings.warn(
        f"{old} is deprecated and will be removed in {REMOVED_IN}; use {new}.", DeprecationWarning, stacklevel=level
    )
