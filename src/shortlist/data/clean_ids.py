"""Ids with blanks around them, words for "nothing", or whole numbers with ``.0``: cleaned, or reported.

Ids are cleaned only on request; ``remarks`` says with counts what could be cleaned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl
import polars.selectors as cs

from shortlist.data.condition_text import literal, quoted
from shortlist.data.places import NOWHERE, Places
from shortlist.errors import DataError
from shortlist.language import counted

__all__ = ["CleanIds", "remarks"]

WORDS = ("", "nan", "none", "null", "<na>", "nat")
"""Texts, in small letters, that other programs write for a missing value."""

BLANKS = r"[\s\u200B\uFEFF]+"
ENDS = r"^[\s\u200B\uFEFF]+|[\s\u200B\uFEFF]+$"
WHOLE = r"^(-?\d+)\.0+$"

Step = Callable[[pl.LazyFrame], pl.LazyFrame]


class CleanIds:
    """How id columns are cleaned before anything else.

    Args:
        strip: take blanks off both ends, and ``.0`` off whole numbers (a float column of whole numbers becomes
            integers).
        drop_null: leave out rows whose id is null, NaN, empty or a word for that ("NaN", "None", "null", …, any case).
        places: where the ids are, for errors.
    """

    def __init__(self, strip: bool = False, drop_null: bool = False, places: Places = NOWHERE) -> None:
        self.strip, self.drop_null, self.places = strip, drop_null, places

    def __bool__(self) -> bool:
        return self.strip or self.drop_null

    def steps(self, column: str, schema: pl.Schema) -> Iterator[tuple[str, Step]]:
        """The steps for a column, in order, and a name for the rows that each step leaves out."""
        kind = schema[column]
        text = kind in (pl.String, pl.Categorical, pl.Enum)
        values = cs.by_name(column).as_expr()
        if text:
            values = values.cast(pl.String)
        if self.drop_null:
            missing = values.is_null()
            if text:
                missing |= values.str.replace_all(ENDS, "").str.to_lowercase().is_in(list(WORDS))
            elif kind.is_float():
                missing |= values.is_nan()
            yield f"without a {column!r}", lambda scan: scan.filter(~missing)
        if self.strip and text:
            stripped = values.str.replace_all(ENDS, "").str.replace(WHOLE, "$1")
            yield "", lambda scan: scan.with_columns(stripped.alias(column))
        elif self.strip and kind.is_float():
            yield "", lambda scan: scan.with_columns(_whole(values, column, self.places))

    def applied(self, frame: pl.DataFrame, column: str) -> tuple[pl.DataFrame, list[str]]:
        """The frame with the column cleaned, and what was left out."""
        notes = []
        for label, step in self.steps(column, frame.schema):
            before = frame.height
            frame = step(frame.lazy()).collect()
            if label and frame.height < before:
                notes.append(f"left out {before - frame.height:,} of {counted(before, 'row')} {label}")
        return frame, notes


def _whole(values: pl.Expr, column: str, places: Places) -> pl.Expr:
    """Floats as integers. DataError, when it is computed, for one that is not a whole number."""

    def bad(numbers: pl.Series) -> pl.Series:
        return numbers.is_not_nan() & ((numbers != numbers.floor()) | (numbers.abs() > 2**53))

    def checked(numbers: pl.Series) -> pl.Series:
        wrong = numbers.filter(bad(numbers))
        if len(wrong):
            raise DataError(
                f"the ids {column!r} are of type {numbers.dtype}, and {len(wrong):,} are not whole numbers below 2^53, "
                f"such as {wrong[0]!r}{places.first(column, bad)}.",
                hint="ids are strings or integers: name another column, or write the ids as text",
            )
        whole: pl.Series = numbers.fill_nan(None).cast(pl.Int64)
        return whole

    return values.map_batches(checked, return_dtype=pl.Int64).alias(column)


def remarks(counts: pl.DataFrame, column: str) -> list[str]:
    """Doubts about the ids of a column, as sentences with numbers; none for clean ids.

    Args:
        counts: each distinct ``id``, and how many ``rows`` it has, null for one that only a table of features has.
    """
    ids = counts["id"]
    if ids.dtype != pl.String or ids.is_empty():
        return []
    found = []
    small = ids.str.replace_all(ENDS, "").str.to_lowercase()
    words = counts.filter(small.is_in(list(WORDS)))
    if words.height:
        rows = int(words["rows"].sum())
        some = ", ".join(map(repr, words["id"].sort().head(3).to_list()))
        found.append(
            f"{rows:,} of the rows have {some} as {column!r}, which other programs write for a missing value; "
            "it is taken for an id (to leave such rows out: --drop-null-ids, Events(drop_null_ids=True))"
        )
    own = counts.filter(ids == column)
    if own.height:
        found.append(
            f"{int(own['rows'].sum()):,} of the rows have the column's own name, {column!r}, as {column!r}, as a header in the "
            f'middle of a file does (to leave such rows out: --where "{quoted(column)} <> {literal(column)}", Events(where=…))'
        )
    whole = int(ids.str.contains(WHOLE).sum())
    if whole:
        found.append(
            f"{whole:,} of {counted(len(ids), 'id')} in {column!r} are whole numbers with .0, such as "
            f"{ids.filter(ids.str.contains(WHOLE)).min()!r}: a column of numbers that was read as floats; the same id "
            "without .0 is another one (to take .0 off: --strip-ids, Events(strip_ids=True))"
        )
    forms = {
        "blanks": (
            ids.str.replace_all(BLANKS, ""),
            " (to take them off both ends: --strip-ids, Events(strip_ids=True))",
        ),
        "upper and lower case": (ids.str.to_lowercase(), ""),
        "Unicode's normal form": (ids.str.normalize("NFKC"), ""),
    }
    for what, (form, hint) in forms.items():
        fewer = len(ids) - form.n_unique()
        if fewer:
            first, second = _pair(ids, form)
            found.append(
                f"{fewer:,} of {counted(len(ids), 'id')} in {column!r} differ from another only by {what}, such as {first!r} and "
                f"{second!r}; they count as different ids{hint}"
            )
    return found


def _pair(ids: pl.Series, form: pl.Series) -> tuple[str, str]:
    """Two ids of one form."""
    twice = pl.DataFrame({"id": ids, "form": form}).filter(pl.col("form").is_duplicated()).sort("form", "id")
    first, second = twice["id"].head(2).to_list()
    return first, second
