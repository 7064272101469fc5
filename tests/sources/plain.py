"""What the sources compute, as plain loops over dicts and lists."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from hypothesis import strategies as st

import shortlist as sl
from shortlist.index import Lists
from shortlist.sources import Neighbours

Weights = dict[tuple[int, int], float]

CANDIDATES = 6
histories = st.lists(st.lists(st.integers(0, CANDIDATES - 1), max_size=7), min_size=1, max_size=5)
logs = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, CANDIDATES - 1), st.integers(0, 4), st.sampled_from([0.0, 0.5, 1.0])),
    min_size=1,
    max_size=25,
).filter(lambda rows: any(weight for *_, weight in rows))


def dataset(rows: Sequence[tuple[int, int, int, float]], timestamp: bool = True) -> sl.Dataset:
    """Rows of query, candidate, time, weight; every query and candidate up to the largest is in the tables, by its number."""
    frame = pl.DataFrame(rows, schema={"q": pl.Int64, "c": pl.Int64, "t": pl.Int64, "w": pl.Float64}, orient="row")
    tables = {"queries": {"q": list(range(4))}, "candidates": {"c": list(range(CANDIDATES))}}
    return sl.Dataset(frame, "q", "c", timestamp="t" if timestamp else None, weight="w", **tables)


def ordered(rows: Sequence[tuple[int, int, int, float]], timestamp: bool = True) -> dict[int, list[int]]:
    """Each query's choices with a weight, in the order of time, then of rows."""
    found: dict[int, list[int]] = defaultdict(list)
    for query, candidate, _, weight in sorted(rows, key=lambda row: row[2]) if timestamp else rows:
        if weight > 0:
            found[query].append(candidate)
    return found


def latest_first(history: Sequence[int]) -> list[int]:
    """Each item once, the one chosen last first."""
    return list(dict.fromkeys(reversed(history)))


def table_of(weights: Mapping[tuple[int, int], float], candidates: int, **options) -> Neighbours:
    """A table with these weights."""
    rows = [[(other, weights[i, other]) for i, other in sorted(weights) if i == one] for one in range(candidates)]
    offsets = np.cumsum([0, *(len(row) for row in rows)])
    flat = [pair for row in rows for pair in row]
    columns = np.array([column for column, _ in flat], np.int32)
    return Neighbours(offsets, columns, np.array([weight for _, weight in flat], np.float32), **options)


def weights_of(table: Neighbours) -> Weights:
    """The weights of a table."""
    return {
        (row, int(table.columns[place])): float(table.weights[place])
        for row in range(len(table))
        for place in range(table.offsets[row], table.offsets[row + 1])
    }


def scores(
    weights: Mapping[tuple[int, int], float], history: Sequence[int], age: float, length: int
) -> dict[int, float]:
    """The score of every candidate that a history leads to."""
    found: dict[int, float] = defaultdict(float)
    for place, item in enumerate(latest_first(history)[:length]):
        for (source, target), weight in weights.items():
            if source == item:
                found[target] += age**place * weight
    return dict(found)


def most(weights: Mapping[tuple[int, int], float], count: int) -> Weights:
    """The heaviest entries above 0 of each row; of equal ones those of the first columns."""
    kept: Weights = {}
    for row in {row for row, _ in weights}:
        entries = sorted((-weight, column) for (one, column), weight in weights.items() if one == row and weight > 0)
        kept |= {(row, column): -weight for weight, column in entries[:count]}
    return kept


def transitions(orders: Mapping[int, Sequence[int]], window, decay, backward, source_power, target_power) -> Weights:
    """Steps 1 and 2 of ``Transitions``."""
    counts: Weights = defaultdict(float)
    often: dict[int, int] = defaultdict(int)
    for items in orders.values():
        for place, before in enumerate(items):
            often[before] += 1
            for distance, after in enumerate(items[place + 1 : place + 1 + window], start=1):
                if before != after:
                    counts[before, after] += decay ** (distance - 1)
                    counts[after, before] += backward * decay ** (distance - 1)
    return {(a, b): count / (often[a] ** source_power * often[b] ** target_power) for (a, b), count in counts.items()}


def cooccurrence(orders: Mapping[int, Sequence[int]], query_power, source_power, target_power, length) -> Weights:
    """The weights of ``Cooccurrence``."""
    sets = {query: set(latest_first(items)[:length]) for query, items in orders.items()}
    often = {one: sum(one in items for items in sets.values()) for items in sets.values() for one in items}
    counts: Weights = defaultdict(float)
    for items in sets.values():
        for one in items:
            for other in items - {one}:
                counts[one, other] += len(items) ** -query_power
    return {(a, b): count / (often[a] ** source_power * often[b] ** target_power) for (a, b), count in counts.items()}


def blended(
    towers: Mapping[int, float], near: Mapping[int, float], share: float, temperature: float
) -> dict[int, float]:
    """The score of every candidate that has one of the towers."""
    best, most_near = max(towers.values(), default=0.0), max((near.get(one, 0.0) for one in towers), default=0.0)
    found = {}
    for one, score in towers.items():
        first = (1 - share) * math.exp((score - best) / temperature)
        total = first + (share * near.get(one, 0.0) / most_near if most_near else 0.0)
        found[one] = total if total > 0 else score - best
    return found


def ranked(order: Sequence[int], eligible: Sequence[int]) -> dict[int, float]:
    """The score of every candidate in a list's order that may be had."""
    left = [one for one in order if one in eligible]
    return {one: 61 / (60 + place) for place, one in enumerate(left, start=1)}


def mixed(
    towers: Sequence[Mapping[int, float]],
    others: Sequence[Mapping[int, float]],
    weights: Sequence[float],
    temperatures: Sequence[float],
) -> dict[int, float]:
    """The score of every candidate that the towers have, by all sources."""
    best = [max(scores_.values(), default=0.0) for scores_ in towers]
    found = {}
    for one, parts in added(towers, others, weights, temperatures).items():
        total = sum(parts)
        found[one] = total if total > 0 else towers[0][one] - best[0]
    return found


def added(
    towers: Sequence[Mapping[int, float]],
    others: Sequence[Mapping[int, float]],
    weights: Sequence[float],
    temperatures: Sequence[float],
) -> dict[int, list[float]]:
    """What each source adds to the score of every candidate that the towers have."""
    best = [max(scores_.values(), default=0.0) for scores_ in towers]
    most = [max((scores_.get(each, 0.0) for each in towers[0]), default=0.0) for scores_ in others]
    found = {}
    for one in towers[0]:
        parts = []
        for scores_, first, weight, temperature in zip(towers, best, weights[: len(towers)], temperatures, strict=True):
            parts.append(weight * math.exp((scores_[one] - first) / temperature))
        for scores_, largest, weight in zip(others, most, weights[len(towers) :], strict=True):
            parts.append(weight * scores_.get(one, 0.0) / largest if largest else 0.0)
        found[one] = parts
    return found


def shared(
    towers: Sequence[Mapping[int, float]],
    others: Sequence[Mapping[int, float]],
    weights: Sequence[float],
    temperatures: Sequence[float],
) -> dict[int, list[float]]:
    """Each source's share of the score of every candidate that the towers have."""
    found = {}
    for one, parts in added(towers, others, weights, temperatures).items():
        whole = sum(parts)
        found[one] = [part / whole for part in parts] if whole else [1.0, *(0.0 for _ in parts[1:])]
    return found


def caused(
    weights: Mapping[tuple[int, int], float], history: Sequence[int], age: float, length: int, candidate: int
) -> list[tuple[int, float]]:
    """The three choices that add most to a candidate's score, with their shares of it; of equal ones the latest."""
    parts = []
    for place, item in enumerate(latest_first(history)[:length]):
        value = age**place * weights.get((item, candidate), 0.0)
        if value > 0:
            parts.append((item, value))
    whole = sum(value for _, value in parts)
    return [(item, value / whole) for item, value in sorted(parts, key=lambda part: -part[1])[:3]]


def lists_of(rows: Sequence[Sequence[int]]) -> Lists:
    """Lists of int64, also where all are empty."""
    return Lists.of([np.array(row, np.int64) for row in rows])
