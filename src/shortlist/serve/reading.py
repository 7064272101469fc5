"""From a request's queries to the arguments of a recommender: checked, and named where they do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from shortlist.data.ids import integer_id
from shortlist.errors import MissingExtraError, ShortlistError, UnknownQueryError
from shortlist.recommender.cells import column_of, misfits
from shortlist.recommender.requests import ids_in
from shortlist.serve.problems import Problem
from shortlist.serve.schema import LONGEST_ID
from shortlist.serve.settings import OWN

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shortlist.recommender import Rerank
    from shortlist.recommender.eligible import Open
    from shortlist.serve.events import Events
    from shortlist.serve.loaded import IdKind, Loaded
    from shortlist.serve.schema import Query, RecommendRequest

__all__ = [
    "NAMED",
    "Ask",
    "Group",
    "Ruled",
    "check_columns",
    "check_features",
    "check_id",
    "check_ids",
    "check_known",
    "check_request",
    "grouped",
    "misfit",
    "read_queries",
]

VALUES = 2000  # ids and values that are read between two pauses, in half a millisecond
QUERY = 20  # of them that a query itself counts for
NAMED = 20  # places that one error names, at most


class Ask(NamedTuple):
    """One query.

    Attributes:
        id: raw; of a request for similar candidates, the candidate's.
        features: in place of stored ones.
        exclude: candidates left out.
        chosen: candidates that it chose in addition to those that training knows.
    """

    id: Any
    features: Mapping[str, Any] = MappingProxyType({})
    exclude: Sequence[Any] = ()
    chosen: Sequence[Any] = ()


class Ruled(NamedTuple):
    """Rules for whole lists, and the rows that meet each of their conditions; None where they are not computed yet."""

    rules: Rerank
    met: Mapping[str, NDArray[np.int64]] | None = None

    @property
    def kind(self) -> Any:
        """Equal for rules that take about as long."""
        rules = self.rules
        return (rules.diversify > 0, bool(rules.at_most), len(rules.boost), bool(rules.pin), rules.explore > 0)


class Group(NamedTuple):
    """The properties that queries must share to be answered together.

    Attributes:
        loaded: the bundle that answers.
        wants: lists of candidates, the queries' vectors, lists of candidates near to candidates, or scores.
        k: items of a list, or scores of a query.
        exclude_seen: whether candidates that a query chose are left out.
        exact: whether to search exactly.
        features: names of the features that replace stored ones.
        chosen: whether the queries have choices of their own.
        open: the candidates that a request's filters leave open, for it alone.
        ruled: the request's rules for whole lists, for it alone.
        explain: whether each item gets a reason.
        light: whether the request brings little itself, so that its queries take as long as others of their kind.
        rows: the candidates that are scored, for it alone.
    """

    loaded: Loaded
    wants: Literal["lists", "vectors", "similar", "scores"] = "lists"
    k: int = 0
    exclude_seen: bool = False
    exact: bool = False
    features: tuple[str, ...] = ()
    chosen: bool = False
    open: Open | None = None
    ruled: Ruled | None = None
    explain: bool = False
    light: bool = True
    rows: NDArray[np.int64] | None = None

    def key(self) -> Any:
        """Equal for groups that may be joined; None for one that is answered alone."""
        if self.open is not None or self.ruled is not None or self.rows is not None:
            return None
        return (
            id(self.loaded), self.wants, self.k, self.exclude_seen, self.exact, self.features, self.chosen, self.explain,
            self.light,
        )  # fmt: skip

    def kind(self) -> Any:
        """Equal for groups whose queries take about as long."""
        ruled = None if self.ruled is None else self.ruled.kind
        allowed = None if self.open is None else self.open.allowed
        narrow = (
            self.open is not None,
            0 if allowed is None else len(allowed).bit_length(),
        )  # one row takes no time, all do
        size = self.k.bit_length()
        return (self.wants, self.exact, self.features, self.chosen, narrow, size, ruled, self.explain, self.light)


def grouped(asks: Sequence[Ask], make: Callable[[tuple[str, ...], bool], Group]) -> list[tuple[Group, list[int]]]:
    """Queries that can be answered together, by number.

    They have the same features, and all or none of them have choices of their own.

    Args:
        asks: the queries.
        make: the group of queries with these features, that have choices of their own or not.
    """
    if len(asks) == 1:
        return [(make(tuple(sorted(asks[0].features)), bool(asks[0].chosen)), [0])]
    numbers: dict[tuple[tuple[str, ...], bool], list[int]] = {}
    for number, ask in enumerate(asks):
        numbers.setdefault((tuple(sorted(ask.features)), bool(ask.chosen)), []).append(number)
    return [(make(*key), some) for key, some in numbers.items()]


def check_request(request: RecommendRequest, loaded: Loaded, limits: Any) -> None:
    """Check a request against the limits and the bundle.

    Raises:
        Problem: when it is beyond the limits, or names something that the bundle lacks.
    """
    count = len(request.queries)
    if not 1 <= count <= limits.queries:
        raise Problem(422, f"{count} queries were given; 1 to {limits.queries} were expected.", "$.queries")
    if request.k > limits.k:
        raise Problem(422, f"at most {limits.k} was expected.", "$.k")
    check_ids(request.allow, loaded.candidate_kind, "$.allow", limits.ids)
    check_ids(request.deny, loaded.candidate_kind, "$.deny", limits.ids)
    check_columns(request.columns, loaded, count, request.k, limits.cells)


def check_columns(names: Sequence[str], loaded: Loaded, lists: int, k: int, most: int) -> None:
    """Check the columns that a request asks for.

    Raises:
        Problem: for a column that the candidates' table lacks or that is given twice, and for more values than
            ``most``.
    """
    if not names:
        return
    if len(names) * lists * min(k, loaded.state.size) > most:
        raise Problem(
            422,
            f"queries times k times columns is more than {most:,}.",
            "$.columns",
            hint="ask for fewer columns, shorter lists or fewer queries at a time",
        )
    for number, name in enumerate(names):
        if name not in loaded.about.columns:
            known = f"columns: {', '.join(loaded.about.columns)}"
            raise Problem(422, "the candidates have no such column.", f"$.columns[{number}]", hint=known)
        if name in names[:number]:
            raise Problem(422, "a column is given twice.", f"$.columns[{number}]", hint="ask for each column once")


def check_ids(values: Sequence[Any] | None, kind: IdKind, field: str, most: int) -> None:
    """Check a list of ids.

    Raises:
        Problem: when it is too long, or an id does not have the bundle's type.
    """
    if values is None:
        return
    if len(values) > most:
        raise Problem(422, f"{len(values)} ids were given; at most {most} were expected.", field)
    if {str if kind.strings else int}.issuperset(map(type, values)):
        longest = max(map(len, values), default=0) if kind.strings else 0
        if longest <= LONGEST_ID and (kind.strings or max(values, default=0) <= kind.largest):
            return
    for number, value in enumerate(values):
        check_id(value, kind, field, number)


def check_id(value: Any, kind: IdKind, field: str, number: int | None = None) -> None:
    """Check an id, or that of this number in a list of ids.

    Raises:
        Problem: when it does not have the bundle's type, or is longer than an id may be.
    """
    fits = type(value) is str if kind.strings else type(value) is int and kind.has(value)
    if fits and (not kind.strings or len(value) <= LONGEST_ID):
        return
    field = field if number is None else f"{field}[{number}]"
    if not fits:
        raise _other_id(value, kind, field)
    if isinstance(value, str):
        raise Problem(
            422, f"an id of {len(value):,} characters was given; at most {LONGEST_ID:,} were expected.", field
        )


def check_features(names: Iterable[str], loaded: Loaded, field: str) -> None:
    """Check names of features.

    Raises:
        Problem: for one that the model does not have.
    """
    for name in names:
        if name not in loaded.about.readable:
            known = f"features: {', '.join(sorted(loaded.about.readable)) or 'none'}"
            raise Problem(422, "the model has no such feature.", field, hint=known)


def read_queries(
    loaded: Loaded,
    events: Events,
    queries: Sequence[Query],
    exclude_seen: bool,
    pause: Callable[[], object] = lambda: None,
) -> list[Ask]:
    """The queries of a request, with their live events.

    Args:
        loaded: the bundle that answers.
        events: the live events.
        queries: of the request.
        exclude_seen: whether candidates that a query chose are left out.
        pause: called between parts of the work.

    Raises:
        Problem: when they do not fit the model.
    """
    asks, values, column = [], 0, loaded.about.history_column
    for number, query in enumerate(queries):
        if values >= VALUES:
            pause()
            values = 0
        ask = read_query(loaded, events, query, number, exclude_seen)
        asks.append(ask)
        past = None if column is None else ask.features.get(column)
        values += QUERY + len(ask.exclude) + len(ask.chosen) + len(query.history or ()) + len(query.features)
        values += len(past) if type(past) is list else 0
    _check_features(loaded, asks, pause)
    return asks


def _check_features(loaded: Loaded, asks: Sequence[Ask], pause: Callable[[], object]) -> None:
    """Check values of features: each column is encoded once, and no tower runs.

    Raises:
        Problem: for values that the model's features do not take.
    """
    if not any(ask.features for ask in asks):
        return
    reads = loaded.served.reads_in_all
    columns: dict[str, tuple[list[int], list[Any]]] = {}
    for number, ask in enumerate(asks):
        for name, value in ask.features.items():
            numbers, values = columns.setdefault(name, ([], []))
            numbers.append(number)
            values.append(value)
    for name, (numbers, values) in columns.items():
        check = partial(_check_column, loaded, name, pause)
        if name not in reads or not (wrong := misfits(values, check, NAMED)):
            continue
        kept = loaded.state.queries.schema.get(name)
        fields = [f"$.queries[{numbers[place]}].features.{name}" for place in wrong]
        raise Problem(
            422,
            "the feature has another type than in training.",
            fields[0],
            "send it as in training" if kept is None else f"of type {kept}, as in training",
            fields=fields,
        )


def _check_column(loaded: Loaded, name: str, pause: Callable[[], object], values: Sequence[Any]) -> None:
    """Check values of one feature.

    Raises:
        ShortlistError: for values that it does not take.
    """
    pause()
    loaded.served.check_column(column_of(name, values))


def check_known(loaded: Loaded, asks: Sequence[Ask]) -> None:
    """Check that queries are known, if the bundle refuses unknown ones.

    Raises:
        Problem: for unknown queries.
    """
    if loaded.served.policy.cold_start != "refuse":
        return
    state = loaded.state
    _, known = state.rows_of([ask.id for ask in asks])
    there = state.candidate_ids.row_of
    for number, (ask, is_known) in enumerate(zip(asks, known.tolist(), strict=True)):
        own = (one for name in loaded.served.history_columns for one in ids_in(ask.features.get(name)))
        if not is_known and not any(one in there for one in (*ask.chosen, *own)):
            raise _unknown(f"$.queries[{number}]")


def read_query(loaded: Loaded, events: Events, query: Query, number: int, exclude_seen: bool) -> Ask:
    """One query, with its live events.

    Raises:
        Problem: when it does not fit the model.
    """
    if query.id is not None:
        check_id(query.id, loaded.query_kind, f"$.queries[{number}].id")
    if not (query.features or query.exclude or query.history is not None or events):
        return Ask(query.id)
    field = f"$.queries[{number}]"
    check_features(query.features, loaded, f"{field}.features")
    for name, value in query.features.items():
        if name not in loaded.state.history_columns and _is_beyond(value):
            raise Problem(422, "a number that fits into 64 bits was expected.", f"{field}.features.{name}")
    check_ids(query.exclude, loaded.candidate_kind, f"{field}.exclude", OWN)
    check_ids(query.history, loaded.candidate_kind, f"{field}.history", OWN)
    features, exclude = dict(query.features), list(query.exclude)
    recent = events.of(query.id)
    if query.history is not None and not loaded.histories:
        raise Problem(
            422, "this model does not read histories.", f"{field}.history", hint="train one with sl.History()"
        )
    chosen: list[Any] = []
    if loaded.about.history_column is not None and (query.history is not None or recent):
        past = query.history if query.history is not None else stored_history(loaded, query.id)
        features[loaded.about.history_column] = [*past, *recent]
    elif loaded.histories:
        fresh = events.excluded(query.id) if exclude_seen else recent  # folded-in candidates are left out too
        chosen = [*(query.history or ()), *fresh]
    if exclude_seen:
        exclude += [*(query.history or ()), *events.excluded(query.id)]
    return Ask(query.id, features, exclude, chosen)


def _is_beyond(value: Any) -> bool:
    """Whether a value of a feature has integers that a signed type of 64 bits lacks: ids alone may be such."""
    if type(value) is list:
        return any(type(one) is int and one >= 2**63 for one in value)
    return type(value) is int and value >= 2**63


def stored_history(loaded: Loaded, query: Any) -> list[Any]:
    """The history that the bundle keeps of a query, oldest first."""
    state = loaded.state
    row = state.query_ids.row_of.get(query, -1)
    if row < 0:
        return []
    if loaded.about.history_column in state.queries.columns:
        stored = state.queries[loaded.about.history_column][row]
        return [] if stored is None else stored.to_list()
    return state.candidate_ids.take(state.seen.row(row))


def misfit(error: ShortlistError) -> Problem:
    """The problem behind an error of the recommender; its message may contain the value, and is not repeated."""
    if isinstance(error, UnknownQueryError):
        return _unknown("$.queries")
    if isinstance(error, MissingExtraError):
        return Problem(501, "this bundle cannot embed features here.", "$.queries", hint="run `shortlist export` on it")
    return Problem(
        422, "the request does not fit the model.", "$.queries", hint="GET /openapi.json describes the bodies"
    )


def _unknown(field: str) -> Problem:
    return Problem(
        404,
        "a query is unknown, and this bundle refuses unknown queries.",
        field,
        hint="omit such queries, or serve a bundle with another cold_start",
    )


GIVEN = {str: "a string", int: "an integer", bool: "true or false", float: "a number with a fraction", list: "an array"}


def _other_id(value: Any, kind: IdKind, field: str) -> Problem:
    """The problem of an id of another type than the model's, or beyond it."""
    hint = "write numbers without quotes, strings with quotes"
    number = integer_id(value) if isinstance(value, str) else value
    if not kind.strings and (type(number) is not int or not kind.has(number)):
        hint = kind.digits
    given = GIVEN.get(type(value), "null")
    if type(value) is int and not kind.strings:
        return Problem(422, "an integer beyond the type of this model's ids was given.", field, hint=hint)
    wanted = "strings" if kind.strings else "integers"
    return Problem(
        422, f"{given} was given; ids of this model are {wanted}, and are never converted.", field, hint=hint
    )
