"""Two bundles' lists mixed into one, so that clicks say which of them people prefer."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from shortlist.data.argument_checks import check_seed, kind_of
from shortlist.data.id_map import Id
from shortlist.data.ids import require_column
from shortlist.data.readers import Table, is_frame, read_table
from shortlist.display import Tabular
from shortlist.errors import ConfigError, DataError
from shortlist.language import WIDTH, counted, cut

__all__ = ["TEAMS", "Interleaved", "interleave"]

TEAMS = ("a", "b")
HINT = "lists of ids [[7, 9], …], what Recommender.recommend returns, or a table with a row for each place"


@dataclass(frozen=True)
class Interleaved(Tabular):
    """One list for each query, and which bundle each place counts for.

    Attributes:
        queries: ids of the queries; where none were given, numbers from 0.
        lists: the candidates to show, best first.
        teams: "a" or "b" for each of them; None for one that counts for neither, because only one bundle was left to pick.

    Example:
        >>> mixed = interleave([["x", "y"]], [["y", "z"]], queries=["ann"], k=2)
        >>> mixed.to_frame().columns
        ['query', 'place', 'candidate', 'team']
    """

    queries: tuple[Id, ...]
    lists: tuple[tuple[Id, ...], ...]
    teams: tuple[tuple[str | None, ...], ...]

    def __len__(self) -> int:
        return len(self.lists)

    def to_frame(self) -> pl.DataFrame:
        """A row per place: query, place (from 1), candidate, team. With the clicks it is what ``preference`` reads."""
        rows = [
            (query, place, candidate, team)
            for query, listed, teams in zip(self.queries, self.lists, self.teams, strict=True)
            for place, (candidate, team) in enumerate(zip(listed, teams, strict=True), start=1)
        ]
        columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
        return pl.DataFrame(
            {
                "query": list(columns[0]),
                "place": pl.Series(columns[1], dtype=pl.Int64),
                "candidate": list(columns[2]),
                "team": pl.Series(columns[3], dtype=pl.String),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "queries": list(self.queries),
            "lists": [list(one) for one in self.lists],
            "teams": [list(one) for one in self.teams],
        }

    def __repr__(self) -> str:
        return f"Interleaved({counted(len(self), 'list')} · {counted(sum(map(len, self.lists)), 'place')})"

    def __str__(self) -> str:
        lines = []
        for query, listed, teams in zip(self.queries, self.lists, self.teams, strict=True):
            lines.append(str(query))
            lines += [
                cut(f"  {place:>3}. {team or '-'}  {candidate}", WIDTH)
                for place, (candidate, team) in enumerate(zip(listed, teams, strict=True), start=1)
            ]
        return "\n".join(lines)


def interleave(
    lists_a: Any,
    lists_b: Any,
    k: int | None = None,
    *,
    queries: Sequence[Id] | None = None,
    query: str = "query",
    candidate: str = "candidate",
    place: str = "place",
    seed: int = 0,
) -> Interleaved:
    """One list from two bundles' lists for each query, by team draft.

    Of the bundle with fewer picks so far, and by a coin where both have as many, the best candidate that is not in the
    list yet is its next one (Radlinski, Kurup, Joachims 2008, "How does clickthrough data reflect retrieval quality?").
    A click counts for the bundle that picked the candidate: a bundle that people like better gets more clicks than the
    other, whatever the places. Once one bundle has nothing left to pick, the rest of the other's list counts for neither.

    The coins follow from ``seed`` and the query's id: one query gets one list, in every process.

    Args:
        lists_a: one bundle's lists: a sequence of lists of ids, what ``Recommender.recommend`` returns, or a table with a
            row per place: by the column of places where there is one, else best first.
        lists_b: the other bundle's lists, for the same queries.
        k: places of the list; by default as many as the longer of the two lists has.
        queries: ids of the queries, where the lists are sequences of ids.
        query: the column of query ids of a table.
        candidate: the column of candidate ids of a table.
        place: the column of places of a table, whole numbers, 1 for the best.
        seed: of the coins.

    Raises:
        ConfigError: for values other than lists, or a k below 1.
        DataError: for lists of other queries, a candidate or a place twice in one list, places other than whole numbers, or ids that are
            text in one list and numbers in another.

    Example:
        >>> mixed = interleave([[1, 2, 3]], [[3, 4, 5]], k=4)
        >>> sorted(mixed.teams[0])
        ['a', 'a', 'b', 'b']
    """
    check_seed(seed, "interleave()")
    if k is not None and (isinstance(k, bool) or not isinstance(k, int) or k < 1):
        raise ConfigError(f"interleave() got k={k!r}; a whole number from 1 was expected.", hint="k=10")
    by_a, by_b = (
        _lists(one, name, queries, (query, candidate, place))
        for one, name in ((lists_a, "lists_a"), (lists_b, "lists_b"))
    )
    if by_a.keys() != by_b.keys():
        other = sorted(map(repr, by_a.keys() ^ by_b.keys()))[:3]
        raise DataError(
            f"the two bundles' lists are for different queries ({len(by_a):,} and {len(by_b):,}); only one has "
            f"{', '.join(other)}.",
            hint="ask both bundles for the same queries",
        )
    _check_types(by_a, by_b)
    drafted = [_draft(a, by_b[one], k, _coins(seed, one)) for one, a in by_a.items()]
    return Interleaved(tuple(by_a), tuple(one for one, _ in drafted), tuple(teams for _, teams in drafted))


def _draft(
    a: Sequence[Id], b: Sequence[Id], k: int | None, coins: random.Random
) -> tuple[tuple[Id, ...], tuple[str | None, ...]]:
    """The list and its teams."""
    k = max(len(a), len(b)) if k is None else k
    left = {"a": iter(a), "b": iter(b)}
    listed: dict[Id, str | None] = {}
    picks = dict.fromkeys(TEAMS, 0)
    upcoming = {team: _next(left[team], listed) for team in TEAMS}
    while len(listed) < k:
        if upcoming["a"] is None and upcoming["b"] is None:
            break
        team = min(TEAMS, key=lambda one: picks[one])
        if picks["a"] == picks["b"]:
            team = TEAMS[coins.getrandbits(1)]
        counts = upcoming["a"] is not None and upcoming["b"] is not None
        if upcoming[team] is None:
            team = "b" if team == "a" else "a"
        picked = upcoming[team]
        assert picked is not None
        listed[picked[0]] = team if counts else None
        picks[team] += 1
        for each in TEAMS:
            current = upcoming[each]
            if current is not None and current[0] in listed:
                upcoming[each] = _next(left[each], listed)
    return tuple(listed), tuple(listed.values())


def _next(left: Any, listed: Mapping[Id, Any]) -> tuple[Id] | None:
    """The next candidate that is not listed, in a tuple; None at the end."""
    return next(((one,) for one in left if one not in listed), None)


def _coins(seed: int, query: Id) -> random.Random:
    kind = "s" if isinstance(query, str) else "i"
    digest = hashlib.blake2b(f"{seed}:{kind}:{query}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return random.Random(int.from_bytes(digest, "big"))


def _lists(given: Any, name: str, queries: Sequence[Id] | None, columns: tuple[str, str, str]) -> dict[Id, list[Id]]:
    """The lists by query."""
    if isinstance(given, (str, Mapping)) or is_frame(given):
        found = _from_table(given, name, *columns)
    elif isinstance(given, Sequence) and not isinstance(given, bytes):
        found = _from_sequence(given, name, queries)
    else:
        raise ConfigError(f"interleave({name}) got {kind_of(given)}; lists were expected.", hint=HINT)
    for one, listed in found.items():
        if len(set(listed)) < len(listed):
            raise DataError(
                f"interleave({name}) has a candidate twice in the list of {one!r}.", hint="keep its first place"
            )
    return found


def _from_table(given: Any, name: str, query: str, candidate: str, place: str) -> dict[Id, list[Id]]:
    read: Table = read_table(given, name, ids=(query, candidate))
    for column, role in ((query, "query"), (candidate, "candidate")):
        require_column(read, column, role)
    frame = read.frame
    listed = pl.col(candidate)
    if place in frame.columns:
        _check_places(frame, name, query, place)
        listed = listed.sort_by(place)
    grouped = frame.group_by(query, maintain_order=True).agg(listed)
    return dict(zip(grouped[query].to_list(), grouped[candidate].to_list(), strict=True))


def _check_places(frame: pl.DataFrame, name: str, query: str, place: str) -> None:
    """DataError unless each place is a whole number that its list has once."""
    places = frame[place]
    if not places.dtype.is_integer() or places.null_count():
        missing = f" with {counted(places.null_count(), 'null')}" if places.null_count() else ""
        raise DataError(
            f"interleave({name}) has places of type {places.dtype}{missing} in {place!r}; whole numbers were expected.",
            hint="1 for the best of each list; place=… where another column has them",
        )
    twice = frame.filter(frame.select(query, place).is_duplicated())
    if len(twice):
        raise DataError(
            f"interleave({name}) has the place {twice[place][0]} twice in the list of {twice[query][0]!r}; each once was expected."
        )


def _check_types(by_a: Mapping[Id, Sequence[Id]], by_b: Mapping[Id, Sequence[Id]]) -> None:
    """DataError where some candidates are texts and others numbers: 1 and "1" would be two of one list."""
    candidates = (one for lists in (by_a, by_b) for listed in lists.values() for one in listed)
    examples: dict[bool, Id] = {}
    for one in candidates:
        examples.setdefault(isinstance(one, str), one)
    if len(examples) > 1:
        raise DataError(
            f"interleave() got candidates of two types, {examples[True]!r} and {examples[False]!r}; one type was expected.",
            hint="ids are never converted: give both bundles' ids as text, or both as numbers",
        )


def _from_sequence(given: Sequence[Any], name: str, queries: Sequence[Id] | None) -> dict[Id, list[Id]]:
    lists, own = [], []
    for number, one in enumerate(given):
        if hasattr(one, "ids") and hasattr(one, "query"):  # a Recommendation
            lists.append(list(one.ids))
            own.append(number if one.query is None else one.query)
        elif isinstance(one, Sequence) and not isinstance(one, (str, bytes)):
            lists.append(list(one))
            own.append(number)
        else:
            raise ConfigError(
                f"interleave({name}) has {kind_of(one)} in the place of list {number}; lists were expected.", hint=HINT
            )
    for listed in lists:
        for one in listed:
            if isinstance(one, bool) or not isinstance(one, (str, int)):
                raise ConfigError(f"interleave({name}) has {kind_of(one)} in a list; ids were expected.", hint=HINT)
    named = own if queries is None else list(queries)
    if len(named) != len(lists) or len(set(named)) < len(named):
        raise DataError(
            f"interleave({name}) has {counted(len(lists), 'list')} for {counted(len(set(named)), 'distinct query')}; expected one list "
            "for each.",
            hint="queries=[…], one id for each list",
        )
    return dict(zip(named, lists, strict=True))
