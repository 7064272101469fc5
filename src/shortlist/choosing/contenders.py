"""The contenders for a table: recipes, cheapest first, each with its needs and its expected cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import Dataset, Shards
from shortlist.data.ids import unpatterned
from shortlist.errors import ConfigError
from shortlist.language import counted
from shortlist.sources import EASE, ease_products
from shortlist.train import recipes
from shortlist.train.als import check_room
from shortlist.train.recipes import Recipe

__all__ = ["Contender", "contenders_of"]

ALONE = 0.95  # share of neighbours where popularity fills the rest of the list
MOST_COLUMNS = 6  # features of a table
LONGEST, LETTERS = 100_000, 30_000_000  # letters of a text, and of all texts of a column, that a feature reads
CATALOGUE_SOFTMAX = 60_000  # candidates up to which a loss over all of them is tried
EASE_PRODUCTS = 2e12
PAIR_PRODUCTS = 2e10  # pairs of one query's choices that co-occurrence counts


@dataclass(frozen=True)
class Contender:
    """One recipe that is tried.

    Attributes:
        name: as the table shows it.
        kind: "popularity", "neighbours", "towers" or "mixture".
        rank: simpler ones have lower ranks, and win where two are level.
        reason: why it is not tried, or None.
        note: what to know of it where it is tried.
        lighter: the same without its longest texts, which is tried where it takes too long or too much; None where it has none.
    """

    name: str
    kind: str
    recipe: Recipe
    rank: int
    reason: str | None = None
    note: str | None = None
    lighter: Contender | None = None


def contenders_of(data: Dataset | Shards, seed: int, again: bool) -> list[Contender]:
    """The contenders for a table, cheapest first; those that it does not allow have a reason. Mixtures come later, from the best.

    Args:
        again: whether people mostly choose what they chose before, so that seen items compete.
    """
    ordered = data.timestamp is not None and not (isinstance(data, Dataset) and data.times.n_unique() < 2)
    in_memory = isinstance(data, Dataset)
    found = [_contender("popularity", "popularity", {"towers": "popularity"}, 0, seed)]
    found.append(
        _contender("recent popularity", "popularity", {"towers": "recent"}, 1, seed, _lacking(ordered, in_memory))
    )
    found += _neighbours(data, seed, ordered, in_memory, again)
    found.append(_contender("ALS", "towers", recipes.load("als").to_dict(), 10, seed, _lacking_room(data)))
    found.append(_contender("factorization", "towers", recipes.load("factorization").to_dict(), 11, seed))
    found.append(_features(data, seed))
    found += _histories(data, seed, ordered, in_memory)
    return found


def _contender(
    name: str, kind: str, tree: Mapping[str, Any], rank: int, seed: int, reason: str | None = None
) -> Contender:
    fit = {**tree.get("fit", {}), "seed": seed}
    return Contender(name, kind, recipes.load({**tree, "fit": fit}), rank, reason)


def _lacking(ordered: bool, in_memory: bool) -> str | None:
    if not in_memory:
        return "reads all interactions in memory"
    return None if ordered else "needs a column of times that differ: timestamp= (--time)"


def _lacking_room(data: Dataset | Shards) -> str | None:
    """Why ALS cannot hold the pairs of shards."""
    try:
        if isinstance(data, Shards):
            check_room(data)
    except ConfigError as error:
        return error.message.removesuffix(".")
    return None


def _neighbours(data: Dataset | Shards, seed: int, ordered: bool, in_memory: bool, again: bool) -> list[Contender]:
    """Tables of neighbours alone; popularity fills the rest of their lists."""
    memory = None if in_memory else "counts whole histories in memory"
    many = None
    if isinstance(data, Dataset):
        pairs = float((np.minimum(np.bincount(data.query_rows), 500).astype(np.float64) ** 2).sum())
        many = f"{pairs:.1e} pairs of choices are more than {PAIR_PRODUCTS:.0e}" if pairs > PAIR_PRODUCTS else None
    wide = _width(len(data.candidates))
    found = []
    own = memory if again else "at most half of the held-out pairs were chosen before"
    options: list[tuple[str, str, dict[str, int | float], str | None]] = [
        ("own history", "own", {}, own),
        ("transitions", "transitions", {}, _lacking(ordered, in_memory)),
        (
            "long transitions",
            "transitions",
            {"window": 20, "decay": 0.9, "source_power": 0.4, "target_power": 0.7, "age": 0.9},
            _lacking(ordered, in_memory),
        ),
        ("co-occurrence", "cooccurrence", {"neighbours": wide}, memory or many),
        (
            "co-occurrence, cosine",
            "cooccurrence",
            {"query_power": 1.0, "source_power": 0.5, "target_power": 0.5, "neighbours": wide},
            memory or many,
        ),
        ("EASE", "ease", {"neighbours": wide}, memory or _too_large_for_ease(data)),
    ]
    for number, (name, kind, extra, reason) in enumerate(options):
        section = {"kind": kind, "share": ALONE, "temperature": 1.0, "options": extra}
        found.append(
            _contender(name, "neighbours", {"towers": "popularity", "neighbours": section}, 2 + number, seed, reason)
        )
    return found


def _width(candidates: int) -> int:
    """Neighbours of each candidate: more where the catalogue is small, 50 at least, 500 at most."""
    return max(50, min(500, 4_000_000 // max(candidates, 1)))


def _too_large_for_ease(data: Dataset | Shards) -> str | None:
    queries, candidates = len(data.queries), min(len(data.candidates), EASE().candidates)
    smaller = min(queries, candidates)
    if ease_products(queries, candidates, len(data)) > EASE_PRODUCTS or smaller > 30_000:
        return f"inverts {smaller:,} × {smaller:,} numbers: too many"
    return None


def _features(data: Dataset | Shards, seed: int) -> Contender:
    """Ids and the columns of both tables, added up. Its note says which columns are not read, and why."""
    sides = {
        "query": _Columns.of(data.queries, data.query, data.query_counts),
        "candidate": _Columns.of(data.candidates, data.candidate, data.candidate_counts),
    }
    unread = [why for columns in sides.values() for why in columns.unread]
    if not any(columns.features for columns in sides.values()):
        reason = "needs a table of features: queries= (--queries) or candidates= (--candidates)"
        if len(data.queries.columns) + len(data.candidates.columns) > 2:
            listed = "; ".join(unread)
            reason = f"no column of the tables can be used{f': {listed}' if unread else ''}"
        return _contender("features", "towers", {}, 12, seed, reason)
    texts = [(letters, side, name) for side, columns in sides.items() for name, letters in columns.letters.items()]
    heaviest = [(side, name) for _, side, name in sorted(texts, reverse=True)]
    found: Contender | None = None
    for number in reversed(range(len(texts) + 1)):  # from the lightest to the one with all
        left_out = heaviest[:number]
        tree = recipes.load("factorization").to_dict()
        tree["model"] |= {"combine": "sum", "id_dropout": 0.1}
        for side, columns in sides.items():
            features = [one for one in columns.features if (side, one["column"]) not in left_out]
            tree[side] |= {"features": features}
        if not (tree["query"]["features"] or tree["candidate"]["features"]):
            continue  # that would be factorization
        why = [*unread, *(f"{name!r} has texts so long that it would take too long with them" for _, name in left_out)]
        note = f"not read: {'; '.join(why)}" if why else None
        found = replace(_contender("features", "towers", tree, 12, seed), note=note, lighter=found)
    assert found is not None
    return found


@dataclass(frozen=True)
class _Columns:
    """Features for the columns of a table with values that more than one row has, in the order of the table.

    Attributes:
        unread: the other columns, each with the reason.
        letters: how many letters each column of texts has.
    """

    features: list[dict[str, Any]]
    unread: list[str]
    letters: dict[str, int]

    @classmethod
    def of(cls, table: pl.DataFrame, ids: str, counts: NDArray[np.int64]) -> _Columns:
        """The features of a table.

        Args:
            counts: interactions of each row; features learn from rows that have some.
        """
        found: list[dict[str, Any]] = []
        unread = []
        letters = {}
        met = np.flatnonzero(counts)
        for name in table.columns:
            if name == ids:
                continue
            values = unpatterned(table[name])
            feature = _feature(values, values.gather(met), ids, table)
            if isinstance(feature, str):
                unread.append(f"{name!r}{feature}")
            elif len(found) == MOST_COLUMNS:
                unread.append(f"{name!r} comes after {MOST_COLUMNS} others")
            else:
                found.append({**feature, "column": name})
                if feature["kind"] == "Text":
                    letters[name] = int(values.cast(pl.String).str.len_chars().sum())
        return cls(found, unread, letters)


def _feature(values: pl.Series, met: pl.Series, ids: str, table: pl.DataFrame) -> dict[str, Any] | str:
    """The feature of a column, or why it is not read, to be put behind its name.

    Args:
        met: the values of rows that occur in the interactions.
    """
    dtype, rows = values.dtype, max(len(values), 1)
    if values.null_count() == len(values):
        return " is null throughout"
    if met.null_count() == len(met):
        return " is null in every row that occurs in the interactions"
    if isinstance(dtype, (pl.List, pl.Array)) and (dtype.inner == pl.String or dtype.inner.is_integer()):
        if met.explode().count():
            return {"kind": "MultiCategory"}
        some = values.explode().count() > 0
        return " is empty in every row that occurs in the interactions" if some else " is empty in every row"
    if str(dtype) in ("Int128", "UInt128"):
        return f" is of type {dtype}"
    if dtype == pl.Boolean:
        return {"kind": "Category"}
    if dtype in (pl.String, pl.Categorical, pl.Enum) or dtype.is_integer():
        distinct = values.n_unique()
        if distinct < 2:
            return " is the same in every row"
        if distinct <= max(50, rows // 5):
            return {"kind": "Category"}
        return {"kind": "Discretization", "bins": 20} if dtype.is_integer() else _text(values.cast(pl.String))
    if dtype.is_float() or dtype.is_decimal():
        bad = ~values.cast(pl.Float64).is_finite().fill_null(True)
        if not bad.any():
            return {"kind": "Discretization", "bins": 20}
        first = table[ids][int(bad.arg_true()[0])]
        return (
            f" has NaN or infinity in {int(bad.sum()):,} of {counted(rows, 'row')}, the first where {ids!r} is {first!r} (a missing "
            "value is a null)"
        )
    return f" is of type {dtype}"


def _text(values: pl.Series) -> dict[str, Any] | str:
    """The feature of a column of texts, or why it is not read."""
    letters = values.str.len_chars()
    longest, total = int(letters.max()), int(letters.sum())  # type: ignore[arg-type]
    if longest > LONGEST:
        return f" has a text of {counted(longest, 'letter')}; texts of up to {LONGEST:,} are read"
    if total > LETTERS:
        return f" has texts of {counted(total, 'letter')} together; up to {LETTERS:,} are read"
    return {"kind": "Text"}


def _histories(data: Dataset | Shards, seed: int, ordered: bool, in_memory: bool) -> list[Contender]:
    """Towers that read what a query chose before."""
    size = len(data.candidates)
    reason = _lacking(ordered, in_memory)
    if reason is None and size > CATALOGUE_SOFTMAX:
        reason = f"scores all {size:,} candidates in every step; tried up to {CATALOGUE_SOFTMAX:,}"
    return [
        _contender(name, "towers", recipes.load(name).to_dict(), 13 + number, seed, reason)
        for number, name in enumerate(("history", "sequence"))
    ]
