"""Model, index and seen items behind raw ids."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist._forks import refuse_after_fork
from shortlist.data import Dataset, TableLike
from shortlist.data.argument_checks import (
    check_dataset,
    check_frame,
    check_function,
    check_methods,
    check_model,
    checked_path,
)
from shortlist.data.id_map import Id
from shortlist.display import facts_html
from shortlist.errors import ConfigError, check_flags, deprecated
from shortlist.index import Index, Verify
from shortlist.index.checks import check_k
from shortlist.recommender import bundle, hub, mlflow_model, pipeline
from shortlist.recommender.export_all import Everyone, recommend_all
from shortlist.recommender.exported import SIDES
from shortlist.recommender.live import changed, folded
from shortlist.recommender.recommendations import Recommendations
from shortlist.recommender.requests import candidate_lists, candidate_table, exact_ids
from shortlist.recommender.rerank import Rerank
from shortlist.recommender.reranking import warn_of_unknown_pins
from shortlist.recommender.served import Policy, Served, served_from_model, with_exports
from shortlist.recommender.upkeep import Upkeep

if TYPE_CHECKING:
    from shortlist.model import TwoTower
    from shortlist.sources import Mixture

__all__ = ["Recommender"]

Queries: TypeAlias = "Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]] | Sequence[Any] | pl.DataFrame"


class Recommender:
    """The top k for raw query ids, in raw candidate ids.

    At construction every candidate and every query of the training tables is embedded once; known queries are then
    answered by a lookup and one search, without torch.

    Args:
        model: a trained TwoTower, or a Mixture of sources.
        index: settings such as ``Quantized()`` or ``Quantized(recall=0.95)``, which is tuned on the known queries; by default
            what suits the catalogue (``reason`` says why).
        seen: interactions whose candidates are left out of their query's lists by default, usually the training data;
            ids that the catalogue lacks are passed over.
        cold_start: for a query without an interaction in training that does not say what it chose: "auto" is
            "popularity" where the query tower reads ids alone, else "unknown", and "unknown" too for a mixture with
            ``by_history``, whose weights answer; "unknown" answers from the shared
            unknown row and the features that are given, "popularity" by training counts, "refuse" raises
            UnknownQueryError. Such answers are always marked (``known`` is False).
        fallback: sources that fill a list shorter than k, in order; each item says where it came from.

    Raises:
        ConfigError: for options that cannot work.
        DataError: where ``seen`` has other id columns.
        SearchError: for vectors that are not finite.

    Example:
        recommender = sl.Recommender(model, index=sl.Quantized(), seen=train)
        recommender.recommend({"user_id": ["42"]}, k=3)[0].ids
        recommender.save("movielens.shortlist")
    """

    def __init__(
        self,
        model: TwoTower | Mixture | Served,
        index: Index | None = None,
        seen: Dataset | None = None,
        *,
        cold_start: str = "auto",
        fallback: Sequence[str] = ("popularity",),
    ) -> None:
        check_dataset(seen, "Recommender(seen=)", optional=True)
        policy = Policy.of(cold_start, fallback)
        if isinstance(model, Served):
            if index is not None or seen is not None:
                raise ConfigError(
                    "what another recommender serves brings its own index and seen items.",
                    hint="leave index= and seen= out, or make a Recommender of the model",
                )
            self.served = model
        else:
            check_model(model, "Recommender(model)")
            check_methods(
                index,
                "Recommender(index=)",
                ("build", "search"),
                "an index",
                optional=True,
                hint="index=shortlist.Quantized()",
            )
            self.served = served_from_model(model, index, seen, policy)
        self._swapping = threading.Lock()
        self._upkeep: Upkeep | None = None

    def __repr__(self) -> str:
        return f"Recommender({self.served})"

    def _repr_html_(self) -> str:
        state, index = self.served.state, self.index
        facts = {
            "model": "two towers" if state.near is None else "mixture of sources",
            "candidates": f"{state.size - len(state.deleted):,} ({state.candidate})",
            "queries": f"{len(state.queries):,} ({state.query})",
            "seen items": f"{len(state.seen.values):,}",
            "index": type(index).__name__,
            "cold start": self.cold_start,
            "fallback": ", ".join(self.fallback) or "none",
        }
        return facts_html("Recommender", facts, [self.reason] if self.reason else [])

    def __getstate__(self) -> dict[str, Any]:
        refuse_after_fork("copying a Recommender")
        return {"served": self.served, "upkeep": None if self._upkeep is None else self._upkeep.settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.served, self._swapping, self._upkeep = state["served"], threading.Lock(), None
        if state["upkeep"] is not None:
            self.keep_up(**state["upkeep"])

    @property
    def index(self) -> Index:
        """The index over the candidates' vectors; it knows them by their rows in ``candidate_ids``."""
        return self.served.index

    @index.setter
    def index(self, index: Index) -> None:
        self._swap(lambda now: replace(now, index=index))

    @property
    def cold_start(self) -> str:
        """How a query is answered that had no interaction in training."""
        return self.served.policy.cold_start

    @cold_start.setter
    def cold_start(self, cold_start: str) -> None:
        self._swap(lambda now: replace(now, policy=Policy.of(cold_start, now.policy.fallback)))

    @property
    def fallback(self) -> tuple[str, ...]:
        """The sources that fill a list shorter than k, in order."""
        return self.served.policy.fallback

    @fallback.setter
    def fallback(self, fallback: Sequence[str]) -> None:
        self._swap(lambda now: replace(now, policy=Policy.of(now.policy.cold_start, fallback)))

    @property
    def metadata(self) -> dict[str, Any]:
        """Values that ``save`` keeps with the model, for example the recipe and its figures."""
        return self.served.metadata

    @metadata.setter
    def metadata(self, metadata: dict[str, Any]) -> None:
        self._swap(lambda now: replace(now, metadata=metadata))

    @property
    def reason(self) -> str:
        """Why the index is what it is."""
        return self.served.reason

    @property
    def fingerprint(self) -> str:
        """A digest of all that was learned: recommenders of one training share it."""
        return self.served.fingerprint

    @property
    def origin(self) -> Mapping[str, str]:
        """For a loaded bundle: its checksum, when it was written, and by which version of the library."""
        return self.served.origin

    @property
    def query_ids(self) -> pl.Series:
        """Raw ids of the queries that the training tables held."""
        return self.served.state.query_ids.ids

    @property
    def candidate_ids(self) -> pl.Series:
        """Raw ids of the candidates, by row."""
        return self.served.state.candidate_ids.ids

    @property
    def model(self) -> TwoTower | Mixture:
        """The model, towers alone or a mixture; of a loaded bundle it is built on first use.

        Raises:
            MissingExtraError: without torch.
            BundleError: where a tower's own module was not given to ``load``.
        """
        return self.served.embedder.model

    @property
    def towers(self) -> TwoTower:
        """The two towers of ``model``; errors as there."""
        return self.served.embedder.towers

    @property
    def seen(self) -> Dataset | None:
        """The seen interactions as a Dataset over the training tables, or None when there are none."""
        state = self.served.state
        if not len(state.seen.values):
            return None
        rows = np.repeat(np.arange(len(state.queries)), np.diff(state.seen.offsets))
        ids = self.query_ids.gather(rows), self.candidate_ids.gather(state.seen.values)
        pairs = pl.DataFrame({state.query: ids[0], state.candidate: ids[1]})
        return Dataset._again(pairs, state.query, state.candidate, queries=state.queries, candidates=state.candidates)

    def export(self) -> None:
        """Keep both towers as ONNX with the model; ``save`` then writes them into the bundle.

        A recommender loaded from such a bundle embeds new queries and candidates from their features with
        onnxruntime (extra ``onnx``), without torch. Each tower is checked against torch to 1e-5.

        Raises:
            MissingExtraError: without the extra ``export``.
            ConfigError: for a tower that cannot be exported.
        """
        refuse_after_fork("Recommender.export()")
        self._swap(with_exports)

    @property
    def is_exported(self) -> bool:
        """Whether both towers are there as ONNX."""
        return all(side in self.served.state.model.onnx for side in SIDES)

    def embed_queries(self, table: pl.DataFrame) -> NDArray[np.float32]:
        """Vectors ``[rows, dim]`` of rows that have the query tower's columns, by torch or an export (see ``export``)."""
        check_frame(table, "embed_queries(table)")
        return self.served.embedder.vectors("query", table)

    def embed_candidates(self, table: pl.DataFrame) -> NDArray[np.float32]:
        """Vectors ``[rows, dim]`` of rows that have the candidate tower's columns."""
        check_frame(table, "embed_candidates(table)")
        return self.served.embedder.vectors("candidate", table)

    def query_vectors(
        self,
        queries: Queries,
        history: Sequence[Sequence[Id]] | None = None,
        *,
        chosen: Sequence[Sequence[Id]] | None = None,
    ) -> tuple[NDArray[np.float32], list[bool]]:
        """The vectors ``[queries, dim]`` by which ``recommend`` would answer, and whether training had each query.

        Args:
            queries: as in ``recommend``.
            history: as in ``recommend``.
            chosen: the old name of ``history``.
        """
        return pipeline.query_vectors(self.served, queries, _history(history, chosen))

    def recommend(
        self,
        queries: Queries,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        history: Sequence[Sequence[Id]] | None = None,
        exclude: Sequence[Sequence[Id]] | None = None,
        allow: Iterable[Id] | None = None,
        deny: Iterable[Id] | None = None,
        where: str | None = None,
        rerank: Rerank | None = None,
        explain: bool = False,
        chosen: Sequence[Sequence[Id]] | None = None,
    ) -> Recommendations:
        """The k best candidates of each query, best first.

        A list is shorter than k only when fewer candidates are eligible.

        Args:
            queries: a list of raw ids, a dict of columns, a list of dicts, or a frame (Polars, pandas, Arrow). Columns
                other than the id are features of the request and replace the stored ones (that needs torch, or an
                export); without them the stored features of the query are used, and null where there are none. A null
                id is an unknown query.
            k: the length of the lists.
            exclude_seen: leave out what each query chose in ``seen``, in its request's own history column, and in
                ``history``.
            history: one list of raw candidate ids per query, which it chose in addition to its choices in training. Its
                vector is then folded in from them (see ``fold_in``), so that a query that training never saw gets
                personal results at once, whatever the towers read. An empty list changes nothing.
            exclude: one list of raw candidate ids per query.
            allow: the raw candidate ids that may be recommended to any query. Ids that the catalogue does not have are
                ignored here, and in ``deny``, ``history`` and ``exclude``.
            deny: raw candidate ids that may not be recommended to any query.
            where: a condition in SQL on the columns of the candidates' table, for example
                ``"country = 'KR' and stock > 0"``; only candidates that meet it are recommended. It may use comparisons, and,
                or, not, in, between, like, is null, arithmetic, and abs, array_contains, coalesce, ends_with, length, lower,
                starts_with, upper. A candidate with null in such a column, so that the condition is neither true nor false, is
                left out.
            rerank: rules for each list as a whole: diversity, at most so many of a kind, pinned places, boosted and
                buried items, exploration; see ``Rerank``.
            explain: give each list ``reasons``, one ``Reason`` for each item: the sources that found it, their shares of its
                score, and the query's choices that weighed most.
            chosen: the old name of ``history``.

        Raises:
            SearchError: for a k that is not a whole number of at least 1.
            DataError: for ids of another type than training's, columns that do not fit or a condition that cannot be
                read.
            UnknownQueryError: under cold_start="refuse".

        Example:
            recommender.recommend(["42", "7"], k=3)
            recommender.recommend({"user_id": ["new"], "age": [33]}, deny=["Titanic (1997)"])
            recommender.recommend(["new"], history=[["Fargo (1996)", "Heat (1995)"]])
            recommender.recommend(["42"], where="array_contains(genres, 'Comedy') and movie_title like '%(1996)'")
        """
        found = pipeline.recommend(
            self.served, queries, k,
            exclude_seen=exclude_seen, history=_history(history, chosen), exclude=exclude, allow=allow, deny=deny, where=where,
            rerank=rerank, explain=explain,
        )  # fmt: skip
        if rerank is not None:
            warn_of_unknown_pins(rerank, self.served.state)
        return found

    def score(
        self,
        queries: Queries,
        candidates: Sequence[Id],
        *,
        exclude_seen: bool = True,
        history: Sequence[Sequence[Id]] | None = None,
        exclude: Sequence[Sequence[Id]] | None = None,
    ) -> NDArray[np.float32]:
        """The model's score of each candidate for each query, ``[queries, candidates]``: that of ``recommend``'s lists.

        Of towers it is the dot product. A mixture's scores are shares of the best that a query may have, see ``Weights``; a
        candidate that it may not have (one that it chose, say) counts in each source for no more than that best.

        Args:
            queries: as in ``recommend``.
            candidates: raw candidate ids; NaN is the score of one that the catalogue does not have.
            exclude_seen: as in ``recommend``.
            history: as in ``recommend``.
            exclude: as in ``recommend``.

        Raises:
            DataError: for ids of another type than training's, and columns that do not fit.

        Example:
            recommender.score(["42", "7"], ["Fargo (1996)", "Heat (1995)"])
        """
        ids = self.served.state.candidate_ids
        rows = np.array(ids.rows(exact_ids(candidates, ids, "candidates")), np.int64)
        found, _ = pipeline.score(
            self.served, queries, rows[rows >= 0], exclude_seen=exclude_seen, history=history, exclude=exclude
        )
        scores = np.full((len(found), len(rows)), np.nan, np.float32)
        scores[:, rows >= 0] = found
        return scores

    def fold_in(self, chosen: Sequence[Sequence[Id]]) -> NDArray[np.float32]:
        """Vectors ``[queries, dim]`` of new queries, from the raw candidate ids that each chose; without torch or training.

        Each is the likeliest vector of a query like the trained ones that chose these candidates among all, in a
        softmax over the catalogue: a few Newton steps on a concave function. Every model with stored queries can do it,
        also one that reads ids alone. An empty list gets the mean of the trained queries.

        Args:
            chosen: one list of raw candidate ids per query; ids that the catalogue does not have are ignored.

        Raises:
            DataError: for ids of another type than training's.
            ConfigError: where the query tower reads columns that only a request has.

        Example:
            recommender.fold_in([["Fargo (1996)", "Heat (1995)"]])
        """
        served = self.served
        return served.fold_in.vectors_of(candidate_lists(chosen, None, served.state.candidate_ids, "chosen"))

    def similar(self, candidates: Sequence[Id], k: int = 10, *, where: str | None = None) -> Recommendations:
        """Candidates whose vectors have the largest dot product with each given one's, itself left out.

        With a mixture the scores of towers and tables are added, as for a query with the candidate's vectors that chose it
        alone; ranked lists do not count.

        Args:
            candidates: raw candidate ids.
            k: the length of the lists.
            where: a condition on the candidates' columns, as in ``recommend``.

        Raises:
            DataError: for a candidate that the catalogue does not have or a condition that cannot be read.
            SearchError: for a bad k.
        """
        return pipeline.similar(self.served, candidates, k, where=where)

    def recommend_all(
        self,
        folder: str | Path,
        k: int = 100,
        *,
        exclude_seen: bool = True,
        where: str | None = None,
        rerank: Rerank | None = None,
        vectors: bool = False,
        on_part: Callable[[int, int], None] | None = None,
    ) -> Everyone:
        """Every known query's k best, written to ``folder`` as Parquet; see ``export_all.recommend_all``.

        Args:
            folder: where to write ``lists-*.parquet``; an interrupted run resumes there.
            k: the length of the lists.
            exclude_seen: as in ``recommend``.
            where: as in ``recommend``.
            rerank: as in ``recommend``; with rules the files have a column ``source``.
            vectors: write ``candidates-*.parquet`` too, with each candidate's id and vector.
            on_part: called with how many queries are done, and of how many.

        Raises:
            BundleError: where the folder holds the lists of another bundle or other options.
            ConfigError: where the query tower reads columns that only a request has.
            SearchError: for a bad k.
        """
        check_function(on_part, "recommend_all(on_part=)", optional=True)
        if isinstance(rerank, Rerank):  # anything else is refused below
            warn_of_unknown_pins(rerank, self.served.state)
        return recommend_all(
            self.served,
            folder,
            k,
            exclude_seen=exclude_seen,
            where=where,
            rerank=rerank,
            vectors=vectors,
            on_part=on_part,
        )

    def upsert(self, candidates: TableLike) -> None:
        """Add candidates by their raw ids and features, or replace those that are there; searches continue meanwhile.

        Args:
            candidates: any table that ``Dataset`` takes, with the id's column and any other of the catalogue's; a
                column that is missing keeps its stored values, or null. The candidate tower embeds them (torch, or an
                export). ``save`` writes the candidates that there are then.

        Raises:
            DataError: for unknown columns, null or repeated ids, and values that do not fit.
        """
        table = candidate_table(candidates, self.served.state.candidate)
        self._change(lambda now: changed(now, table))

    def delete(self, ids: Sequence[Id]) -> int:
        """Remove candidates from lists and fallbacks, and return how many there were; unknown ids are ignored.

        Choices of deleted candidates count for people's vectors until the next ``save``. A bundle no longer has these choices, so it
        answers requests with a ``history`` slightly otherwise.
        """
        sizes = []

        def without(now: Served) -> Served:
            after = changed(now, None, ids)
            sizes.append(now.index.size - after.index.size)
            return after

        self._change(without)
        return sizes[0]

    def keep_up(
        self, *, k: int | None = None, recall: float | None = None, churn: float = 0.1, rebuild: bool = True
    ) -> Upkeep:
        """Measure the index after ``upsert`` and ``delete`` from now on, and rebuild it where it needs that.

        Args:
            k: the promise is a mean recall over the top k; by default the index's own, else 10.
            recall: that mean recall; by default the index's own, else 0.95.
            churn: the share of the candidates after whose change to measure.
            rebuild: False only advises: see ``Upkeep.last``.

        Raises:
            ConfigError: for numbers out of range, and where the query tower reads columns that only a request has.

        Example:
            upkeep = recommender.keep_up(recall=0.95, k=100)
            print(upkeep.last)
        """
        check_flags("keep_up()", rebuild=rebuild)
        self._upkeep = Upkeep(lambda: self.served, self._swap, k=k, recall=recall, churn=churn, rebuild=rebuild)
        return self._upkeep

    def _change(self, change: Callable[[Served], Served]) -> None:
        """Swap, and measure the index if that is due."""
        self._swap(change)
        if self._upkeep is not None:
            self._upkeep.look()

    def _swap(self, change: Callable[[Served], Served]) -> None:
        """Replace the served value by ``change`` of it; answers that have begun use the value that they began with."""
        with self._swapping:
            self.served = change(self.served)

    def ann_overlap(self, k: int = 10, sample: int | None = None) -> float:
        """Share of the exact top k that the index finds, seen items left in; 1.0 for an exact index. Of a mixture: of the exact
        list by all its sources, by what its lists have.

        Args:
            k: the length of the lists that are compared.
            sample: ask this many known queries, evenly spread over the table, instead of all.

        Raises:
            ConfigError: where the query tower reads columns that only a request has.
        """
        return pipeline.overlap_of(self.served, check_k(k), sample)

    def save(
        self,
        path: str | Path,
        overwrite: bool = False,
        metadata: Mapping[str, Any] | None = None,
        *,
        optimizer: bool = True,
    ) -> None:
        """Write everything into one folder, in one step: a save that fails or is killed leaves what was there before.

        The bundle is loaded again before it takes its place, and kept only if it answers a few requests bit for bit as
        this recommender does.

        Args:
            path: the folder to write.
            overwrite: replace a bundle at ``path``.
            metadata: anything JSON can hold, such as the recipe and its figures; kept in the manifest.
            optimizer: keep the optimizer's state, from which a later training can start (``fit(warm_start=…)``);
                about as large as the weights.

        Raises:
            BundleError: where ``path`` exists and ``overwrite`` is false, where it is not a bundle, or the disk
                refuses.
            ConfigError: where model or index changed since this recommender was made.
        """
        refuse_after_fork("Recommender.save()")
        path = checked_path(path, "save(path)")
        check_flags("save()", overwrite=overwrite, optimizer=optimizer)
        served = folded(self.served)
        plain = served.metadata if metadata is None else metadata
        bundle.save(served, path, overwrite, plain, optimizer)

    @classmethod
    def load(
        cls,
        path: str | Path,
        modules: Mapping[str, Any] | None = None,
        *,
        mmap: bool = False,
        trusted: bool = True,
        verify: Verify | None = None,
        guard: bool | None = None,
    ) -> Recommender:
        """The recommender saved at ``path``; it answers as the saved one did, bit for bit on one machine
        (after deletions see ``delete``).

        Without the index's package (turbovec, ScaNN, Faiss) exact search is used instead, with a ShortlistWarning.

        Args:
            path: the bundle's folder.
            modules: torch modules of towers that were built with ``module=``, by side ("query", "candidate"); needed
                only for ``model``.
            mmap: False compares every file with its checksum, and checks that vectors, weights and index belong to one
                training. True leaves plain arrays (vectors, weights, seen items) on disk until they are used and
                compares their sizes, a sample of the vectors, and every file that a native library parses: tens of
                millions of candidates open at once, and an altered bit can at worst alter a result. Both replay the
                stored requests.
            trusted: False for a bundle from someone else: the index is built from its vectors, and no file of a native
                library is read.
            verify: the old name: ``verify="native"`` is ``mmap=True``.
            guard: the old name: ``guard=True`` is ``trusted=False``.

        Raises:
            BundleError: for a bundle that is torn, altered, of a newer format, or answers other than when saved.
        """
        refuse_after_fork("Recommender.load()")
        check_flags("Recommender.load()", mmap=mmap, trusted=trusted)
        mmap, trusted = bundle.load_options(mmap, trusted, verify, guard)
        return cls(
            bundle.load(checked_path(path, "Recommender.load(path)"), modules, "native" if mmap else True, trusted)
        )

    def push_to_hub(
        self, repo: str, *, private: bool = True, message: str = "A bundle of shortlist", token: str | None = None
    ) -> str:
        """Write the bundle and a model card to a repository of the Hugging Face Hub, in one commit.

        The bundle holds the ids of all queries and what each chose in training, so a new repository is private.

        Args:
            repo: "owner/name"; made where it does not exist.
            private: whether a new repository is private.
            message: of the commit.
            token: with the right to write; by default the one that is logged in, or ``HF_TOKEN``.

        Returns:
            The address of the commit.

        Raises:
            BundleError: where the Hub refuses or cannot be reached; the repository is then as it was.
            MissingExtraError: without the extra ``hub``.
        """
        refuse_after_fork("Recommender.push_to_hub()")
        check_flags("push_to_hub()", private=private)
        return hub.push(folded(self.served), repo, private, message, token)

    @classmethod
    def from_hub(
        cls, repo: str, *, revision: str | None = None, trusted: bool = False, token: str | None = None
    ) -> Recommender:
        """The recommender that ``push_to_hub`` wrote, downloaded once for each commit.

        Args:
            repo: "owner/name".
            revision: a branch, a tag or a commit; by default the latest commit.
            trusted: True reads files of native libraries; see ``load``.
            token: for a private repository; by default the one that is logged in, or ``HF_TOKEN``.

        Raises:
            BundleError: where the repository or its bundle is missing, cannot be reached, or is damaged.
            MissingExtraError: without the extra ``hub``.
        """
        check_flags("from_hub()", trusted=trusted)
        return cls.load(hub.fetched(repo, revision, token), trusted=trusted)

    def log_to_mlflow(self, name: str = "model", *, registered: str | None = None) -> str:
        """Log the bundle as a model of MLflow, to the active run or to one of its own.

        MLflow then serves it as a ``pyfunc`` too: ``predict`` takes a DataFrame of query ids and gives a row for each item, with
        ``params={"k": 10, "exclude_seen": True, "where": "…"}``.

        Args:
            name: of the model within its run.
            registered: also a new version of this model in the registry.

        Returns:
            The model's address, such as "models:/…".

        Raises:
            BundleError: where MLflow refuses.
            ConfigError: where ``name`` or ``registered`` is not a name.
            MissingExtraError: without the extras ``mlflow`` and ``pandas``.
        """
        refuse_after_fork("Recommender.log_to_mlflow()")
        return mlflow_model.log(folded(self.served), name, registered)

    @classmethod
    def from_mlflow(cls, uri: str, *, trusted: bool = False) -> Recommender:
        """The recommender that ``log_to_mlflow`` logged.

        Args:
            uri: such as "models:/films/3" or "runs:/…/model".
            trusted: True reads files of native libraries; see ``load``.

        Raises:
            BundleError: where there is no such model, or one of another kind.
            ConfigError: for anything but an address.
            MissingExtraError: without the extra ``mlflow``.
        """
        check_flags("from_mlflow()", trusted=trusted)
        return cls.load(mlflow_model.fetched(uri), trusted=trusted)


def _history(
    history: Sequence[Sequence[Id]] | None, chosen: Sequence[Sequence[Id]] | None
) -> Sequence[Sequence[Id]] | None:
    """The history under its name or its old one. ConfigError for both."""
    if chosen is None:
        return history
    if history is not None:
        raise ConfigError("history= and chosen= were both given.", hint="leave chosen= out; it is the old name")
    deprecated("chosen=", "history=")
    return chosen
