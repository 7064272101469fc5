"""Options for reading text: what cannot be is refused, and what was given is written down."""

from __future__ import annotations

import pytest

import shortlist as sl


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"columns": "user"}, "a list of names was expected"),
        ({"columns": [1, 2]}, "a list of names was expected"),
        ({"columns": []}, "a different name for each column"),
        ({"columns": ["a", "a"]}, "a different name for each column"),
        ({"columns": ["a", ""]}, "a different name for each column"),
        ({"encoding": "utf-9"}, "not an encoding that Python knows"),
        ({"encoding": "base64"}, "not an encoding that Python knows"),
        ({"encoding": 8}, "not an encoding that Python knows"),
        ({"decimal": ";"}, '"." or "," was expected'),
        ({"separator": ",,"}, "one ASCII character"),
        ({"separator": "€"}, "one ASCII character"),
        ({"separator": ""}, "one ASCII character"),
        ({"time_format": "yesterday"}, "a format such as"),
        ({"dates": "year-first"}, "'day-first' or 'month-first'"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], says: str) -> None:
    with pytest.raises(sl.ConfigError, match=says):
        sl.Reading(**options)  # type: ignore[arg-type]


def test_names_of_columns_are_of_the_interactions_alone() -> None:
    reading = sl.Reading(columns=["user", "item"], encoding="cp949", separator=";", dates="day-first")
    assert reading.columns == ("user", "item")
    assert reading.of_features() == sl.Reading(encoding="cp949", separator=";", dates="day-first")


def test_the_stamp_has_what_was_given() -> None:
    assert sl.Reading().stamp() == {}
    assert sl.Reading(decimal=",", columns=["a"]).stamp() == {"decimal": ",", "columns": "('a',)"}
