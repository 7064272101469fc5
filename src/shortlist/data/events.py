"""Which rows of a log of events are choices, how much each counts, and which of them count as seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import polars.selectors as cs

from shortlist.data.clean_ids import CleanIds
from shortlist.data.condition_text import columns_named
from shortlist.data.conditions import Condition, condition
from shortlist.data.ids import free_name, integer_id
from shortlist.data.places import Places
from shortlist.errors import ConfigError, DataError, check_flags, did_you_mean
from shortlist.language import counted

__all__ = ["EventPlan", "Events"]

Step = Callable[[pl.LazyFrame], pl.LazyFrame]


@dataclass(frozen=True)
class Events:
    """How the rows of a table become interactions, for ``Dataset`` and ``Shards.encode``.

    1. ``where`` leaves out rows, by a condition in SQL on the table's columns, as ``recommend(where=)`` takes it.
    2. ``drop_null_ids`` leaves out rows whose query or candidate is null, NaN, empty, or a word for that ("NaN", "null").
    3. ``strip_ids`` takes blanks off both ends of ids, and ``.0`` off whole numbers.
    4. ``weight_by`` gives each row a weight by its value in one column; rows with a value that is not listed are left out.
    5. ``seen_where`` says which rows count as seen: only those are left out of their query's lists. By default all.

    Args:
        where: a condition on the rows, for example ``"event_type = 'purchase'"``.
        weight_by: a column and the weight of each of its values: ``{"event_type": {"view": 1, "cart": 3, "purchase":
            10}}``.
        seen_where: a condition on the rows that ``where`` keeps, for example ``"event_type = 'purchase'"``.
        strip_ids: see 3; for the tables of queries and candidates too.
        drop_null_ids: see 2; for the tables of queries and candidates too.

    Raises:
        ConfigError: for ``weight_by`` without one column, or with a weight that is not a finite number of at least 0.

    Example:
        >>> from shortlist.data import Dataset
        >>> log = {"who": list("aab"), "what": [1, 1, 2], "event": ["view", "buy", "view"]}
        >>> events = Events(weight_by={"event": {"view": 1, "buy": 5}}, seen_where="event = 'buy'")
        >>> data = Dataset(log, "who", "what", events=events)
        >>> data.weights.tolist(), data.seen.interactions.rows()
        ([1.0, 5.0, 1.0], [('a', 1, 'buy', 5.0, True)])
    """

    where: str | None = None
    weight_by: Mapping[str, Mapping[Any, float]] | None = None
    seen_where: str | None = None
    strip_ids: bool = False
    drop_null_ids: bool = False

    def __post_init__(self) -> None:
        check_flags("Events", strip_ids=self.strip_ids, drop_null_ids=self.drop_null_ids)
        if self.weight_by is None:
            return
        if not isinstance(self.weight_by, Mapping) or len(self.weight_by) != 1:
            raise ConfigError(
                f"weight_by is {self.weight_by!r}; one column and the weights of its values was expected.", hint=_HINT
            )
        ((column, weights),) = self.weight_by.items()
        if not isinstance(weights, Mapping) or not weights:
            raise ConfigError(
                f"weight_by={{{column!r}: …}} has {weights!r}; a weight for each value was expected.", hint=_HINT
            )
        for value, weight in weights.items():
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
                raise ConfigError(
                    f"weight_by gives {value!r} the weight {weight!r}; a number of at least 0 was expected.", hint=_HINT
                )

    @property
    def clean(self) -> CleanIds:
        """How ids are cleaned."""
        return CleanIds(self.strip_ids, self.drop_null_ids)

    def mentioned(self) -> tuple[str, ...]:
        """The columns that the events name, as far as their conditions can be read."""
        named = [name for text in (self.where, self.seen_where) if text is not None for name in columns_named(text)]
        return tuple(dict.fromkeys([*named, *(self.weight_by or {})]))

    def added(self, taken: Collection[str], weight: str | None = None) -> dict[str, str | None]:
        """Names of the columns of weights and of seen interactions, in a table with other columns.

        Args:
            taken: names of the table's columns.
            weight: the table's own column of weights, or None.
        """
        return {
            "weight": weight if self.weight_by is None else free_name("weight", taken),
            "seen": None if self.seen_where is None else free_name("counts_as_seen", taken),
        }

    def plan(
        self,
        schema: pl.Schema,
        query: str,
        candidate: str,
        weight: str | None = None,
        taken: Collection[str] | None = None,
    ) -> EventPlan:
        """The steps for a table of these columns.

        Args:
            schema: the table's columns and their types.
            query: the column of query ids.
            candidate: the column of candidate ids.
            weight: the table's own column of weights, or None.
            taken: the names of all its columns, where ``schema`` has only some.

        Raises:
            DataError: for a condition that cannot be read, and columns that are missing or of the wrong type.
            ConfigError: for a weight column next to ``weight_by``.
        """
        where = _condition(self.where, schema, "where")
        seen = _condition(self.seen_where, schema, "seen_where")
        weights = None
        if self.weight_by is not None:
            if weight is not None:
                raise ConfigError(f"weight={weight!r} was given with weight_by.", hint="leave one of them out")
            ((column, by_value),) = self.weight_by.items()
            weights = (column, _typed(column, by_value, schema))
        names = self.added(schema if taken is None else taken)
        return EventPlan(where, weights, seen, names["weight"], names["seen"], self.clean, (query, candidate))


_HINT = 'weight_by={"event_type": {"view": 1, "cart": 3, "purchase": 10}}'


@dataclass(frozen=True)
class EventPlan:
    """``Events`` for the columns of one table.

    Attributes:
        weight: the name of the column of weights that is added, or None.
        seen: the name of the column of seen interactions that is added, or None.
        clean: what is done to ids.
    """

    _where: Condition | None
    _weights: tuple[str, dict[Any, float]] | None
    _seen: Condition | None
    weight: str | None
    seen: str | None
    clean: CleanIds
    _ids: tuple[str, str]

    def placed(self, places: Places) -> EventPlan:
        """The same plan, whose errors about ids name the place in the table."""
        rows = replace(self, _weights=None, _seen=None, weight=None, seen=None, clean=CleanIds())
        return replace(self, clean=CleanIds(self.clean.strip, self.clean.drop_null, replace(places, plan=rows)))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the plan reads besides the ids."""
        read = [*(self._where.columns if self._where else ()), *(self._seen.columns if self._seen else ())]
        return tuple(dict.fromkeys([*read, *([self._weights[0]] if self._weights else [])]))

    @property
    def idle(self) -> bool:
        """Whether the plan changes nothing."""
        return self._where is None and self._weights is None and self._seen is None and not self.clean

    def sources(self, columns: Sequence[str]) -> list[str]:
        """The columns to read where these are wanted: without those that the plan adds, with those that it reads."""
        wanted = dict.fromkeys([*columns, *self._ids, *self.columns])
        return [column for column in wanted if column not in (self.weight, self.seen)]

    @property
    def leaves_out(self) -> bool:
        """Whether rows may be left out."""
        return self._where is not None or self._weights is not None or self.clean.drop_null

    @property
    def label(self) -> str:
        """Which rows are left out, in words."""
        ways = [f"where not {self._where.where}"] if self._where is not None else []
        ways += ["without an id"] if self.clean.drop_null else []
        return " or ".join([*ways, *([] if self._weights is None else [f"whose {self._weights[0]!r} is not listed"])])

    def lazily(self, scan: pl.LazyFrame) -> pl.LazyFrame:
        """The rows that are interactions, with their weights and whether they count as seen; nothing read yet."""
        for _, step in self._steps(scan.collect_schema()):
            scan = step(scan)
        return scan

    def applied(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
        """The interactions of a frame, and how many rows each step left out. DataError where none is left."""
        notes = []
        for label, step in self._steps(frame.schema):
            before = frame
            frame = step(frame.lazy()).collect()
            if label and frame.height < before.height:
                left = before.height - frame.height
                notes.append(f"left out {left:,} of {counted(before.height, 'row')} {label}")
            if before.height and not frame.height:
                raise DataError(
                    f"no rows are left: all {before.height:,} were left out {label}.", hint="check the values"
                )
        return frame, notes

    def unlisted(self, counts: pl.DataFrame) -> tuple[list[str], list[str]]:
        """A note on the rows that ``weight_by`` leaves out, and a warning of values that do not occur.

        Args:
            counts: each ``value`` of its column, and how many ``rows``.
        """
        if self._weights is None:
            return [], []
        column, weights = self._weights
        given = dict(counts.select("value", "rows").iter_rows())
        notes, warned = [], []
        others = {value: count for value, count in given.items() if value not in weights}
        if others:
            some = ", ".join(
                f"{value} ({count:,})" for value, count in sorted(others.items(), key=lambda one: -one[1])[:5]
            )
            notes.append(f"weight_by does not list these values of {column!r}: {some}")
        for value in weights:
            if value not in given:
                near = did_you_mean(str(value), [str(one) for one in given if one is not None])
                warned.append(f"weight_by lists {value!r}, which no row has as {column!r}; {near}")
        return notes, warned

    @property
    def weight_column(self) -> str | None:
        """The column by whose values rows are weighted."""
        return None if self._weights is None else self._weights[0]

    def _steps(self, schema: pl.Schema) -> list[tuple[str, Step]]:
        steps: list[tuple[str, Step]] = []
        if self._where is not None:
            steps.append((f"where not {self._where.where}", self._where.keep))
        if self._seen is not None and self.seen is not None:
            flag, name = self._seen.flag, self.seen
            steps.append(("", lambda scan: flag(scan, name)))
        for column in self._ids:
            steps += self.clean.steps(column, schema)
        if self._weights is not None and self.weight is not None:
            column, weights = self._weights
            values = cs.by_name(column).as_expr()
            if isinstance(schema[column], (pl.Categorical, pl.Enum)):
                values = values.cast(pl.String)
            number = values.replace_strict(list(weights), list(weights.values()), default=None, return_dtype=pl.Float32)
            made, listed = number.alias(self.weight), pl.col(self.weight).is_not_null()
            steps.append((f"whose {column!r} is not listed", lambda scan: scan.with_columns(made).filter(listed)))
        return steps


def _condition(text: str | None, schema: pl.Schema, option: str) -> Condition | None:
    return None if text is None else condition(text, schema, option=option, of="interactions")


def _typed(column: str, weights: Mapping[Any, float], schema: pl.Schema) -> dict[Any, float]:
    """The weights by values of the column's own type; from the command line they are text."""
    if column not in schema:
        raise DataError(
            f"the interactions have no column {column!r}, by which to weight them.", hint=did_you_mean(column, schema)
        )
    kind = schema[column]
    typed: dict[Any, float] = {}
    for value, weight in weights.items():
        own: Any
        if kind in (pl.String, pl.Categorical, pl.Enum):
            own = value if isinstance(value, str) else None
        elif kind == pl.Boolean:
            own = {"true": True, "false": False}.get(str(value).lower())
        elif kind.is_integer():
            own = integer_id(value) if isinstance(value, str) else value if isinstance(value, int) else None
        else:
            raise DataError(
                f"weight_by uses {column!r} of type {kind}; text, integers or booleans were expected.", hint=_HINT
            )
        if own is None:
            raise DataError(
                f"weight_by lists {value!r}; {column!r} is of type {kind}.", hint="give values of the column's type"
            )
        typed[own] = float(weight)
    return typed
