"""From a request's queries to what a recommender takes: checked, and named where they do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from shortlist.errors import ShortlistError
from shortlist.recommender.asking import recommend
from shortlist.serve.problems import Problem
from shortlist.serve.schema import LONGEST_ID

if TYPE_CHECKING:
    from shortlist.serve.events import Events
    from shortlist.serve.loaded import Loaded
    from shortlist.serve.schema import Query, RecommendRequest

__all__ = ["Ask", "Group", "check_columns", "check_id", "check_ids", "check_request", "misfit", "read_query"]


class Ask(NamedTuple):
    """One query: its id, features that replace stored ones, candidates left out, and candidates chosen beside
    what training knows of it."""

    id: Any
    features: dict[str, Any]
    exclude: Sequence[Any]
    chosen: Sequence[Any] = ()


@dataclass(frozen=True, eq=False)
class Group:
    """What queries must have in common to be answered together."""

    loaded: Loaded
    k: int
    exclude_seen: bool
    exact: bool
    features: tuple[str, ...]
    filters: tuple[Any, Any, Any] | None = None
    chosen: bool = False

    def key(self) -> Any:
        """Equal for groups that may be joined; None where one stands alone."""
        if self.filters is not None:
            return None
        return (id(self.loaded), self.k, self.exclude_seen, self.exact, self.features, self.chosen)


def check_request(request: RecommendRequest, loaded: Loaded, limits: Any) -> None:
    """Raises Problem where a request is beyond the limits, or names what the bundle lacks."""
    count = len(request.queries)
    if not 1 <= count <= limits.queries:
        raise Problem(422, f"{count} queries were given; 1 to {limits.queries} were expected.", "$.queries")
    if request.k > limits.k:
        raise Problem(422, f"at most {limits.k} was expected.", "$.k")
    for name in ("allow", "deny"):
        check_ids(getattr(request, name), loaded.candidate_strings, f"$.{name}", limits.ids)
    check_columns(request.columns, loaded, count, request.k, limits.cells)


def check_columns(names: Sequence[str], loaded: Loaded, lists: int, k: int, most: int) -> None:
    """Raises Problem for a column that the candidates' table lacks or that is given twice, and for more values than ``most``."""
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


def check_ids(values: Sequence[Any] | None, strings: bool, field: str, most: int) -> None:
    """Raises Problem where a list is too long, or an id is not of the bundle's type."""
    if values is None:
        return
    if len(values) > most:
        raise Problem(422, f"{len(values)} ids were given; at most {most} were expected.", field)
    kind = str if strings else int
    for number, value in enumerate(values):
        if type(value) is not kind or (isinstance(value, str) and len(value) > LONGEST_ID):
            check_id(value, strings, f"{field}[{number}]")


def check_id(value: Any, strings: bool, field: str) -> None:
    """Raises Problem where an id is not of the bundle's type, or longer than an id may be."""
    if type(value) is not (str if strings else int):
        raise _other_id(strings, field)
    if isinstance(value, str) and len(value) > LONGEST_ID:
        raise Problem(
            422, f"an id of {len(value):,} characters was given; at most {LONGEST_ID:,} were expected.", field
        )


def read_query(loaded: Loaded, events: Events, query: Query, number: int, exclude_seen: bool) -> Ask:
    """One query, with its live events. Raises Problem."""
    if query.id is not None:
        check_id(query.id, loaded.query_strings, f"$.queries[{number}].id")
    if not (query.features or query.exclude or query.history is not None or events):
        return Ask(query.id, {}, ())
    field = f"$.queries[{number}]"
    for name in query.features:
        if name not in loaded.about.readable:
            known = f"features: {', '.join(sorted(loaded.about.readable)) or 'none'}"
            raise Problem(422, "the model has no such feature.", f"{field}.features", hint=known)
    check_ids(query.exclude, loaded.candidate_strings, f"{field}.exclude", 10_000)
    check_ids(query.history, loaded.candidate_strings, f"{field}.history", 10_000)
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
        fresh = events.excluded(query.id) if exclude_seen else recent  # what is folded in is left out of the list too
        chosen = [*(query.history or ()), *fresh]
    if exclude_seen:
        exclude += [*(query.history or ()), *events.excluded(query.id)]
    return Ask(query.id, features, exclude, chosen)


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


def misfit(loaded: Loaded, error: ShortlistError, asks: Sequence[Ask], where: str | None) -> Problem:
    """The problem behind an error of the recommender; its message may contain the value, and is not repeated."""
    from shortlist.errors import DataError, MissingExtraError, UnknownQueryError

    if isinstance(error, UnknownQueryError):
        return Problem(
            404,
            "a query is unknown, and this bundle refuses unknown queries.",
            "$.queries",
            hint="omit such queries, or serve a bundle with another cold_start",
        )
    if isinstance(error, MissingExtraError):
        return Problem(501, "this bundle cannot embed features here.", "$.queries", hint="run `shortlist export` on it")
    if not isinstance(error, DataError):
        return Problem(422, "the request does not fit the model.", "$", hint="GET /openapi.json describes the bodies")
    for number, ask in enumerate(asks):
        for name in ask.features:
            if not _fits(loaded, ask, name):
                kept = loaded.state.queries.schema.get(name)
                hint = "send it as in training" if kept is None else f"of type {kept}, as in training"
                return Problem(
                    422,
                    "the feature has another type than in training.",
                    f"$.queries[{number}].features.{name}",
                    hint,
                )
    if where is not None:
        known = f"columns: {', '.join(loaded.about.columns)}; for example: country = 'KR' and stock > 0"
        return Problem(422, "the condition cannot be read, or not computed.", "$.where", hint=known)
    return Problem(
        422, "the request does not fit the model.", "$.queries", hint="GET /openapi.json describes the bodies"
    )


def _fits(loaded: Loaded, ask: Ask, name: str) -> bool:
    queries = {loaded.state.query: [ask.id], name: [ask.features[name]]}
    try:
        recommend(loaded.served, queries, 1, exclude_seen=False)
    except ShortlistError:
        return False
    return True


def _other_id(strings: bool, field: str) -> Problem:
    wanted, came = ("a string", "an integer") if strings else ("an integer", "a string")
    return Problem(
        422,
        f"{came} was given; ids of this model are {wanted[2:]}s, and are never converted.",
        field,
        hint="write numbers without quotes, strings with quotes",
    )
