"""Bodies of requests and replies: decoded strictly, and the source of the OpenAPI document."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = [
    "LARGEST",
    "LONGEST_ID",
    "AtMost",
    "Boost",
    "Cause",
    "EmbedReply",
    "EmbedRequest",
    "Found",
    "Id",
    "Ids",
    "Item",
    "Label",
    "Length",
    "Part",
    "Passed",
    "Pin",
    "Query",
    "Reason",
    "RecommendReply",
    "RecommendRequest",
    "Rules",
    "ScoreReply",
    "ScoreRequest",
    "ScoreResult",
    "Share",
    "SimilarRequest",
    "Time",
    "Value",
]

LONGEST_ID = 1024
"""Characters that an id may have, wherever one is given: what can be upserted can be deleted."""

MOST_COLUMNS = 100
"""Columns that a request may ask for, each once."""

LARGEST = 2**64 - 1
"""The largest integer of a body. msgspec takes bounds up to 2^63 - 1 alone, so ``piecewise`` checks this one."""

Integer = Annotated[int, Meta(ge=-(2**63), extra_json_schema={"maximum": LARGEST})]
Id = Integer | Annotated[str, Meta(max_length=LONGEST_ID)]
"""A raw id: a string or an integer, as in training; never converted."""

Scalar = bool | Integer | float | Annotated[str, Meta(max_length=65536)] | None
Value = Scalar | Annotated[list[Scalar], Meta(max_length=10_000)]
"""The value of a feature or a column."""

Plain = bool | int | float | str | None
Cell = Plain | list[Plain]
"""The value of a column, as it is stored."""

Ids = list[Id]
Time = Annotated[float, Meta(ge=0, le=1e11, extra={"unit": "Unix seconds"})]
Columns = Annotated[list[str], Meta(max_length=MOST_COLUMNS)]
Length = Annotated[int, Meta(ge=1, le=100_000)]
K = Annotated[int, Meta(ge=1)]  # the most is a setting
Share = Annotated[float, Meta(ge=0, le=1)]
Label = Annotated[str, Meta(min_length=1, max_length=200)]
Condition = Annotated[str, Meta(min_length=1, max_length=4096)]


class Query(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A query to answer.

    Attributes:
        id: raw; null or absent for a query without one.
        features: in place of the stored ones.
        history: candidates chosen so far, oldest first, in place of the stored ones.
        exclude: candidates left out.
    """

    id: Id | None = None
    features: dict[str, Value] = {}
    history: Ids | None = None
    exclude: Ids = []


class AtMost(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """At most so many items of a list have one value of a column; null does not count, and of a list of values each does.

    Attributes:
        column: of the candidates' table.
        most: items with one value.
    """

    column: str
    most: Length


class Pin(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A candidate at a place, where the filters let it in.

    Attributes:
        place: counted from 1.
        id: of the candidate.
    """

    place: Annotated[int, Meta(ge=1, le=1000)]
    id: Id


class Boost(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Candidates that meet a condition are lifted, or buried.

    Attributes:
        where: the condition on the candidates' columns, in SQL.
        factor: by how many spans of the list; below 0 it buries.
    """

    where: Condition
    factor: Annotated[float, Meta(ge=-100, le=100)]


class Rules(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Rules for each list as a whole, applied in the search.

    Attributes:
        diversify: from 0 (off) to 1, prefer items unlike those above.
        at_most: for each of some columns, how many items may have one value.
        pin: candidates at fixed places.
        boost: candidates to lift or bury.
        explore: the share of places for candidates that are rare in training or meet a condition.
        explore_rarer_than: explore candidates that were chosen less often than this.
        explore_where: explore candidates that meet this condition.
        seed: of what is drawn.
    """

    diversify: Share = 0.0
    at_most: Annotated[list[AtMost], Meta(max_length=16)] = []
    pin: Annotated[list[Pin], Meta(max_length=1000)] = []
    boost: list[Boost] = []
    explore: Share = 0.0
    explore_rarer_than: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None
    explore_where: Condition | None = None
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0


class RecommendRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Queries, and how to answer them.

    Attributes:
        k: items of a list.
        exclude_seen: leave out what each query chose before.
        allow: the only candidates that may be recommended.
        deny: candidates that may not be recommended.
        where: a condition on the candidates' columns, in SQL.
        columns: of the candidates' table, to return with each item.
        exact: search exactly, not by the index.
        rerank: rules for whole lists.
        explain: give a reason with each item.
    """

    queries: list[Query]
    k: K = 10
    exclude_seen: bool = True
    allow: Ids | None = None
    deny: Ids | None = None
    where: Condition | None = None
    columns: Columns = []
    exact: bool = False
    rerank: Rules | None = None
    explain: bool = False


class SimilarRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Candidates whose neighbours are wanted.

    Attributes:
        k: items of a list.
        where: a condition on the candidates' columns, in SQL.
        columns: of the candidates' table, to return with each item.
    """

    candidates: Ids
    k: K = 10
    where: Condition | None = None
    columns: Columns = []


class Cause(msgspec.Struct):
    """A choice of the query.

    Attributes:
        id: of the candidate that it chose.
        share: of what its history adds to a source's score.
    """

    id: int | str
    share: float


class Part(msgspec.Struct):
    """One source's part of an item's score.

    Attributes:
        source: its name.
        score: by this source alone.
        share: of the item's score, before boosts.
        found: whether this source alone would have put the item forward.
        because: the choices that weighed most.
    """

    source: str
    score: float
    share: float
    found: bool
    because: list[Cause]


class Reason(msgspec.Struct):
    """Why an item is in a list.

    Attributes:
        because: the query's choices that weighed most in all sources together.
        parts: of each source.
    """

    because: list[int | str]
    parts: list[Part]


class Item(msgspec.Struct, omit_defaults=True):
    """A candidate in a list.

    Attributes:
        source: "model"; the fallback that filled the place, whose score is then a count; or "pinned" or "explored" by the rules.
    """

    id: int | str
    score: float
    source: str = "model"
    columns: dict[str, Cell] | None = None
    reason: Reason | None = None


class Found(msgspec.Struct):
    """One list, best first.

    Attributes:
        known: whether training had any interaction of the query.
    """

    id: int | str | None
    known: bool
    items: list[Item]


class Passed(msgspec.Struct):
    """A part of a request that had no effect.

    Attributes:
        field: where in the request, as a path.
        detail: why, as a sentence.
    """

    field: str
    detail: str


class RecommendReply(msgspec.Struct, omit_defaults=True):
    """A list for each query.

    Attributes:
        bundle: the bundle that answered, all of it.
        took_ms: from the body's last byte to the lists.
        warnings: parts of the request that had no effect; absent where there are none.
    """

    results: list[Found]
    bundle: str
    took_ms: float
    warnings: list[Passed] = []


class ScoreRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The candidates to score for each query, as a ranker's first feature.

    Attributes:
        exclude_seen: as for lists. A mixture's scores are shares of the best candidate that a query may have.
    """

    queries: list[Query]
    candidates: Ids
    exclude_seen: bool = True


class ScoreResult(msgspec.Struct):
    """The scores of one query.

    Attributes:
        known: whether training had any interaction of the query.
        scores: in the order asked, those that the candidates have in lists: of towers the dot product, of a mixture the sum
            by all sources. Null for a candidate that the catalogue lacks.
    """

    id: int | str | None
    known: bool
    scores: list[float | None]


class ScoreReply(msgspec.Struct):
    """One row of scores for each query."""

    results: list[ScoreResult]
    bundle: str


class EmbedRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Either queries or candidates (by id) whose vectors are wanted."""

    queries: list[Query] | None = None
    candidates: Ids | None = None


class EmbedReply(msgspec.Struct):
    """Vectors.

    Attributes:
        vectors: ``dim`` numbers each; null for a candidate that the catalogue lacks.
    """

    vectors: list[list[float] | None]
    dim: int
    bundle: str
