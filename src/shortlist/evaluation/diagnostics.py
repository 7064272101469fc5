"""Problems of models that train without an error: named findings, each with its figures and what to do."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.data import Dataset
from shortlist.data.argument_checks import check_dataset, check_model
from shortlist.errors import ShortlistWarning, checked_list
from shortlist.evaluation.mixing import mixed
from shortlist.evaluation.scorers import Vectors
from shortlist.evaluation.testset import TestSet
from shortlist.features import Codes
from shortlist.language import counted
from shortlist.model import Tower, TowerInputs, TwoTower, vectors_of
from shortlist.sources import Mixture, towers_of

__all__ = ["FINDINGS", "Finding", "diagnose", "findings", "loss_findings", "warn_of"]

FINDINGS = (
    "collapsed",
    "popularity_dominates",
    "norms_explode",
    "loss_at_chance",
    "unknown_ids",
    "unseen_queries",
)
"""Every finding, by name."""

ALIKE = 0.8  # share of candidates that two queries' lists have in common
BESTSELLERS = 0.6  # share of all lists that the most popular candidates fill
LARGEST_SCORE = 1e4
LARGEST_RATIO = 100.0
AT_CHANCE = 0.999
MOST_UNKNOWN = 0.5
MANY_UNSEEN = 0.2
ASKED = 512
BESTSELLER_LIST = "if popularity is all there is to learn, a list of bestsellers is cheaper"
SCORES = 1 << 24


@dataclass(frozen=True)
class Finding:
    """A problem of a trained model or a split.

    Attributes:
        name: one of ``FINDINGS``.
        message: what is wrong, in figures.
        hint: what to do.
        figures: the figures by name.
    """

    name: str
    message: str
    hint: str
    figures: Mapping[str, float]

    def __str__(self) -> str:
        return f"{self.name.replace('_', ' ')}: {self.message}.\nhint: {self.hint}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"name": self.name, "message": self.message, "hint": self.hint, "figures": dict(self.figures)}


def diagnose(
    model: TwoTower | Mixture, test: Dataset | None = None, *, training: Iterable[Mapping[str, Any]] = ()
) -> tuple[Finding, ...]:
    """Problems of a trained model, in the order of ``FINDINGS``; nothing for a healthy one.

    collapsed: the same list for most queries. Of up to 512 queries, evenly spread, the top k is taken (k is 10, or a
        tenth of a smaller catalogue); found where two of these lists share more than 80% of their candidates on
        average, or where every candidate has the same score.
    popularity_dominates: the k most popular candidates fill more than 60% of those lists, beyond what chance gives.
    norms_explode: the largest dot product the vectors allow is above 10,000, or a trained vector is 100 times as long
        as the median.
    loss_at_chance: the last epoch's loss is not below 99.9% of chance.
    unknown_ids: of a column that a tower looks up, more than half of the distinct values in the test are unknown.
    unseen_queries: more than a fifth of the test pairs have a query that training never saw.

    Queries that training knew are asked.

    Args:
        model: a trained model.
        test: held-out interactions; without them the last two findings cannot be made.
        training: a mapping per epoch with "loss" and "chance", for example ``history.to_frame().to_dicts()``.

    Raises:
        ConfigError: for a model that was not trained.
        DataError: where the test data's columns do not fit.

    Example:
        for finding in sl.diagnose(model, test, training=history.to_frame().to_dicts()):
            print(finding)
    """
    check_model(model, "diagnose(model)")
    check_dataset(test, "diagnose(test)", optional=True)
    towers = towers_of(model)
    return findings(model, None if test is None else TestSet.of(towers, test), training)


def findings(
    model: TwoTower | Mixture,
    test: TestSet | None,
    training: Iterable[Mapping[str, Any]] = (),
) -> tuple[Finding, ...]:
    """The findings of ``diagnose``, for a test that is encoded already."""
    found: list[Finding | None] = []
    towers = towers_of(model)
    candidates = _inputs(towers.candidate, towers.catalogue.candidates) if test is None else test.candidate_inputs
    asked = _asked(towers, test, len(candidates))
    if asked is not None and len(asked):
        vectors = vectors_of(towers.candidate, candidates)
        heads = towers.split_heads(vectors_of(towers.query, _inputs(towers.query, asked)))
        counts = towers.catalogue.counts
        lists = None
        if isinstance(model, Mixture):
            table = towers.catalogue.candidates if test is None else test.candidates
            scorer = mixed(model, Vectors(heads, vectors), asked, table)
            k = min(10, -(-len(vectors) // 10))
            lists = _Lists(scorer.top(k).numpy(), len(vectors), alike=False)
        elif towers.dim > 1:  # a vector of one number orders the candidates alike for everyone: a popularity model
            lists = _Lists.of(heads.reshape(-1, heads.shape[-1]), vectors)
        if lists is not None:
            trained = not isinstance(model, Mixture)
            found += [_collapsed(lists, trained), _popularity_dominates(lists, counts, trained)]
        if towers.dim > 1:  # one number is a count, which has no length to keep within bounds
            found.append(_norms_explode(heads.reshape(-1, heads.shape[-1]), vectors[: len(counts)], counts))
    found.append(_loss_at_chance(checked_list(training, "diagnose(training=)", "a mapping per epoch", Mapping)))
    if test is not None:
        found += [*_unknown_ids(towers, test), _unseen_queries(towers, test)]
    return _named(*found)


def loss_findings(training: Iterable[Mapping[str, Any]]) -> tuple[Finding, ...]:
    """The findings of ``diagnose`` about the losses alone."""
    return _named(_loss_at_chance(list(training)))


def warn_of(findings: Iterable[Finding], stacklevel: int = 3) -> None:
    """A ShortlistWarning for each finding."""
    for finding in findings:
        warnings.warn(str(finding), ShortlistWarning, stacklevel=stacklevel)


@dataclass(frozen=True, eq=False)
class _Lists:
    """Top lists of some queries: candidate rows int64 ``[queries, k]``.

    Attributes:
        candidates: how many there are.
        alike: whether every query scores all candidates the same.
    """

    rows: NDArray[np.int64]
    candidates: int
    alike: bool

    @classmethod
    def of(cls, query: Tensor, candidate: Tensor) -> _Lists:
        k = min(10, -(-len(candidate) // 10))
        rows, spread, largest = [], 0.0, 1.0
        for part in query.split(max(1, SCORES // len(candidate) // 4)):
            scores = part @ candidate.T  # [part, candidates]
            rows.append(scores.topk(k, dim=1).indices.cpu().numpy())
            spread = max(spread, float((scores.amax(1) - scores.amin(1)).max()))
            largest = max(largest, float(scores.abs().max()))
        return cls(
            np.concatenate(rows).astype(np.int64), len(candidate), len(candidate) > 1 and spread < 1e-6 * largest
        )

    @property
    def k(self) -> int:
        return int(self.rows.shape[1])

    def times(self) -> NDArray[np.int64]:
        """How many lists each candidate is in."""
        return np.bincount(self.rows.ravel(), minlength=self.candidates)


def _collapsed(lists: _Lists, trained: bool) -> Finding | None:
    """The finding for lists that are alike, if they are.

    Args:
        trained: whether the advice is for a trained model; neighbours are counted.
    """
    queries, k = lists.rows.shape
    if queries < 2 or lists.candidates < 2:
        return None
    times = lists.times().astype(np.float64)
    shared = float((times * (times - 1)).sum() / (queries * (queries - 1) * k))
    _, same = np.unique(np.sort(lists.rows, axis=1), axis=0, return_counts=True)
    most = float(same.max() / queries)
    if lists.alike:
        message = "the model scores all candidates alike for every query asked"
    elif shared > ALIKE:
        message = (
            f"two queries' top {k} share {shared:.0%} of their candidates on average, and {most:.0%} of "
            f"{queries:,} queries get exactly the same ones"
        )
    else:
        return None
    hint = (
        "train longer or with another learning rate; less weight decay or dropout; check that the query tower reads "
        "a feature that differs between queries, such as their id"
        if trained
        else BESTSELLER_LIST
    )
    return Finding("collapsed", message, hint, {"shared": shared, "same_list": most, "queries": queries, "k": k})


def _popularity_dominates(lists: _Lists, counts: NDArray[np.int64], trained: bool) -> Finding | None:
    if lists.alike:
        return None
    k = min(lists.k, len(counts))
    top = np.argsort(-counts, kind="stable")[:k]
    share = float(lists.times()[top].sum() / lists.rows.size)
    chance = k / lists.candidates
    if share - chance <= BESTSELLERS * (1 - chance):
        return None
    message = f"the {k} most popular candidates fill {share:.0%} of all places in the top {lists.k}"
    change = 'correct the loss for popularity (log_q="counts", and remove_accidental_hits), train longer; '
    hint = f"{change if trained else ''}{BESTSELLER_LIST}"
    return Finding("popularity_dominates", message, hint, {"share": share, "expected_by_chance": chance, "k": k})


def _norms_explode(query: Tensor, candidate: Tensor, counts: NDArray[np.int64]) -> Finding | None:
    trained = candidate[torch.from_numpy(counts > 0).to(candidate.device)]
    norms = {"query": query.norm(dim=1), "candidate": trained.norm(dim=1)}
    if not all(len(one) for one in norms.values()):
        return None
    largest = {side: float(one.max()) for side, one in norms.items()}
    ratios = {side: largest[side] / max(float(one.median()), 1e-12) for side, one in norms.items()}
    score = largest["query"] * largest["candidate"]
    side = max(ratios, key=lambda name: ratios[name])
    if score <= LARGEST_SCORE and ratios[side] <= LARGEST_RATIO:
        return None
    message = (
        f"the longest query vector is {largest['query']:,.1f} and the longest candidate vector "
        f"{largest['candidate']:,.1f}"
        f" ({ratios[side]:,.0f} times the median {side} vector): scores reach {score:,.0f}"
    )
    hint = "lower the learning rate, add weight decay, or set normalize=true with a temperature below 1"
    figures = {f"largest_{name}": value for name, value in largest.items()}
    figures |= {f"ratio_{name}": value for name, value in ratios.items()} | {"largest_score": score}
    return Finding("norms_explode", message, hint, figures)


def _loss_at_chance(training: Sequence[Mapping[str, Any]]) -> Finding | None:
    if not training:
        return None
    loss, chance = float(training[-1]["loss"]), float(training[-1]["chance"])
    if chance <= 0 or loss <= AT_CHANCE * chance:
        return None
    message = f"after {counted(len(training), 'epoch')} the loss is {loss:.4f}, no better than chance ({chance:.4f})"
    hint = "train longer, raise the learning rate, and check that ids mean the same in all tables"
    return Finding("loss_at_chance", message, hint, {"loss": loss, "chance": chance, "epochs": len(training)})


def _unknown_ids(model: TwoTower, test: TestSet) -> Iterator[Finding]:
    candidates = test.candidates[np.unique(test.candidate[test.candidate >= 0])]
    sides = ((model.query, test.queries, "queries"), (model.candidate, candidates, "candidates"))
    for tower, table, owner in sides:
        for feature in tower.features.values():
            if feature.column not in table.columns:
                continue
            values = table[feature.column].drop_nulls().unique()
            encoded = feature.encode(values) if len(values) else None
            if not isinstance(encoded, Codes) or not hasattr(feature, "vocabulary"):
                continue
            unknown = int(np.count_nonzero(encoded.values == 0))
            share = unknown / len(values)
            if share > MOST_UNKNOWN:
                yield _unknown(feature.column, owner, unknown, len(values))


def _unknown(column: str, owner: str, unknown: int, values: int) -> Finding:
    message = f"{unknown:,} of {counted(values, 'value')} of the test {owner}' {column!r} never occurred in training"
    hint = (
        'check that ids are written the same way in both tables ("007" and "7" are different); if they are really '
        "new, give the tower features in addition to the id, or train on later data"
    )
    return Finding("unknown_ids", message, hint, {"unknown": unknown, "values": values, "share": unknown / values})


def _unseen_queries(model: TwoTower, test: TestSet) -> Finding | None:
    share = test.new_queries / len(test)
    if share <= MANY_UNSEEN:
        return None
    only_id = model.query.columns == (model.catalogue.query,)
    shared = "they share one vector, and so one list" if only_id else "only features other than the id tell them apart"
    message = (
        f"{share:.0%} of the test pairs ({test.new_queries:,} of {len(test):,}) have a query that training never "
        f"saw; {shared}"
    )
    hint = (
        "split so that queries occur in both parts, or give the query tower features in addition to the id"
        if only_id
        else "look at warm and cold queries separately before judging the model"
    )
    return Finding("unseen_queries", message, hint, {"share": share, "pairs": test.new_queries})


def _asked(model: TwoTower, test: TestSet | None, candidates: int) -> pl.DataFrame | None:
    """Queries that training knew, evenly spread: of its own table, or of the test where the tower reads context."""
    catalogue = model.catalogue
    if set(model.query.columns) <= set(catalogue.queries.columns):
        table, known = catalogue.queries, catalogue.known
    elif test is not None:
        table, known = test.queries, test.known
    else:
        return None
    rows = np.flatnonzero(known)
    asked = min(len(rows), ASKED, max(32, SCORES // max(candidates, 1)))
    return table[rows[np.linspace(0, len(rows) - 1, asked).astype(np.int64)]] if asked else None


def _inputs(tower: Tower, table: pl.DataFrame) -> TowerInputs:
    return TowerInputs.of(tower.encode(table, "the table"), tower.device)


def _named(*found: Finding | None) -> tuple[Finding, ...]:
    return tuple(finding for finding in found if finding is not None)
