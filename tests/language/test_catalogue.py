"""Catalogues of messages: whole, with the same values on both sides, and found again by a finished text."""

from __future__ import annotations

import pytest
from docs.messages import FOLDER, current, in_source, messages, missing, said, templates, written

from shortlist.language.catalogue import (
    ENGLISH,
    Catalogue,
    Entry,
    catalogue,
    entries,
    languages,
    placeholders,
    with_values,
)

OTHERS = [code for code in languages() if code != ENGLISH]
SMALL = """
msgid ""
msgstr "Language: xx\\n"

#: errors
msgid "no table {0}."
msgstr "[{0}] table no."

#: errors page
msgid "no table {0} of {1}."
msgstr "of {1} table {0} no."

#: page
msgid "{items}"
msgstr "<{items}>"

#: messages
msgid ""
"two "
"\\"lines\\"\\n"
msgstr "lines"

#: errors
msgid "queries"
msgstr "Q"
"""


def small() -> Catalogue:
    return Catalogue("xx", {one.english: one for one in entries(SMALL)})


def test_english_needs_no_file() -> None:
    assert languages()[0] == ENGLISH
    assert catalogue(ENGLISH).entries == {}
    assert "ko" in OTHERS


@pytest.mark.parametrize("code", OTHERS)
def test_a_catalogue_has_every_message_and_no_other(code: str) -> None:
    """``python docs/messages.py`` brings the file up to date; then fill in what is empty."""
    there = catalogue(code).entries
    used = messages()
    assert [text for text in used if text not in there] == []
    assert [text for text, one in there.items() if not one.by_text and text not in used] == []
    assert [text for text, one in there.items() if text not in used and not in_source(one)] == []
    assert [text for text, one in there.items() if not one.translation] == []
    assert [text for text, parts in used.items() if not parts <= there[text].places] == []


@pytest.mark.parametrize("code", OTHERS)
def test_both_sides_have_the_same_values(code: str) -> None:
    there = catalogue(code).entries.values()
    assert [one.english for one in there if placeholders(one.english) != placeholders(one.translation)] == []


@pytest.mark.parametrize("code", OTHERS)
def test_the_file_is_as_the_program_writes_it(code: str) -> None:
    text = (FOLDER / f"{code}.po").read_text(encoding="utf-8")
    assert {one.english for one in entries(current(code, text))} == set(catalogue(code).entries)
    assert list(entries(written(code, entries(text)))) == list(entries(text))


@pytest.mark.parametrize("code", OTHERS)
def test_every_error_and_message_has_a_translation_with_its_values(code: str) -> None:
    """``python docs/messages.py missing ROOM`` prints entries to fill in."""
    assert [f"{one.place}: {form}" for one, form in missing(code)] == []


def test_errors_of_every_room_are_found() -> None:
    rooms = {one.room for one in said()}
    assert {"cli", "data", "train", "recommender", "serve", "index", "client.py"} <= rooms
    forms = {form: one.part for one in said() for form in one.forms}
    assert forms["the {0} table {1} {2}."] == "errors"
    assert forms["check the path"] == "errors"  # a hint
    assert forms["saved {0} after {1} s"] == "messages"
    assert forms["{0} holds no shards."] == forms["{0} holds an encoding that was not finished."] == "errors"
    assert "pip install pyarrow" not in forms  # code alone


def test_what_the_parts_say_is_found() -> None:
    used = messages()
    assert used["Who is it for?"] == {"page"}
    assert used["Diversity"] == {"page", "report"}
    assert used["Ahead of popularity"] == {"report"}  # in a condition
    assert used["Serve a bundle over HTTP, with a web page."] == {"help"}
    assert "there is no bundle at {0}." in templates()
    assert "there is no bundle at {0}!" not in templates()


def test_a_file_is_read() -> None:
    read = list(entries(SMALL))
    assert read[0] == Entry("no table {0}.", "[{0}] table no.", frozenset({"errors"}))
    assert read[1].places == {"errors", "page"}
    assert read[3].english == 'two "lines"\n'


def test_a_message_is_found_by_its_finished_text() -> None:
    words = small()
    assert words.filled("no table 'a'.") == "['a'] table no."
    assert words.filled("no table 'a' of 'b'.") == "of 'b' table 'a' no."  # of two that fit, the one that says more
    assert words.filled("no table queries.") == "[Q] table no."
    assert words.filled("no table {1}.") == "[{1}] table no."
    assert words.filled("no tables.") == "no tables."  # and not by "{items}", which fits everything
    assert words.filled("{items}") == "<{items}>"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rows: 3 rows.", "[3 R] rows:"),
        ("rows: 1,200 rows.", "[1,200 R] rows:"),
        ("rows: big rows.", "[big rows] rows:"),  # no number
        ("rows: .", "[] rows:"),
        ("rows: a pandas DataFrame.", "[pandas DataFrame] rows:"),
        ("rows: a frame of three columns.", "[a frame of three columns] rows:"),  # no name of a type
        ("rows: 'a', the first in row 7.", "['a' from 7] rows:"),
        ("rows: 3 rows, the first in row 7.", "[3 R from 7] rows:"),
        ("rows.", "rows."),  # the message's two ends overlap in it
        ("no rows: x.", "none x."),  # a full stop behind a message without one
        ("no rows: x; no rows: y", "none x; none y"),
        ("got rows=rows", "has rows=R"),  # an option's name
        ("5 of 5", "all 5"),
        ("5 of 6", "5 of 6"),
    ],
)
def test_values_are_translated_by_their_form(text: str, said: str) -> None:
    pairs = {
        "rows: {0}.": "[{0}] rows:",
        "{n} rows": "{n} R",
        "a {t}": "{t}",
        ", the first in row {0}": " from {0}",
        "no rows: {0}": "none {0}",
        "got {0}={1}": "has {0}={1}",
        "rows": "R",
        "{0} of {0}": "all {0}",
        "{0}{1}": "never",
    }
    words = Catalogue("xx", {one: Entry(one, other, frozenset({"errors"})) for one, other in pairs.items()})
    assert words.filled(text) == said


def test_a_value_stays_as_it_is() -> None:
    assert with_values("{a} {b} {c}", {"a": "{b}", "b": 2}) == "{b} 2 {c}"
