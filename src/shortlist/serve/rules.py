"""A request's rules for whole lists: checked against the bundle before anything is queued, with a bound on what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from shortlist.recommender import Rerank
from shortlist.recommender.rerank import MOST_CONDITIONS
from shortlist.recommender.reranking import countable, pool_size
from shortlist.serve.problems import Problem
from shortlist.serve.reading import check_ids
from shortlist.serve.schema import Passed, Rules

if TYPE_CHECKING:
    from shortlist.serve.loaded import Loaded
    from shortlist.serve.schema import RecommendRequest
    from shortlist.serve.settings import Limits

__all__ = ["check_explained", "conditions_of", "rules_of", "unknown_pins"]


NONE = Rules()


def rules_of(request: RecommendRequest, loaded: Loaded, limits: Limits) -> Rerank | None:
    """The rules of a request; None where it has none (a seed alone is none).

    Raises:
        Problem: for rules that do not fit the bundle or each other, or would cost too much.
    """
    given = request.rerank
    if given is None or msgspec.structs.replace(given, seed=0) == NONE:
        return None
    near = loaded.state.near
    _check_costs(request, given, limits, near is not None and bool(near.quotas))
    _check_columns(given, loaded)
    _check_pins(given, loaded, limits)
    _check_exploration(given)
    for name, values in (
        ("at_most", [one.column for one in given.at_most]),
        ("pin", [one.place for one in given.pin]),
        ("boost", [one.where for one in given.boost]),
    ):
        again = _first_repeated(values)
        if again is not None:
            what = {"at_most": "a column", "pin": "a place", "boost": "a condition"}[name]
            raise Problem(422, f"{what} is given twice.", f"$.rerank.{name}[{again}]", hint="give each once")
    return Rerank(
        diversify=given.diversify,
        at_most={one.column: one.most for one in given.at_most},
        pin={one.place: one.id for one in given.pin},
        boost={one.where: one.factor for one in given.boost},
        explore=given.explore,
        explore_rarer_than=given.explore_rarer_than,
        explore_where=given.explore_where,
        seed=given.seed,
    )


def unknown_pins(request: RecommendRequest, loaded: Loaded) -> list[Passed]:
    """The pinned ids that the catalogue lacks: their places are filled as others."""
    if request.rerank is None:
        return []
    row_of = loaded.state.candidate_ids.row_of
    return [
        Passed(
            f"$.rerank.pin[{number}].id", "the catalogue does not have this candidate; its place is filled as others."
        )
        for number, one in enumerate(request.rerank.pin)
        if one.id not in row_of
    ]


def conditions_of(rules: Rules | None) -> list[tuple[str, str]]:
    """The conditions of rules, each once, with the field that has it."""
    if rules is None:
        return []
    found = [(one.where, f"$.rerank.boost[{number}].where") for number, one in enumerate(rules.boost)]
    if rules.explore_where is not None:
        found.append((rules.explore_where, "$.rerank.explore_where"))
    return list({where: (where, field) for where, field in reversed(found)}.values())


def check_explained(request: RecommendRequest, loaded: Loaded, limits: Limits) -> None:
    """Check how many reasons a request asks for.

    Raises:
        Problem: where items times sources are more than the limit.
    """
    sources = 1 if loaded.state.near is None else len(loaded.state.near.names)
    if request.explain and len(request.queries) * min(request.k, loaded.state.size) * sources > limits.reasons:
        raise Problem(
            422,
            f"queries times k times sources ({sources}) is more than {limits.reasons:,}.",
            "$.explain",
            hint="ask for reasons of shorter lists or fewer queries at a time",
        )


def _check_costs(request: RecommendRequest, given: Rules, limits: Limits, quotas: bool) -> None:
    if request.k > limits.ruled_k:
        raise Problem(422, f"at most {limits.ruled_k} was expected with rerank.", "$.k", hint="ask for shorter lists")
    if len(given.boost) > MOST_CONDITIONS:
        raise Problem(
            422, f"{len(given.boost)} conditions were given; at most {MOST_CONDITIONS} were expected.", "$.rerank.boost"
        )
    cost = len(request.queries) * pool_size(request.k) * 2 ** (len(given.boost) + quotas)
    if cost > limits.pool:
        raise Problem(
            422,
            f"the rules choose among {cost:,} candidates; at most {limits.pool:,} were expected.",
            "$.rerank",
            hint="ask for fewer queries, shorter lists or fewer conditions in boost at a time",
        )


def _check_columns(given: Rules, loaded: Loaded) -> None:
    schema = loaded.state.candidates.schema
    for number, one in enumerate(given.at_most):
        field = f"$.rerank.at_most[{number}].column"
        if one.column not in schema:
            known = f"columns: {', '.join(loaded.about.columns)}"
            raise Problem(422, "the candidates have no such column.", field, hint=known)
        if not countable(schema[one.column]):
            usable = [name for name in loaded.about.columns if countable(schema[name])]
            raise Problem(
                422, "the values of this column cannot be counted.", field, hint=f"columns: {', '.join(usable)}"
            )


def _check_pins(given: Rules, loaded: Loaded, limits: Limits) -> None:
    ids = [one.id for one in given.pin]
    try:
        check_ids(ids, loaded.candidate_kind, "$.rerank.pin", limits.ids)
    except Problem as problem:
        problem.field = f"{problem.field}.id" if problem.field != "$.rerank.pin" else problem.field
        raise
    again = _first_repeated(ids)
    if again is not None:
        raise Problem(
            422, "a candidate is pinned twice.", f"$.rerank.pin[{again}].id", hint="give each candidate one place"
        )


def _check_exploration(given: Rules) -> None:
    ruled = given.explore_rarer_than is not None or given.explore_where is not None
    if given.explore > 0 and not ruled:
        hint = "add explore_rarer_than, or explore_where"
        raise Problem(422, "nothing says which candidates are explored.", "$.rerank.explore", hint=hint)
    if ruled and given.explore == 0:
        raise Problem(422, "no share of the places is explored.", "$.rerank.explore", hint="for example 0.1")


def _first_repeated(values: Sequence[object]) -> int | None:
    """The place of the first value that an earlier place has too."""
    first = {value: number for number, value in reversed(list(enumerate(values)))}
    return next((number for number, value in enumerate(values) if first[value] != number), None)
