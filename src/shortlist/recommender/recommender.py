"""Model, index and seen items behind raw ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.errors import ConfigError, DataError, UnknownQueryError, did_you_mean
from shortlist.features import Vocabulary
from shortlist.features.vocabulary import is_id_type
from shortlist.index import BruteForce, Hits, Index, Lists, choose_index
from shortlist.index.checks import check_k
from shortlist.recommender import bundle
from shortlist.recommender.recommendations import Item, Recommendations
from shortlist.recommender.state import State, fingerprint, state_from_model

if TYPE_CHECKING:
    from shortlist.model import TwoTower

__all__ = ["Recommender"]

COLD_START = ("unknown", "popularity", "refuse")
FALLBACKS = ("popularity",)

Queries = Mapping[str, Sequence[Any]] | Sequence[Any] | pl.DataFrame


class Recommender:
    """The top k for raw query ids, in raw candidate ids.

    model: a trained TwoTower. index: settings such as ``ScaNN()``; by default what suits the catalogue (``reason`` says
    why). seen: interactions whose candidates are left out of their query's lists by default, usually the training data.
    cold_start: for a query id that training never saw: "unknown" answers from the shared unknown row and whatever
        features the request has, "popularity" by training counts, "refuse" raises UnknownQueryError. Such answers are
        always marked (``known`` is False).
    fallback: what fills a list that would fall short of k, in order; each item says where it came from.

    Raises ConfigError for options that cannot work, DataError where ``seen`` has other id columns.
    """

    def __init__(
        self,
        model: TwoTower,
        index: Index | None = None,
        seen: Dataset | None = None,
        *,
        cold_start: str = "unknown",
        fallback: Sequence[str] = ("popularity",),
    ) -> None:
        _check_choice("cold_start", cold_start, COLD_START)
        for name in fallback:
            _check_choice("fallback", name, FALLBACKS)
        state, vectors = state_from_model(model, seen)
        reason = "asked for"
        if index is None:
            index, reason = choose_index(*vectors.shape)
        self._fill(state, index.build(vectors), cold_start, tuple(fallback), reason, fingerprint(state, vectors), {})
        self._model: TwoTower | None = model

    def _fill(
        self,
        state: State,
        index: Index,
        cold_start: str,
        fallback: tuple[str, ...],
        reason: str,
        digest: str,
        metadata: dict[str, Any],
    ) -> None:
        self._state = state
        self.index = index
        self.cold_start = cold_start
        self.fallback = fallback
        self.reason = reason
        self.fingerprint = digest
        self.metadata = metadata
        self._model = None
        self._modules: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        state = self._state
        return (
            f"Recommender({len(state.candidates):,} candidates · {len(state.queries):,} queries · "
            f"{len(state.seen.values):,} seen · {type(self.index).__name__}: {self.reason})"
        )

    @property
    def query_ids(self) -> pl.Series:
        """Raw ids of the queries that the training tables held."""
        return self._state.queries[self._state.query]

    @property
    def candidate_ids(self) -> pl.Series:
        """Raw ids of the candidates, by row."""
        return self._state.candidate_ids

    @property
    def model(self) -> TwoTower:
        """The two-tower model; of a loaded bundle it is built on first use, which needs torch."""
        if self._model is None:
            self._model = bundle.build_model(self._state, self._modules)
        return self._model

    @property
    def seen(self) -> Dataset | None:
        """The seen interactions as a Dataset over the training tables, or None when there are none."""
        state = self._state
        if not len(state.seen.values):
            return None
        rows = np.repeat(np.arange(len(state.queries)), np.diff(state.seen.offsets))
        pairs = pl.DataFrame([self.query_ids[rows], state.candidate_ids[state.seen.values]])
        return Dataset(pairs, state.query, state.candidate, queries=state.queries, candidates=state.candidates)

    def recommend(
        self,
        queries: Queries,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        exclude: Sequence[Sequence[Any]] | None = None,
        allow: Iterable[Any] | None = None,
        deny: Iterable[Any] | None = None,
    ) -> Recommendations:
        """The k best candidates of each query, best first.

        queries: a list of raw ids, a dict of columns, a list of dicts, or a Polars frame. Columns beside the id are
            features of the request, and stand in place of the stored ones; without them a known query's stored
            features are used.
        exclude_seen: leave out what each query chose in ``seen``. exclude: one list of raw candidate ids per query.
        allow, deny: raw candidate ids that alone may, or may not, be recommended to any query. Ids that the catalogue
            does not have are ignored in all three.

        A list is shorter than k only when fewer candidates are eligible. Raises SearchError for a k that is not a whole
        number of at least 1, DataError for ids of another type than training's or columns that do not fit.
        """
        k = check_k(k)
        ids, features = self._read(queries)
        rows = self._state.query_vocabulary.encode(ids).astype(np.int64) - 1
        known = (rows >= 0) & np.append(self._state.known, False)[rows]
        if self.cold_start == "refuse" and not known.all():
            strangers = ids.filter(pl.Series(~known)).to_list()
            raise UnknownQueryError(
                f"{len(strangers):,} query ids are unknown to the model: {', '.join(map(repr, strangers[:3]))}.",
                hint='build the recommender with cold_start="unknown" or "popularity" to answer them',
            )
        out = self._excluded(rows, exclude_seen, exclude)
        allowed = None if allow is None else self._candidate_rows(allow, "allow")
        denied = None if deny is None else self._candidate_rows(deny, "deny")
        hits = self.index.search(self._vectors(ids, rows, features), k, exclude=out, allow=allowed, deny=denied)
        by_model = known | (self.cold_start != "popularity")
        lists = tuple(
            self._list(hits, number, k, bool(by_model[number]), out, allowed, denied) for number in range(len(ids))
        )
        dtypes = (self.query_ids.dtype, self.candidate_ids.dtype)
        return Recommendations(self._state.query, self._state.candidate, ids.to_list(), known, lists, dtypes)

    def similar(self, candidates: Sequence[Any], k: int = 10) -> Recommendations:
        """Candidates whose vectors have the largest dot product with each given one's, itself left out.

        Raises DataError for a candidate that the catalogue does not have.
        """
        rows = self._candidate_codes(candidates, "candidates")
        if (rows < 0).any():
            missing = [value for value, row in zip(candidates, rows, strict=True) if row < 0]
            raise DataError(f"the catalogue does not have {missing[0]!r} ({len(missing)} of {len(rows)} are missing).")
        hits = self.index.search(self.index.vectors[rows], check_k(k), exclude=Lists.of([[row] for row in rows]))
        lists = tuple(self._items(*hits.row(number)) for number in range(len(rows)))
        name, dtype = self._state.candidate, self.candidate_ids.dtype
        return Recommendations(name, name, list(candidates), np.ones(len(rows), np.bool_), lists, (dtype, dtype))

    def ann_overlap(self, k: int = 10) -> float:
        """Share of the exact top k that the index finds, over all known queries; 1.0 for an exact index."""
        vectors = self._state.query_vectors
        if vectors is None:
            raise ConfigError("the query tower reads a request's own columns; there are no stored queries to ask.")
        vectors = vectors[self._state.known]
        exact = BruteForce().build(self.index.vectors).search(vectors, k)
        found = self.index.search(vectors, k)
        common = sum(len(np.intersect1d(exact.row(row)[0], found.row(row)[0])) for row in range(len(vectors)))
        return common / len(exact.ids)

    def save(self, path: str | Path, *, overwrite: bool = False, metadata: Mapping[str, Any] | None = None) -> None:
        """Write everything into one folder, in one step; a killed save leaves what was there before.

        metadata: anything JSON can hold, such as the recipe and its figures; kept in the manifest.
        Raises BundleError where ``path`` exists and ``overwrite`` is false, or the disk refuses.
        """
        bundle.save(self, Path(path), overwrite, dict(metadata if metadata is not None else self.metadata))

    @classmethod
    def load(cls, path: str | Path, *, modules: Mapping[str, Any] | None = None) -> Recommender:
        """The recommender saved at ``path``, giving bit-identical recommendations.

        modules: torch modules of towers that were built with ``module=``, by side; only ``model`` needs them.
        Raises BundleError for a bundle that is torn, altered, of a newer format, or answers other than when saved.
        """
        loaded = object.__new__(cls)
        loaded._fill(*bundle.load(Path(path)))
        loaded._modules = modules
        return loaded

    # From raw to rows.

    def _read(self, queries: Queries) -> tuple[pl.Series, pl.DataFrame | None]:
        """The query ids asked, and the request's table where it has columns beside the id."""
        name = self._state.query
        if isinstance(queries, (str, bytes)):
            raise DataError(f"queries is the single value {queries!r}; a list of ids was expected.", hint="[id]")
        if not isinstance(queries, (Mapping, pl.DataFrame)) and not (queries and isinstance(queries[0], Mapping)):
            return self._id_series(pl.Series(name, _values(queries), strict=False), queries), None
        try:
            table = queries if isinstance(queries, pl.DataFrame) else pl.DataFrame(queries)
        except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
            raise DataError(f"the queries are no table: {error}", hint=f'{{"{name}": [1, 2]}}') from error
        if name not in table.columns:
            raise DataError(f"the queries have no column {name!r}.", hint=did_you_mean(name, table.columns))
        ids = self._id_series(table[name], table[name].to_list())
        return ids, (table if len(table.columns) > 1 else None)

    def _id_series(self, ids: pl.Series, raw: Any) -> pl.Series:
        if ids.dtype == pl.Null:
            return ids.cast(self.query_ids.dtype)
        if not is_id_type(ids.dtype) or any(isinstance(value, (bool, float)) for value in raw):
            raise DataError(
                f"query ids of type {ids.dtype} came; {self.query_ids.dtype} was expected, as in training.",
                hint="ids are never converted: give them as they were in the interactions",
            )
        return ids

    def _vectors(self, ids: pl.Series, rows: NDArray[np.int64], features: pl.DataFrame | None) -> NDArray[np.float32]:
        state = self._state
        if features is None and state.query_vectors is not None and state.unknown_vector is not None:
            vectors = state.query_vectors[rows]
            vectors[rows < 0] = state.unknown_vector
            return vectors
        given = ids.to_frame() if features is None else features
        stored = state.queries.drop([name for name in given.columns if name != state.query])
        table = given.with_columns(ids).join(stored, on=state.query, how="left", maintain_order="left")
        return self.model.query_vectors(table)

    def _excluded(
        self, rows: NDArray[np.int64], exclude_seen: bool, exclude: Sequence[Sequence[Any]] | None
    ) -> Lists | None:
        seen = self._state.seen
        lists: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(rows)
        if exclude_seen:
            lists = [seen.row(row) if row >= 0 else lists[0] for row in rows]
        if exclude is not None:
            if len(exclude) != len(rows):
                raise DataError(f"exclude has {len(exclude)} lists for {len(rows)} queries; one per query was expected.")
            lists = [
                np.concatenate([own, self._candidate_rows(more, "exclude")])
                for own, more in zip(lists, exclude, strict=True)
            ]
        return Lists.of(lists) if any(len(one) for one in lists) else None

    def _candidate_rows(self, ids: Iterable[Any], name: str) -> NDArray[np.int64]:
        rows = self._candidate_codes(list(ids), name)
        return rows[rows >= 0]

    def _candidate_codes(self, ids: Sequence[Any], name: str) -> NDArray[np.int64]:
        if not len(ids):
            return np.zeros(0, np.int64)
        values = pl.Series(name, _values(ids), strict=False)
        if not is_id_type(values.dtype):
            raise DataError(f"{name} holds {values.dtype}; candidate ids are {self.candidate_ids.dtype}.")
        vocabulary: Vocabulary = self._state.candidate_vocabulary
        return vocabulary.encode(values).astype(np.int64) - 1

    # From rows to raw.

    def _list(
        self,
        hits: Hits,
        number: int,
        k: int,
        by_model: bool,
        excluded: Lists | None,
        allowed: NDArray[np.int64] | None,
        denied: NDArray[np.int64] | None,
    ) -> tuple[Item, ...]:
        rows, scores = hits.row(number)
        items = self._items(rows, scores) if by_model else ()
        if len(items) == k or "popularity" not in self.fallback and by_model:
            return items
        popular = self._state.popular
        barred = [] if excluded is None else [excluded.row(number)]
        barred += [] if denied is None else [denied]
        barred += [rows] if by_model else []
        keep = ~np.isin(popular, np.concatenate([np.zeros(0, np.int64), *barred]))
        if allowed is not None:
            keep &= np.isin(popular, allowed)
        filling = popular[keep][: k - len(items)]
        return items + self._items(filling, self._state.counts[filling], "popularity")

    def _items(self, rows: NDArray[np.int64], scores: NDArray[Any], source: str = "model") -> tuple[Item, ...]:
        ids = self._state.candidate_ids[rows].to_list()
        return tuple(Item(one, float(score), source) for one, score in zip(ids, scores.tolist(), strict=True))


def _values(values: Any) -> list[Any]:
    return values.to_list() if isinstance(values, pl.Series) else list(values)


def _check_choice(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigError(f"Recommender got {option}={value!r}.", hint=did_you_mean(str(value), known))
