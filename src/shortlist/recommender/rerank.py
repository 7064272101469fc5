"""Rules for a list as a whole: diversity, at most so many of a kind, pinned places, boosted and buried items, exploration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shortlist.data.id_map import Id
from shortlist.errors import ConfigError

__all__ = ["MOST_CONDITIONS", "MOST_PLACES", "Rerank"]

MOST_CONDITIONS = 4  # of boost: each doubles the searches at most
MOST_PLACES = 1_000
MOST_FACTOR = 100.0


@dataclass(frozen=True)
class Rerank:
    """How ``Recommender.recommend`` puts each list together, beyond its candidates' scores. Rules apply in the search, not to a
    list of k that is already there: a list is shorter than k only when fewer candidates fit.

    1. ``boost``: a candidate that meets a condition has ``factor`` times the list's span added to its score, the distance
       between the best and the k-th score of all candidates that the query may have. A factor below 0 buries.
    2. ``pin``: the named candidates take the named places, counted from 1, where the request's filters let them in.
       An id that the catalogue does not have is passed over with a ShortlistWarning.
    3. ``explore``: that share of the k places, at places drawn at random, goes to candidates that are rarely chosen
       (``explore_rarer_than`` interactions in training) or meet ``explore_where``, drawn from the best of those.
    4. All other places are filled in order. With ``diversify`` d the next candidate is the one with the highest
       (1 − d) · relevance − d · similarity (maximal marginal relevance; Carbonell, Goldstein 1998). The relevance is the score,
       scaled so that the best of the pool has 1 and its last 0; the similarity is the largest cosine to a vector that is in the
       list already. The pool are the best 200 candidates, or 4 · k where that is more.
    5. ``at_most`` candidates of the list have one value of a column. Null does not count; a candidate with a list of values counts
       for each of them.
    6. The quotas of a mixture hold in the list that these rules make. Each source with a quota q has a list of its own by the
       same rules: its own scores, which a boost lifts by its own span, next to what the list has already; its rank r_s
       counts what the list has from it, or what it has before. The place is given to the smallest of r / (1 − Σ q) by all sources
       and r_s / q by each; so of the first n places at least ⌊q · n⌋ are the source's, unless pinned and explored items
       leave too few.

    Args:
        diversify: 0 (off) to 1 (relevance does not count).
        at_most: for columns of the candidates' table, the most candidates of a value: ``{"genre": 2}``.
        pin: places and candidate ids ``{1: "A"}``, or ids for the first places ``["A", "B"]``.
        boost: conditions as in ``recommend(where=)`` with factors from -100 to 100: ``{"on_sale": 0.5, "stock < 5": -1}``;
            at most 4.
        explore: 0 (off) to 1. A share that makes no whole number of places is rounded at random.
        explore_rarer_than: candidates with fewer training interactions than this are explored.
        explore_where: a condition on the candidates that are explored. With both options, both hold.
        seed: of what is drawn. The same request with the same seed gets the same list.

    Raises:
        ConfigError: a value that cannot be; exploration without a rule of what is explored.

    Example:
        recommender.recommend(["42"], k=10, rerank=sl.Rerank(diversify=0.3, at_most={"genre": 2}, pin=["Fargo (1996)"]))
    """

    diversify: float = 0.0
    at_most: Mapping[str, int] = field(default_factory=dict)
    pin: Mapping[int, Id] | Iterable[Id] = field(default_factory=dict)
    boost: Mapping[str, float] = field(default_factory=dict)
    explore: float = 0.0
    explore_rarer_than: int | None = None
    explore_where: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("diversify", "explore"):
            _check_number(name, getattr(self, name), 0.0, 1.0)
        for name in ("at_most", "boost"):
            if not isinstance(getattr(self, name), Mapping):
                example = '{"genre": 2}' if name == "at_most" else '{"stock > 0": 0.5}'
                raise _wrong(name, getattr(self, name), f"a mapping such as {example}")
        for column, most in self.at_most.items():
            if not isinstance(column, str) or not _is_whole(most) or most < 1:
                raise _wrong("at_most", {column: most}, "names of columns with whole numbers of at least 1")
        for condition, factor in self.boost.items():
            if not isinstance(condition, str):
                raise _wrong("boost", {condition: factor}, "conditions as text, with factors")
            _check_number(f"boost of {condition!r}", factor, -MOST_FACTOR, MOST_FACTOR)
        if len(self.boost) > MOST_CONDITIONS:
            raise _wrong("boost", f"{len(self.boost)} conditions", f"at most {MOST_CONDITIONS}")
        for name in ("at_most", "boost"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        object.__setattr__(self, "pin", _places(self.pin))
        if self.explore_rarer_than is not None and (
            not _is_whole(self.explore_rarer_than) or self.explore_rarer_than < 1
        ):
            raise _wrong("explore_rarer_than", self.explore_rarer_than, "a whole number of at least 1")
        if self.explore_where is not None and not isinstance(self.explore_where, str):
            raise _wrong("explore_where", self.explore_where, "a condition as text")
        explores = self.explore_rarer_than is not None or self.explore_where is not None
        if self.explore > 0 and not explores:
            raise ConfigError(
                "Rerank got explore= without a rule of what is explored.",
                hint="explore_rarer_than=5 (--explore-rarer-than 5), or explore_where=\"added > date '2026-11-01'\" (--explore-where)",
            )
        if explores and self.explore == 0:
            raise ConfigError(
                "Rerank got a rule of what is explored, and no share of the places.", hint="explore=0.1 (--explore 0.1)"
            )
        if not _is_whole(self.seed) or not 0 <= self.seed < 2**63:
            raise _wrong("seed", self.seed, "a whole number from 0 to 2^63 - 1")

    @property
    def places(self) -> Mapping[int, Id]:
        """The pinned ids by place, counted from 1."""
        assert isinstance(self.pin, Mapping)
        return self.pin


def _places(pin: Any) -> dict[int, Id]:
    """Ids by place, counted from 1."""
    if isinstance(pin, Mapping):
        found = dict(pin)
    elif isinstance(pin, (str, bytes)) or not isinstance(pin, Iterable):
        raise _wrong("pin", pin, 'ids for the first places, ["A", "B"], or places with ids, {1: "A"}')
    else:
        found = dict(enumerate(pin, start=1))
    for place, one in found.items():
        if not _is_whole(place) or not 1 <= place <= MOST_PLACES:
            raise _wrong("pin", {place: one}, f"places from 1 to {MOST_PLACES:,}")
        if isinstance(one, bool) or not isinstance(one, (str, int)):
            raise _wrong("pin", {place: one}, "raw candidate ids, text or whole numbers")
    if len({*found.values()}) < len(found):
        raise _wrong("pin", pin, "each candidate at one place")
    return found


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not usable or not math.isfinite(value) or not low <= value <= high:
        raise _wrong(name, value, f"a number from {low:g} to {high:g}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong(name: str, value: Any, expected: str) -> ConfigError:
    return ConfigError(f"Rerank got {name}={value!r}; {expected} was expected.")
