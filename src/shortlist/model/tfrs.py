"""A trained TensorFlow Recommenders model of two ids, from its arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.data.given import check_dataset
from shortlist.errors import DataError
from shortlist.features import IntegerLookup, StringLookup
from shortlist.model.tower import Tower
from shortlist.model.two_tower import Catalogue, TwoTower

__all__ = ["from_tfrs"]

NAMES = ("query_ids", "query_embeddings", "candidate_ids", "candidate_embeddings")


class _Side(NamedTuple):
    ids: pl.Series
    rows: NDArray[np.float32]  # [ids + 1, dim], the unknown row first


def from_tfrs(
    arrays: str | Path | Mapping[str, NDArray[Any]], query: str, candidate: str, seen: Dataset | None = None
) -> TwoTower:
    """The two-tower model whose tables another library trained; its scores are the same, to the last bit of a product.

    arrays: an ``.npz`` file, or arrays by name: ``query_ids`` and ``candidate_ids`` (the vocabularies that
        ``StringLookup`` or ``IntegerLookup`` got, strings or integers ``[n]``), ``query_embeddings`` and
        ``candidate_embeddings`` (float ``[n + 1, dim]``; row 0 is the lookup's unknown row).
    query, candidate: what the id columns are to be called.
    seen: the training data, for counts (popularity); ids that the tables lack are passed over.

    Raises DataError for arrays that are missing, do not fit each other, repeat an id, or are not finite.

    In TFRS: ``np.savez("model.npz", query_ids=user_ids, query_embeddings=embedding.get_weights()[0], …)``.
    """
    check_dataset(seen, "from_tfrs(seen=)", optional=True)
    given = _read(arrays)
    sides = {side: _side(side, given[f"{side}_ids"], given[f"{side}_embeddings"]) for side in ("query", "candidate")}
    dims = {side: value.rows.shape[1] for side, value in sides.items()}
    if dims["query"] != dims["candidate"]:
        raise DataError(
            f"the query embeddings have dim {dims['query']}, the candidate embeddings {dims['candidate']}.",
            hint="export both tables of one model",
        )
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
        try:
            with np.load(arrays, allow_pickle=False) as file:
                given = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"{str(arrays)!r} is no .npz file of plain arrays: {error}.",
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
    if ids.dtype.kind == "S":
        ids = np.char.decode(ids, "utf-8")
    if ids.ndim != 1 or ids.dtype.kind not in "Uiu":
        raise DataError(f"{side}_ids is {ids.dtype} {list(ids.shape)}; strings or integers [n] were expected.")
    if rows.ndim != 2 or rows.dtype.kind != "f" or len(rows) != len(ids) + 1:
        raise DataError(
            f"{side}_embeddings is {rows.dtype} {list(rows.shape)}; float [{len(ids) + 1:,}, dim] was expected: a row for "
            f"each of {len(ids):,} ids, and the unknown row first.",
            hint="give the vocabulary as the lookup got it, without [UNK]",
        )
    if not np.isfinite(rows).all():
        raise DataError(
            f"{side}_embeddings has NaN or infinite numbers.", hint="export the model from before its training diverged"
        )
    values = pl.Series(side, ids.tolist() if ids.dtype.kind == "U" else ids.astype(np.int64))
    return _Side(values, rows.astype(np.float32))


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
    counts = np.bincount(seen.candidate_rows, minlength=len(seen.candidates))
    table = pl.DataFrame({"id": seen.candidates[seen.candidate], "count": counts})
    return (
        pl.DataFrame({"id": ids})
        .join(table, on="id", how="left", maintain_order="left")["count"]
        .fill_null(0)
        .to_numpy()
    )
