"""A test set as rows: the queries asked, the candidates that compete, those that are hidden, and the weights of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.data.id_map import IdMap
from shortlist.errors import ConfigError, DataError
from shortlist.evaluation.ranks import Hidden, Pairs, Released, found_ranks
from shortlist.evaluation.scorers import Vectors
from shortlist.model import Catalogue, TowerInputs, TwoTower, query_table, vectors_of

__all__ = ["TestSet", "checked_weights"]


@dataclass(frozen=True, eq=False)
class TestSet:
    """Held-out pairs over the distinct queries asked and one catalogue, encoded once and measured as often as wanted.

    Attributes:
        query: int64 ``[pairs]``, rows of ``queries``.
        candidate: int64 ``[pairs]``, rows of ``candidates``, −1 for one that is in no catalogue.
        queries: the distinct query rows asked, with the query tower's columns.
        candidates: the catalogue, one row per id.
        query_ids: raw ids of the queries.
        candidate_ids: raw ids of the candidates.
        known: bool ``[queries]``, whether training had any interaction of the query.
        query_counts: ``[queries]``, interactions in ``seen`` where that was given; else whether the query occurs in training.
        candidate_counts: ``[candidates]``, training interactions.
        model: the towers whose catalogue this is.
        hidden: what each asked query chose before, which does not compete for it.
        released: the time since when each candidate exists, and the time of each pair.
        weight: float64 ``[pairs]``, how much a pair counts; None for all alike.
        grade: float64 ``[pairs]``, how good a choice it was; None for all alike.
    """

    __test__ = False  # not a test, although pytest may think so by its name

    query: NDArray[np.int64]
    candidate: NDArray[np.int64]
    queries: pl.DataFrame
    candidates: pl.DataFrame
    query_ids: pl.Series
    candidate_ids: pl.Series
    known: NDArray[np.bool_]
    query_counts: NDArray[np.int64]
    candidate_counts: NDArray[np.int64]
    model: TwoTower | None = None
    hidden: Hidden | None = None
    released: Released | None = None
    weight: NDArray[np.float64] | None = None
    grade: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        model: TwoTower,
        test: Dataset,
        seen: Dataset | None = None,
        *,
        weighted: bool = False,
        grade: str | None = None,
        released: str | None = None,
    ) -> TestSet:
        """The pairs of ``test``; its catalogue is the model's, and any candidates that only ``test`` has, after it.

        Args:
            seen: what each query chose before; see ``evaluate`` for the others.

        Raises:
            ConfigError: where there are no weights.
            DataError: where all weights are 0, for ids of another name than the model's, and columns that do not fit.
        """
        catalogue = model.catalogue
        if (test.query, test.candidate) != (catalogue.query, catalogue.candidate):
            raise DataError(
                f"the test data's ids are {test.query!r} and {test.candidate!r}; "
                f"the model was trained on {catalogue.query!r} and {catalogue.candidate!r}.",
                hint="use the column names of the training data in the test",
            )
        table, rows = query_table(model.query, test)
        asked, query = _distinct(rows, len(table))
        queries = model.with_histories(table[asked], seen)
        query_ids = queries[test.query]
        candidates, row_of = _joined_candidates(catalogue, test)
        counts = np.zeros(len(candidates), dtype=np.int64)
        counts[: len(catalogue.counts)] = catalogue.counts
        known = np.append(catalogue.known, False)[_rows_in(catalogue.query_ids, table[test.query], asked)]
        made = cls(
            query,
            row_of[test.candidate_rows],
            queries,
            candidates,
            query_ids,
            candidates[test.candidate],
            known,
            known.astype(np.int64) if seen is None else _interactions_of(query_ids, seen),
            counts,
            model,
            weight=checked_weights(test, weighted),
            grade=None if grade is None else _grades(test, grade),
            released=None if released is None else _release(candidates, test, released, model.device),
        )
        return made if seen is None else replace(made, hidden=_hidden(made, seen, model.device))

    @classmethod
    def of_rows(cls, query: NDArray[np.int64], candidate: NDArray[np.int64], queries: int, candidates: int) -> TestSet:
        """Pairs as rows alone, without tables or a model, for ranks from elsewhere."""
        asked, there = pl.Series("query", np.arange(queries)), pl.Series("candidate", np.arange(candidates))
        return cls(
            query,
            candidate,
            asked.to_frame(),
            there.to_frame(),
            asked,
            there,
            known=np.ones(queries, np.bool_),
            query_counts=np.ones(queries, np.int64),
            candidate_counts=np.zeros(candidates, np.int64),
        )

    def __len__(self) -> int:
        return len(self.query)

    @cached_property
    def with_all(self) -> TestSet:
        """The same pairs with nothing hidden."""
        return self if self.hidden is None else replace(self, hidden=None)

    def only(self, chosen: NDArray[np.bool_]) -> TestSet:
        """These pairs alone, as if the test had no others; queries and catalogue stay."""

        def part(values: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
            return None if values is None else values[chosen]

        released = None if self.released is None else self.released.only(torch.from_numpy(np.flatnonzero(chosen)))
        return replace(
            self,
            query=self.query[chosen],
            candidate=self.candidate[chosen],
            weight=part(self.weight),
            grade=part(self.grade),
            released=released,
        )

    @property
    def new_queries(self) -> int:
        """How many pairs have a query that training never saw."""
        return 0 if self.known.all() else int(np.count_nonzero(~self.known[self.query]))

    @property
    def new_candidates(self) -> int:
        """How many pairs have a candidate that training never saw."""
        return 0 if self.candidate_counts.all() else int(np.count_nonzero(self.candidate_counts[self.candidate] == 0))

    @property
    def competing(self) -> NDArray[np.int64]:
        """How many candidates compete for each query, int64 ``[queries]``."""
        competing = np.full(len(self.queries), len(self.candidates), np.int64)
        if self.hidden is not None:
            competing -= np.bincount(self.hidden.query.cpu().numpy(), minlength=len(competing))
        return competing

    @property
    def propensity(self) -> NDArray[np.float64]:
        """How likely each pair was to be observed, up to a factor: the square root of its candidate's count, float64 ``[pairs]``."""
        root: NDArray[np.float64] = np.sqrt(np.maximum(self.candidate_counts, 1))
        return root[self.candidate]

    @cached_property
    def pairs(self) -> Pairs:
        """The pairs as ``ranks`` takes them, where the model is."""
        query, candidate = (torch.from_numpy(rows).to(self.device) for rows in (self.query, self.candidate))
        return Pairs(query, candidate, self.hidden, self.released)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return torch.device("cpu") if self.model is None else self.model.device

    @cached_property
    def query_inputs(self) -> TowerInputs:
        """The asked queries as the query tower takes them."""
        model = self._towers
        return TowerInputs.of(model.query.encode(self.queries, "the test data's queries"), model.device)

    @cached_property
    def candidate_inputs(self) -> TowerInputs:
        """The catalogue as the candidate tower takes it."""
        model = self._towers
        return TowerInputs.of(model.candidate.encode(self.candidates, "the candidates' table"), model.device)

    def vectors(self) -> Vectors:
        """The model's vectors as it is now, of the asked queries and the catalogue."""
        model = self._towers
        query = model.split_heads(vectors_of(model.query, self.query_inputs))
        return Vectors(query, vectors_of(model.candidate, self.candidate_inputs))

    def popularity(self) -> Vectors:
        """Vectors of one dimension whose product is a candidate's training count, whatever the query."""
        counts = torch.from_numpy(self.candidate_counts.astype(np.float32)[:, None])
        return Vectors(torch.ones(len(self.queries), 1, device=self.device), counts.to(self.device))

    def top_k(self, ks: Sequence[int]) -> dict[str, float]:
        """The model's top-k accuracies as it is now: the share of pairs with rank at most k, for each k; by weight, if any."""
        vectors = self.vectors()
        rank = found_ranks(vectors.ranks(self.pairs), vectors.candidates)
        if self.weight is not None:
            weight = torch.from_numpy(self.weight).to(rank.device)
            return {f"top_{k}": float(weight[rank <= k].sum() / weight.sum()) for k in ks}
        return {f"top_{k}": int((rank <= k).sum()) / len(rank) for k in ks}

    @property
    def _towers(self) -> TwoTower:
        assert self.model is not None, "a test set of rows alone has no model"
        return self.model


def _distinct(rows: NDArray[np.integer], total: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct rows of a table of ``total``, ascending, and the place of each of ``rows`` among them."""
    if total > 4 * len(rows):
        asked, places = np.unique(rows, return_inverse=True)
        return asked.astype(np.int64), places.astype(np.int64)
    asked = np.flatnonzero(np.bincount(rows, minlength=total))
    place = np.empty(total, np.int64)
    place[asked] = np.arange(len(asked))
    return asked, place[rows]


def _rows_in(known: IdMap, ids: pl.Series, asked: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row in ``known`` of the ids at the places ``asked``, −1 where there is none.

    Where most are asked for, all are looked up: the ids of a table that training had too are then found at once.
    """
    return known.find(ids)[asked] if len(ids) <= 2 * len(asked) else known.find(ids.gather(asked))


def _hidden(test: TestSet, seen: Dataset, device: torch.device) -> Hidden:
    """The candidates that each asked query chose in ``seen``, as rows, sorted by query."""
    seen = seen.seen  # by Events(seen_where=) only some of it may count
    rows = IdMap(test.candidate_ids).find(seen.candidates[seen.candidate])
    ids = seen.queries[seen.query][seen.query_rows]
    chosen = pl.DataFrame({"id": ids, "candidate": rows[seen.candidate_rows]}).unique()
    asked = pl.DataFrame({"id": test.query_ids, "query": np.arange(len(test.query_ids), dtype=np.int64)})
    pairs = asked.join(chosen.filter(pl.col("candidate") >= 0), on="id").sort("query", "candidate")
    return Hidden(*(torch.tensor(pairs[side].to_numpy(), device=device) for side in ("query", "candidate")))


def _interactions_of(query_ids: pl.Series, seen: Dataset) -> NDArray[np.int64]:
    """How many interactions of ``seen`` each query has, int64 ``[queries]``."""
    counts = np.bincount(seen.query_rows, minlength=len(seen.queries))
    rows = IdMap(seen.queries[seen.query]).find(query_ids)
    return np.where(rows >= 0, counts[rows], 0)


def _joined_candidates(catalogue: Catalogue, test: Dataset) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """The model's catalogue with the candidates that only ``test`` has appended, and the row of each of test's."""
    own = catalogue.candidates
    if test.candidates is own:
        return own, np.arange(len(own), dtype=np.int64)
    rows = catalogue.candidate_ids.find(test.candidates[test.candidate])
    new = np.flatnonzero(rows < 0)
    rows[new] = len(own) + np.arange(len(new))
    if not len(new):
        return own, rows
    return pl.concat([own, test.candidates[new]], how="diagonal_relaxed").select(own.columns), rows


def checked_weights(test: Dataset, weighted: bool) -> NDArray[np.float64] | None:
    """The weight of each test pair, or None where each counts once.

    Raises:
        ConfigError: where there are no weights.
        DataError: where all of them are 0.
    """
    if not weighted:
        return None
    if test.weights is None:
        raise ConfigError("weighted=True needs a weight column in the test data.", hint="Dataset(…, weight=…)")
    if not np.any(test.weights):
        raise DataError(
            f"the held-out rows all have weight 0 in column {test.weight!r}, so no figure can be weighted by it.",
            hint="hold out rows that weigh something, or measure without weights",
        )
    return test.weights.astype(np.float64)


def _grades(test: Dataset, grade: str) -> NDArray[np.float64]:
    if grade not in test.interactions.columns or not test.interactions.schema[grade].is_numeric():
        raise DataError(f"grade is {grade!r}; a column of numbers in the test interactions was expected.")
    grades: NDArray[np.float64] = test.interactions[grade].cast(pl.Float64).to_numpy()
    if not (good := np.isfinite(grades) & (grades >= 0)).all():
        row = int(good.argmin())
        first = ", ".join(f"{test.interactions[one][row]!r}" for one in (test.query, test.candidate))
        raise DataError(
            f"the grades in {grade!r} must be finite numbers of at least 0, none of them null; the first that is not "
            f"is of ({first}).",
            hint="leave those rows out, or fill them",
        )
    return grades


def _release(table: pl.DataFrame, test: Dataset, released: str, device: torch.device) -> Released:
    """The times since when each candidate exists, and of each pair, as float64; null is "always"."""
    if released not in table.columns:
        raise DataError(
            f"released is {released!r}; the candidates' table has no such column.",
            hint="name the column with each candidate's release time, or omit released",
        )
    if test.timestamp is None:
        raise DataError("released= needs the time of each test pair.", hint="Dataset(…, timestamp=…)")
    since, moment = table[released], test.times
    kinds = {_kind_of_time(column.dtype) for column in (since, moment)}
    if len(kinds) > 1 or None in kinds:
        raise DataError(
            f"candidates' {released!r} is of type {since.dtype} and the test's {test.timestamp!r} of {moment.dtype}; "
            "expected numbers in both, dates and times without a time zone in both, or with a time zone in both.",
            hint="give the one without a time zone the zone that it was written in: .dt.replace_time_zone('Asia/Seoul')"
            if kinds == {"naive", "zoned"}
            else f"convert one of them, so that {released!r} is the time from which a candidate can be chosen",
        )
    if since.dtype.is_temporal():
        since, moment = since.cast(pl.Datetime("us")), moment.cast(pl.Datetime("us"))
    times = [column.to_physical().cast(pl.Float64).fill_null(-np.inf).to_numpy() for column in (since, moment)]
    return Released(*(torch.tensor(one, dtype=torch.float64, device=device) for one in times))


def _kind_of_time(dtype: pl.DataType) -> str | None:
    """The kind of times that a column can be compared with; None if it is not a moment. A zoned moment is not a naive one."""
    if isinstance(dtype, pl.Datetime):
        return "naive" if dtype.time_zone is None else "zoned"
    return "naive" if dtype == pl.Date else "number" if dtype.is_numeric() else None
