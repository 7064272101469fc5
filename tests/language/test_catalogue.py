"""Catalogues of messages: whole, with the same values on both sides, and found again by a finished text."""

from __future__ import annotations

import pytest
from docs.messages import FOLDER, current, in_source, messages, templates, written

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


def test_a_value_stays_as_it_is() -> None:
    assert with_values("{a} {b} {c}", {"a": "{b}", "b": 2}) == "{b} 2 {c}"
