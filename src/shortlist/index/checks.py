"""Checks of what an index is given: every check raises ``SearchError`` and says where the trouble is."""

from __future__ import annotations

import operator
from collections.abc import Mapping

import numpy as np

from shortlist.errors import ConfigError, SearchError
from shortlist.index.halves import Halves
from shortlist.index.values import Floats, Ints, as_ids, parts
from shortlist.language import counted

__all__ = [
    "LONGEST_SQUARED",
    "check_counts",
    "check_ids",
    "check_k",
    "check_promise",
    "check_stored",
    "check_vectors",
    "squared_norms",
]

# Below this norm no inner product of two accepted vectors leaves float32.
_LARGEST_NORM = 1e18
LONGEST_SQUARED = _LARGEST_NORM**2


def squared_norms(vectors: Floats) -> Floats:
    """Squared length of each row, ``[rows]``; not finite where the row is not."""
    if len(vectors) == 1:
        return np.array([np.dot(vectors[0], vectors[0])], np.float32)  # a tenth of the time, and without warnings
    with np.errstate(over="ignore", invalid="ignore"):
        norms: Floats = np.einsum("ij,ij->i", vectors, vectors)
    return norms


def check_vectors(vectors: object, name: str, dim: int | None = None) -> tuple[Floats, Floats]:
    """``vectors`` as contiguous float32 ``[rows, dim]`` (no copy where it is) and their squared norms."""
    if not isinstance(vectors, np.ndarray):
        raise SearchError(
            f"{name} is a {type(vectors).__name__}; a numpy array of float32 [rows, dim] was expected.",
            hint="np.asarray(values, dtype=np.float32)",
        )
    if vectors.ndim == 1:
        raise SearchError(
            f"{name} has shape {vectors.shape}; [rows, dim] was expected.",
            hint="for one vector pass vector[None, :].",
        )
    if vectors.ndim != 2:
        raise SearchError(f"{name} has shape {vectors.shape}; [rows, dim] was expected.")
    if vectors.dtype != np.float32:
        raise SearchError(f"{name} has dtype {vectors.dtype}; float32 was expected.", hint=f"{name}.astype(np.float32)")
    if vectors.shape[1] == 0 or (dim is not None and vectors.shape[1] != dim):
        raise SearchError(f"{name} has dim {vectors.shape[1]}; {dim or 'at least 1'} was expected.")
    array: Floats = np.ascontiguousarray(vectors)
    norms = squared_norms(array)
    if norms.size and not norms.max() <= LONGEST_SQUARED:
        _refuse(array, norms, name)
    return array, norms


def check_stored(vectors: object, name: str, dim: int | None = None) -> tuple[Floats | Halves, Floats]:
    """``check_vectors`` of vectors that may be ``Halves``."""
    if not isinstance(vectors, Halves):
        return check_vectors(vectors, name, dim)
    norms = np.empty(len(vectors), np.float32)
    check_vectors(vectors[:0], name, dim)
    for part in parts(vectors.shape):
        norms[part] = check_vectors(vectors[part], name, dim)[1]
    return vectors, norms


def _refuse(vectors: Floats, norms: Floats, name: str) -> None:
    row = int(np.flatnonzero(~(norms <= LONGEST_SQUARED))[0])
    odd = np.flatnonzero(~np.isfinite(vectors[row]))
    if odd.size:
        raise SearchError(
            f"{name}[{row}, {odd[0]}] is {vectors[row, odd[0]]}; finite numbers were expected.",
            hint="a diverged model has such vectors: see the loss of its last epochs.",
        )
    raise SearchError(
        f"{name}[{row}] is longer than {_LARGEST_NORM:g}; vectors must be shorter, or scores overflow float32."
    )


def check_ids(ids: object, rows: int) -> Ints:
    """``ids`` as distinct int64 ``[rows]``; 0, 1, 2, … when None."""
    if ids is None:
        return np.arange(rows, dtype=np.int64)
    array = as_ids(ids, "ids")
    if array.size != rows:
        raise SearchError(
            f"{counted(array.size, 'id')} were given for {counted(rows, 'vector')}; one id per vector was expected."
        )
    if not bool((array[1:] > array[:-1]).all()):
        order = np.argsort(array, kind="stable")
        same = np.flatnonzero(array[order[1:]] == array[order[:-1]])
        if same.size:
            first, second = order[same[0]], order[same[0] + 1]
            raise SearchError(
                f"id {array[first]} occurs at ids[{first}] and ids[{second}]; distinct ids were expected."
            )
    return array


def check_k(k: object) -> int:
    """``k`` as an int of at least 1; ``SearchError`` for a bool, a float or less."""
    if isinstance(k, (bool, np.bool_)):
        raise SearchError(f"k is {k}; an integer of at least 1 was expected.")
    try:
        number = operator.index(k)  # type: ignore[arg-type]
    except TypeError:
        raise SearchError(f"k is {k!r}; an integer of at least 1 was expected.") from None
    if number < 1:
        raise SearchError(f"k is {number}; an integer of at least 1 was expected.")
    return number


def check_counts(owner: str, options: Mapping[str, object]) -> None:
    """``ConfigError`` unless every option is None or an integer of at least 1."""
    for name, value in options.items():
        if value is not None and (type(value) is not int or value < 1):
            raise ConfigError(f"{owner}'s {name} is {value!r}; an integer of at least 1 was expected.")


def check_promise(owner: str, recall: object, k: object) -> None:
    """``ConfigError`` unless recall is None or a number above 0 and at most 1, and k an integer of at least 1."""
    if recall is not None and (isinstance(recall, bool) or not isinstance(recall, (int, float)) or not 0 < recall <= 1):
        raise ConfigError(
            f"{owner}'s recall is {recall!r}; a number above 0 and at most 1 was expected.", hint="recall=0.95"
        )
    check_counts(owner, {"k": k})
    if k is None:
        raise ConfigError(f"{owner}'s k is None; an integer of at least 1 was expected.")
