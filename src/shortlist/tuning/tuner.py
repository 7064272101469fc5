"""The tuner: the fastest settings that keep a promised recall, on these vectors, for these queries, on this machine.

1. The queries are divided: settings are chosen on one part, the promise is checked on the other. Exact search gives
   the true top k of both.
2. A backend is built in few ways. On each build, settings at search are tried: for every number of candidates to
   re-rank, the least of the other setting that reaches a recall, found by bisection.
3. Settings that reach a recall are timed in turn, a query at a time. The fastest few that keep the promise on the
   tuning part are timed again, longer, and taken in that order until one keeps it on the held-out part.
4. The winners of the builds race against each other, and against exact search where that is among the backends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from shortlist.errors import SearchError
from shortlist.index.approximate import ApproximateIndex
from shortlist.index.base import LiveIndex
from shortlist.index.brute_force import BruteForce
from shortlist.index.checks import check_k, check_promise, check_vectors
from shortlist.index.promise import Point, Tuned, Tuning
from shortlist.index.recall import Recall, query_recalls, recall_of, true_scores
from shortlist.index.values import Floats, Ints
from shortlist.language import counted
from shortlist.tuning import spaces
from shortlist.tuning.latency import latencies

__all__ = ["tune_index"]

_LEAST = 40  # with fewer queries the halves are too small to measure a recall
FASTER, SAVED = (
    1.3,
    0.1,
)  # an index is used if it is so many times faster than exact search, and saves so many milliseconds
_LEVELS = (0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)  # recalls of the curve, in addition to the promise
_FINALISTS = 6

Say: TypeAlias = "Callable[[str], None]"


def tune_index(
    vectors: Floats,
    queries: Floats,
    *,
    recall: float = 0.95,
    k: int = 100,
    backends: Sequence[str] | None = None,
    template: ApproximateIndex | None = None,
    ids: Ints | None = None,
    sample: int = 2000,
    seconds: float | None = None,
    seed: int = 0,
    say: Say | None = None,
) -> Tuning:
    """The fastest index over ``vectors`` that finds ``recall`` of the true top ``k`` of queries like these.

    Args:
        vectors: float32 ``[n, dim]``.
        queries: float32 ``[queries, dim]``, at least 40, as they will be asked.
        recall: the promise, above 0 and at most 1: it holds when the mean over queries, less two standard errors,
            is no less, on the half that settings were chosen by and on the half that was held out.
        k: of the promise; all candidates where there are fewer.
        backends: "exact", "quantized", "scann", "faiss" (or of it "ivfpq", "hnsw"); by default all that can run here.
        template: settings that stay as they are wherever they are given; its backend alone is tuned. Of an index that
            is built over ``vectors`` only the settings at search are tuned again.
        ids: distinct int64 ``[n]``; 0, 1, 2, … by default.
        sample: how many of the queries are used, at most.
        seconds: no build is begun after this time, or if one as long as the longest so far would end after it.
        seed: of the sample.
        say: called with a line of progress now and then.

    Exact search is used where nothing else keeps the promise: ``chosen.backend`` and ``reason`` say so.

    Raises:
        ConfigError: for a recall out of range, and an unknown backend.
        SearchError: for vectors or queries that an index cannot take, and too few queries.
    """
    check_promise("tune", recall, check_k(k))
    array, _ = check_vectors(vectors, "vectors")
    asked, _ = check_vectors(queries, "queries", array.shape[1])
    started = time.perf_counter()
    exact = BruteForce().build(array, ids)
    if template is not None and template.built:
        template = _with_open_search(template, exact)
    trial = QueryHalves.of(exact, asked, recall, min(k, exact.size), sample, seed)
    names = spaces.chosen([spaces.backend_of(template)] if template is not None else backends)
    run = Tuner(trial, exact, template, started, seconds, say or (lambda line: None), dict(names.missing))
    for name in names.names:
        if name != "exact":
            run.tune(name)
    return run.result(alone="exact" in names.names)


@dataclass(frozen=True)
class QueryHalves:
    """Queries in two halves, and the score that each one's k-th best candidate has."""

    recall: float
    k: int
    tuning: Floats
    held: Floats
    kth_tuning: Floats
    kth_held: Floats

    @staticmethod
    def of(exact: LiveIndex, queries: Floats, recall: float, k: int, sample: int, seed: int) -> QueryHalves:
        if min(queries.shape[0], sample) < _LEAST:
            raise SearchError(
                f"{min(queries.shape[0], sample)} queries were given; at least {_LEAST} were expected.",
                hint="give a larger sample of real queries.",
            )
        order = np.random.default_rng(seed).permutation(queries.shape[0])[:sample]
        half = order.size // 2
        tuning, held = queries[order[:half]], queries[order[half:]]
        scores = [true_scores(exact.search(part, k), k) for part in (tuning, held)]
        return QueryHalves(recall, k, tuning, held, *scores)

    def on_tuning(self, index: LiveIndex) -> Recall:
        return recall_of(query_recalls(index, self.tuning, self.kth_tuning, self.k), self.k)

    def on_held(self, index: LiveIndex) -> Recall:
        return recall_of(query_recalls(index, self.held, self.kth_held, self.k), self.k)

    def keeps(self, recall: Recall) -> bool:
        """Whether the promise is kept; a recall of 1 only by finding everything."""
        return recall.mean == 1.0 if self.recall == 1 else recall.lower >= self.recall


@dataclass
class _Entry:
    """A setting of a build that is still in the race."""

    index: ApproximateIndex
    tuned: Recall
    milliseconds: float = 0.0


@dataclass(frozen=True)
class _Winner:
    index: LiveIndex
    backend: str
    build_seconds: float


class Tuner:
    """One run of the tuner."""

    def __init__(
        self,
        trial: QueryHalves,
        exact: LiveIndex,
        template: ApproximateIndex | None,
        started: float,
        seconds: float | None,
        say: Say,
        missing: dict[str, str],
    ) -> None:
        self.trial, self.exact, self.template = trial, exact, template
        self.started, self.seconds, self.say, self.missing = started, seconds, say, missing
        self.winner: _Winner | None = None
        self.points: list[Point] = []
        self.builds = 0
        self.longest = 0.0  # seconds of a build so far

    def tune(self, name: str) -> None:
        """Tries every build of a backend, and keeps the fastest setting that keeps the promise."""
        spent: float | None = None
        for unbuilt in spaces.builds(name, self.exact.size, self.template):
            past = time.perf_counter() - self.started
            if self.seconds is not None and past + (self.longest if spent is None else spent) > self.seconds:
                what = f"{name}, further builds" if spent is not None else name
                self.missing[what] = f"no time left after {past:.0f} s"
                return
            begun = time.perf_counter()
            built = unbuilt if unbuilt.built else unbuilt.build(self.exact.vectors, self.exact.ids)
            spent = time.perf_counter() - begun
            self.longest = max(self.longest, spent)
            self.builds += 1
            assert isinstance(built, ApproximateIndex)
            if built is not unbuilt:
                self.say(f"{_named(built, ())} built in {spent:.1f} s")
            best = self._settle(name, built)
            if best is not None:
                self._race(_Winner(best, name, spent))

    def _settle(self, name: str, built: ApproximateIndex) -> ApproximateIndex | None:
        """The fastest setting of a build that keeps the promise."""
        entries = _Sweep(self.trial, built).entries()
        times = latencies([entry.index for entry in entries], self.trial.tuning, self.trial.k, 4, 0.08)
        for entry, (median, _) in zip(entries, times, strict=True):
            entry.milliseconds = median
        keeping = sorted(
            (entry for entry in entries if self.trial.keeps(entry.tuned)), key=lambda entry: entry.milliseconds
        )
        finalists = keeping[:_FINALISTS]
        times = latencies([entry.index for entry in finalists], self.trial.tuning, self.trial.k, 8, 0.3)
        for entry, (median, _) in zip(finalists, times, strict=True):
            entry.milliseconds = median
        best: _Entry | None = None
        for entry in [*sorted(finalists, key=lambda entry: entry.milliseconds), *keeping[_FINALISTS:]]:
            wanted = best is None or entry in finalists or _unbeaten(entry, entries)
            if wanted and self._record(name, entry) and best is None:
                best = entry
        for entry in entries:
            if entry not in keeping and _unbeaten(entry, entries):
                self._record(name, entry)
        if best is None:
            self.say(
                f"{spaces.TITLES[name]}: no setting of this build keeps recall@{self.trial.k} ≥ {self.trial.recall:g}"
            )
            return None
        self.say(
            f"  {_named(best.index, built.at_search)} keeps recall@{self.trial.k}: {best.milliseconds:.3f} ms a query"
        )
        return best.index

    def _record(self, name: str, entry: _Entry) -> bool:
        held = self.trial.on_held(entry.index)
        keeps = self.trial.keeps(entry.tuned) and self.trial.keeps(held)
        self.points.append(Point(name, self.builds, entry.index.settings(), held, entry.milliseconds, keeps))
        return keeps

    def _race(self, challenger: _Winner) -> None:
        """The faster of the winner so far and a new one."""
        if self.winner is not None:
            pair = [self.winner.index, challenger.index]
            (before, _), (now, _) = latencies(pair, self.trial.tuning, self.trial.k, 8, 0.4)
            if before <= now:
                return
        self.winner = challenger

    def result(self, alone: bool) -> Tuning:
        """The end of the race: exact search takes part if it is among the backends, or if no other is left."""
        trial, winner = self.trial, self.winner
        contenders = [self.exact] if winner is None else [self.exact, winner.index]
        times = latencies(contenders, trial.held, trial.k, 8, 1.0)
        self.points.append(
            Point("exact", 0, self.exact.settings(), trial.on_held(self.exact), times[0][0], True)
        )  # fmt: skip
        why = ""
        if winner is None:
            why = f"nothing else keeps recall@{trial.k} ≥ {trial.recall:g} here" if not alone or self.builds else ""
        elif alone and not worth_it(times[0][0], times[1][0]):
            why = f"{spaces.TITLES[winner.backend]} takes {times[1][0]:.3g} ms, which gains too little"
            winner = None
        final = _Winner(self.exact, "exact", 0.0) if winner is None else winner
        tuned = self._tuned(final, times[-1] if winner is not None else times[0], times[0][0])
        if isinstance(final.index, ApproximateIndex):
            final = replace(final, index=final.index.with_settings(recall=trial.recall, k=trial.k))
            tuned = replace(tuned, settings=final.index.settings())
        tuning = Tuning(
            final.index, trial.recall, trial.k, self.exact.size, self.exact.dim, trial.tuning.shape[0],
            trial.held.shape[0], tuned, _reason(tuned, trial, why), tuple(self.points), self.missing,
        )  # fmt: skip
        final.index.tuning = tuning
        return tuning

    def _tuned(self, winner: _Winner, times: tuple[float, float], exact: float) -> Tuned:
        ks = sorted({k for k in (10, 100, self.trial.k) if k <= self.exact.size})
        held, recalls = self.trial.held, {}
        for k in ks:
            kth = self.trial.kth_held if k == self.trial.k else true_scores(self.exact.search(held, k), k)
            recalls[k] = recall_of(query_recalls(winner.index, held, kth, k), k)
        settings, nbytes = winner.index.settings(), winner.index.nbytes
        return Tuned(winner.backend, settings, recalls, times[0], times[1], exact, winner.build_seconds, nbytes)


def worth_it(exact: float, other: float) -> bool:
    """Whether an approximate index at ``other`` milliseconds a query is really faster than exact search.

    A tenth of a millisecond is less than a request costs around its search, and a third is less than timings differ.

    Example:
        >>> worth_it(0.0271, 0.0270), worth_it(0.30, 0.25), worth_it(3.0, 0.3)
        (False, False, True)
    """
    return exact >= FASTER * other and exact - other >= SAVED


class _Sweep:
    """The least effort that reaches each recall, on one build."""

    def __init__(self, trial: QueryHalves, built: ApproximateIndex) -> None:
        self.trial, self.built = trial, built
        self.fine, self.coarse = spaces.axes(built, built.size, trial.k)
        self.seen: dict[tuple[int, int], _Entry] = {}

    def entries(self) -> list[_Entry]:
        """The settings worth timing."""
        rows = range(1 if self.coarse is None else len(self.coarse.values))
        wanted: dict[tuple[int, int], _Entry] = {}
        for row in reversed(rows):
            for reached in (self._kept, *(self._reaches(level) for level in _LEVELS)):
                if (column := self._least(row, reached)) is not None:
                    wanted[row, column] = self.seen[row, column]
        return list(wanted.values()) or [self.seen[key] for key in sorted(self.seen)[-1:]]

    def _kept(self, entry: _Entry) -> bool:
        return self.trial.keeps(entry.tuned)

    @staticmethod
    def _reaches(level: float) -> Callable[[_Entry], bool]:
        return lambda entry: entry.tuned.mean >= level

    def _least(self, row: int, reached: Callable[[_Entry], bool]) -> int | None:
        """The first column of a row that reaches a recall, by bisection; what was measured before narrows it."""
        known = [(column, reached(entry)) for (at, column), entry in self.seen.items() if at == row]
        low = max((column for column, good in known if not good), default=-1)
        high = min((column for column, good in known if good and column > low), default=len(self.fine.values))
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if reached(self._entry(row, middle)) else (middle, high)
        return high if high < len(self.fine.values) else None

    def _entry(self, row: int, column: int) -> _Entry:
        if (row, column) not in self.seen:
            options: dict[str, int | None] = {self.fine.name: self.fine.values[column]}
            if self.coarse is not None:
                options[self.coarse.name] = self.coarse.values[row]
            index = self.built.with_search(**options)
            self.seen[row, column] = _Entry(index, self.trial.on_tuning(index))
        return self.seen[row, column]


def _with_open_search(built: ApproximateIndex, exact: LiveIndex) -> ApproximateIndex:
    """A built index, its settings at search left open; SearchError where it holds other vectors."""
    if not np.array_equal(built.ids, exact.ids) or not np.array_equal(built.vectors, exact.vectors):
        raise SearchError(
            "the index was built with other vectors or ids than the given ones.",
            hint="build it with these, or pass its own vectors and ids",
        )
    return built.with_settings(**dict.fromkeys(built.at_search), recall=None)


def _unbeaten(entry: _Entry, entries: Sequence[_Entry]) -> bool:
    """Whether no other setting finds as much in less time."""
    return not any(
        other.tuned.mean >= entry.tuned.mean and other.milliseconds < entry.milliseconds for other in entries
    )


def _named(index: ApproximateIndex, names: Sequence[str]) -> str:
    """Kind and the settings given, for people."""
    settings = {name: value for name, value in index.settings().items() if name not in ("kind", "recall", "k", "seed")}
    shown = {name: value for name, value in settings.items() if value is not None and (not names or name in names)}
    return f"{type(index).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def _reason(tuned: Tuned, trial: QueryHalves, why: str) -> str:
    held = tuned.recalls[trial.k]
    figures = f"recall@{trial.k} {held.mean:.4f} on {counted(held.queries, 'held-out query')}, {tuned.milliseconds:.3g} ms a query"
    if tuned.backend == "exact":
        return f"exact search: {why or 'asked for'}; {tuned.milliseconds:.3g} ms a query."
    return f"{spaces.TITLES[tuned.backend]}: {figures}; exact search takes {tuned.exact_milliseconds:.3g} ms."
