"""What a second stage reads and computes, as plain loops over dicts and lists."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from shortlist.sources import Grouping, Liking, Network, PairFeatures, SecondStage, Taste


def groups_of(grouping: Grouping, value: Any) -> list[int]:
    """The groups of one value, or of a list of them: each once, the first eight."""
    found: list[int] = []
    for one in value if isinstance(value, list) else [value]:
        if one is None or (not grouping.values and not math.isfinite(one)):
            continue
        if grouping.values:
            group = grouping.values.index(one) if one in grouping.values else -1
        else:
            group = sum(edge <= one for edge in grouping.edges)
        if group >= 0 and group not in found:
            found.append(group)
    return found[:8]


def frequent(values: Sequence[Any]) -> list[Any] | None:
    """The groups of words: at most 64 of the most frequent, which are half of all; None where they are not, or are one alone."""
    counts = Counter(one for one in values if one is not None)
    order = sorted(counts, key=lambda one: (-counts[one], one))[:64]
    if len(order) < 2 or sum(counts[one] for one in order) < sum(counts.values()) / 2:
        return None
    return order


def taste(
    members: Sequence[Sequence[int]], counts: Sequence[int], groups: int, history: Sequence[int], candidate: int
) -> float:
    """``Taste`` for one candidate.

    Args:
        members: the groups of each candidate.
        counts: of its choices.
    """
    often = [1 + sum(counts[row] for row, its in enumerate(members) if group in its) for group in range(groups)]
    share = [one / sum(often) for one in often]
    chosen = [sum(group in members[item] for item in set(history)) for group in range(groups)]
    parts = []
    for group in members[candidate]:
        parts.append(math.log((chosen[group] + 10 * share[group]) / ((sum(chosen) + 10) * share[group])))
    return sum(parts) / len(parts) if parts else 0.0


def nearness(values: Sequence[float | None], groups: Sequence[int], edges: Sequence[float]) -> list[list[float]]:
    """``Grouping.nearness`` of numbers."""
    size = len(edges) + 1
    there = [(group, value) for group, value in zip(groups, values, strict=True) if group >= 0 and value is not None]
    mean = sum(value for _, value in there) / len(there)
    deviation = math.sqrt(sum((value - mean) ** 2 for _, value in there) / len(there))
    means = {
        group: sum(value for one, value in there if one == group) / sum(one == group for one, _ in there)
        for group, _ in there
    }
    middles = {group: (edges[group - 1] + edges[group]) / 2 for group in range(1, size - 1)}
    found = []
    for one in range(size):
        row = []
        for other in range(size):
            near = 0.0
            if other in means:
                mine = means[one] if one in means else middles[one]
                near = math.exp(-(((mine - means[other]) / (deviation / 2)) ** 2) / 2)
            row.append(near if near >= 0.05 else 0.0)
        found.append(row)
    return found


def liking(
    near: Sequence[Sequence[float]],
    chosen: Sequence[tuple[int, int]],
    counts: Sequence[int],
    group: int,
    candidate: int,
) -> float:
    """``Liking`` for one candidate.

    Args:
        near: how much each group counts for each other.
        chosen: the group and the candidate of each choice; −1 of a query without a group.
        counts: of each candidate's choices, by all queries.
    """
    if group < 0:
        return 0.0
    mine = sum(near[group][one] for one, item in chosen if one >= 0 and item == candidate)
    all_of_it = sum(near[group][one] for one, _ in chosen if one >= 0)
    share = counts[candidate] / max(sum(counts), 1)
    return math.log((mine + 5) / (all_of_it * share + 5))


def places_by_source(listed: Sequence[Sequence[float]], sources: Sequence[float]) -> list[int]:
    """How many of the list have a higher score by each source; nothing for one source.

    Args:
        listed: the scores by each source of the candidates of the list.
        sources: those of one candidate.
    """
    counted = [sum(one[number] > mine for one in listed) for number, mine in enumerate(sources)]
    return counted if len(sources) > 1 else []


def own(
    counts: Sequence[int], history: Sequence[int], candidate: int, place: int, by_source: Sequence[int] = ()
) -> list[float]:
    """The numbers of places, popularity and history."""
    items = [one for one in set(history) if one < len(counts)]
    often = counts[candidate] if candidate < len(counts) else 0
    usual = sum(math.log1p(counts[one]) for one in items) / len(items) if items else 0.0
    places = [math.log1p(one) for one in (place, *by_source)]
    return [*places, math.log1p(often), math.log1p(len(items)), math.log1p(often) - usual]


def network_score(network: Network, features: Sequence[float]) -> float:
    """The score of one candidate."""
    x = [
        min(max((value - mean) / deviation, -5), 5)
        for value, mean, deviation in zip(features, network.mean.tolist(), network.deviation.tolist(), strict=True)
    ]
    total = sum(a * b for a, b in zip(network.linear.tolist(), x, strict=True))
    for weights, bias, out in zip(network.inner.tolist(), network.bias.tolist(), network.out.tolist(), strict=True):
        inner = sum(a * b for a, b in zip(weights, x, strict=True)) + bias
        total += out * inner / (1 + math.exp(-inner))
    return total


def network_of(features: int, hidden: int = 3, seed: int = 0) -> Network:
    """Any network."""
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    deviation = (0.5 + rng.random(features)).astype(np.float32)
    return Network(
        numbers(features), deviation, numbers(features), numbers(hidden, features), numbers(hidden), numbers(hidden)
    )


def stage_of(train: Any, sources: int, depth: int, seed: int = 0) -> SecondStage:
    """A second stage of training data, with any network."""
    features = PairFeatures.of(train)
    return SecondStage(features, network_of(features.width(sources), seed=seed), depth)


class Made:
    """Features of candidates and queries that are made by hand, and as plain lists.

    Args:
        counts: of choices of each candidate.
        words: of each candidate, in the column "kind".
        chosen: the group (of two, by the column "land") and the candidate of each choice.
    """

    def __init__(
        self, counts: Sequence[int], words: Sequence[Sequence[str]], chosen: Sequence[tuple[int, int]]
    ) -> None:
        self.counts, self.chosen = [*counts], [*chosen]
        self.kinds, self.lands = Grouping("kind", values=("x", "y", "z")), Grouping("land", values=("kr", "fi"))
        self.members = [groups_of(self.kinds, [*one]) for one in words]
        self.candidates = pl.DataFrame({"kind": pl.Series([[*one] for one in words], dtype=pl.List(pl.String))})

    @property
    def features(self) -> PairFeatures:
        taste = Taste.of(self.kinds, self.candidates, np.array(self.counts))
        rows, often, offsets = [], [], [0]
        for group in range(2):
            mine = Counter(item for one, item in self.chosen if one == group)
            rows += sorted(mine)
            often += [mine[item] for item in sorted(mine)]
            offsets.append(len(rows))
        sizes = [float(sum(often[low:high])) for low, high in itertools.pairwise(offsets)]
        liking = Liking(
            self.lands, np.array(offsets), np.array(rows, np.int32), np.array(often, np.float32), np.array(sizes)
        )
        return PairFeatures(np.array(self.counts), (taste,), (liking,), sum(self.counts), 5)

    def plain(
        self,
        sources: Sequence[float],
        history: Sequence[int],
        group: int,
        candidate: int,
        place: int,
        listed: Sequence[Sequence[float]],
    ) -> list[float]:
        """The features of one candidate; ``listed`` has the scores by each source of the list."""
        latest = [*history][-5:]
        near = [[1.0, 0.0], [0.0, 1.0]]
        return [
            *sources,
            *own(self.counts, latest, candidate, place, places_by_source(listed, sources)),
            taste(self.members, self.counts, 3, latest, candidate),
            liking(near, self.chosen, self.counts, group, candidate),
        ]


def staged(
    network: Network,
    depth: int,
    totals: Mapping[int, float],
    features: Mapping[int, Sequence[float]],
) -> dict[int, float]:
    """The score of every candidate that a query may have, by both stages.

    Args:
        totals: by the first stage, best first.
        features: of each candidate but its place, whose logarithm is put in.
    """
    order = [*totals]
    first = {one: network_score(network, features[one]) for one in order[:depth]}
    lowest, end = (min(first.values()), totals[order[:depth][-1]]) if first else (0.0, 0.0)
    return {one: first[one] if one in first else lowest - 1 + totals[one] - end for one in order}
