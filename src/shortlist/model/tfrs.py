"""A trained TensorFlow Recommenders model from the vectors of its towers, whatever their layers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.data.argument_checks import check_dataset, checked_path
from shortlist.data.choices import choice_counts
from shortlist.data.id_map import IdMap
from shortlist.errors import DataError, ShortlistWarning
from shortlist.features import IntegerLookup, StringLookup
from shortlist.language import counted
from shortlist.model.tower import Tower
from shortlist.model.two_tower import Catalogue, TwoTower

__all__ = ["from_tfrs"]

NAMES = ("query_ids", "query_embeddings", "candidate_ids", "candidate_embeddings")
SCORES = ("score_query_ids", "score_candidate_ids", "scores")
AGREE = 1e-3  # of the sum of |products|: what TF32 on a GPU may differ by, and far less than another model does


class _Side(NamedTuple):
    ids: pl.Series
    rows: NDArray[np.float32]  # [ids + 1, dim], the unknown row first


def from_tfrs(
    arrays: str | Path | Mapping[str, NDArray[Any]], query: str, candidate: str, seen: Dataset | None = None
) -> TwoTower:
    """The two-tower model whose towers return these vectors; its scores are the same, except for rounding of products.

    Without scores nothing can be checked, and a ShortlistWarning says so.

    In TFRS: ``np.savez("model.npz", query_ids=ids, query_embeddings=model.user_model(tf.constant([b"?unknown?", *ids])), …)``;
    the whole recipe is in ``docs/migration.md``.

    Args:
        arrays: an ``.npz`` file, or arrays by name: ``query_ids`` and ``candidate_ids`` ``[n]`` (strings, UTF-8 bytes
            or integers); ``query_embeddings`` and ``candidate_embeddings`` (float ``[n + 1, dim]``), the tower's
            vector for an unknown id, then for each id; and a few scores of the model itself, to check
            the rest by: ``score_query_ids``, ``score_candidate_ids`` and ``scores`` ``[m]``. An id that the model lacks
            stands for unknown ids.
        query: the name for the column of query ids.
        candidate: the name for the column of candidate ids.
        seen: the training data, for counts (popularity); ids that the arrays lack are passed over.

    Raises:
        DataError: for arrays that are missing, do not fit each other, repeat an id, or are not finite, and where the
            scores differ from those of the vectors: a tower with further layers does not return its embedding tables.
    """
    check_dataset(seen, "from_tfrs(seen=)", optional=True)
    given = _read(arrays)
    sides = {side: _side(side, given[f"{side}_ids"], given[f"{side}_embeddings"]) for side in ("query", "candidate")}
    dims = {side: value.rows.shape[1] for side, value in sides.items()}
    if dims["query"] != dims["candidate"]:
        raise DataError(
            f"the query embeddings have dim {dims['query']}, the candidate embeddings {dims['candidate']}.",
            hint="export both towers of one model",
        )
    _check_scores(given, sides)
    model = TwoTower(_tower(query, sides["query"]), _tower(candidate, sides["candidate"]))
    tables = {
        side: pl.DataFrame({name: sides[side].ids}) for side, name in (("query", query), ("candidate", candidate))
    }
    model.trained_on = Catalogue(
        query,
        candidate,
        tables["query"],
        tables["candidate"],
        _counts(sides["candidate"].ids, seen),
        np.ones(len(tables["query"]), np.bool_),
    )
    return model.eval()


def _read(arrays: str | Path | Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
    if isinstance(arrays, Mapping):
        given = {name: np.asarray(value) for name, value in arrays.items()}
    else:
        arrays = checked_path(arrays, "from_tfrs(arrays)", "a dict of arrays or the path of an .npz file")
        try:
            with np.load(arrays, allow_pickle=False) as file:
                given = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"{str(arrays)!r} is not an .npz file of plain arrays: {error}.",
                hint="ids as an array of strings or integers, not of objects: np.array(ids, dtype=str)",
            ) from error
    missing = [name for name in NAMES if name not in given]
    if missing:
        raise DataError(
            f"the arrays lack {', '.join(missing)}; they have {', '.join(given) or 'nothing'}.",
            hint=f"np.savez(path, {', '.join(f'{name}=…' for name in NAMES)})",
        )
    return given


def _side(side: str, ids: NDArray[Any], rows: NDArray[Any]) -> _Side:
    values = _ids(f"{side}_ids", ids)
    if rows.ndim != 2 or rows.dtype.kind != "f" or len(rows) != len(ids) + 1:
        raise DataError(
            f"{side}_embeddings is {rows.dtype} {list(rows.shape)}; float [{len(ids) + 1:,}, dim] was expected: a row for "
            f"each of {counted(len(ids), 'id')}, and the unknown row first.",
            hint="give the vocabulary as the lookup got it, without [UNK]",
        )
    if not np.isfinite(rows).all():
        raise DataError(
            f"{side}_embeddings has NaN or infinite numbers.", hint="export the model from before its training diverged"
        )
    return _Side(values, rows.astype(np.float32))


def _ids(name: str, ids: NDArray[Any]) -> pl.Series:
    """Ids as text, or as integers with all of their digits. DataError for anything else, naming the array."""
    if ids.ndim == 1 and ids.dtype.kind == "O" and all(isinstance(one, (str, bytes)) for one in ids):
        return pl.Series(name, [_text(name, one) for one in ids], dtype=pl.String)
    if ids.ndim != 1 or ids.dtype.kind not in "SUiu":
        raise DataError(
            f"{name} is {ids.dtype} {list(ids.shape)}; strings or integers [n] were expected.",
            hint="np.array(ids, dtype=bytes) for the ids of a StringLookup",
        )
    if ids.dtype.kind in "SU":
        return pl.Series(name, [_text(name, one) for one in ids.tolist()], dtype=pl.String)
    fits = ids.dtype.kind == "i" or not len(ids) or ids.max() <= np.iinfo(np.int64).max
    return pl.Series(name, ids.astype(np.int64 if fits else np.uint64))


def _text(name: str, one: str | bytes) -> str:
    if isinstance(one, str):
        return one
    try:
        return one.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(
            f"{name} has {one!r}, which is not UTF-8.",
            hint='decode the ids as they were encoded, for example [one.decode("latin-1") for one in ids]',
        ) from None


def _check_scores(given: Mapping[str, NDArray[Any]], sides: Mapping[str, _Side]) -> None:
    """DataError where the given scores are not those of the vectors; a warning where none were given."""
    there = [name for name in SCORES if name in given]
    if not there:
        warnings.warn(
            "no scores were given with the arrays, so the vectors cannot be checked: embedding tables of a tower with more "
            f"layers would give wrong scores.\nhint: add {', '.join(SCORES)}, a hundred scores of the model itself "
            "(docs/migration.md)",
            ShortlistWarning,
            stacklevel=3,
        )
        return
    scores = given.get("scores", np.zeros(0))
    shapes = [list(given[name].shape) for name in there]
    if len(there) < len(SCORES) or scores.dtype.kind != "f" or scores.ndim != 1 or len({*map(tuple, shapes)}) > 1:
        raise DataError(
            f"the arrays have {', '.join(f'{name} {shape}' for name, shape in zip(there, shapes, strict=True))}; "
            f"{', '.join(SCORES)} of one length were expected, the scores as floats.",
            hint="give the ids of each score, or no scores at all",
        )
    ids = {side: _ids(f"score_{side}_ids", given[f"score_{side}_ids"]) for side in sides}
    query, candidate = (
        sides[side].rows[IdMap.checked(sides[side].ids).encode(ids[side])].astype(np.float64) for side in ids
    )
    off = np.abs((query * candidate).sum(1) - scores)
    wrong = ~(off <= AGREE * np.abs(query * candidate).sum(1) + np.finfo(np.float32).tiny)
    if wrong.any():
        worst = int(np.argmax(np.where(np.isnan(off), np.inf, off)))
        here = float((query[worst] * candidate[worst]).sum())
        raise DataError(
            f"{int(wrong.sum()):,} of {counted(len(scores), 'score')} differ from those of the vectors: {ids['query'][worst]!r} and "
            f"{ids['candidate'][worst]!r} have {scores[worst]:.6g} in the model and {here:.6g} here.",
            hint="export the towers' outputs for each id, not their embedding tables, with the unknown id first "
            "(docs/migration.md)",
        )


def _tower(column: str, side: _Side) -> Tower:
    lookup = (StringLookup if side.ids.dtype == pl.String else IntegerLookup)(column, side.ids)
    tower = Tower(lookup, dim=side.rows.shape[1])
    tower.build(tower.encode(pl.DataFrame({column: side.ids[:1]}), "the ids"))
    (name,) = tower.tables
    tower.load_state_dict({f"tables.{name}.weight": torch.from_numpy(side.rows)})
    return tower


def _counts(ids: pl.Series, seen: Dataset | None) -> NDArray[np.int64]:
    if seen is None:
        return np.zeros(len(ids), np.int64)
    counts = choice_counts(seen, "candidate")
    rows = IdMap(seen.candidates[seen.candidate]).find(ids)
    return np.where(rows >= 0, counts[rows], 0)
