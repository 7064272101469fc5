"""The reference of commands has every command and every option that is shown."""

from __future__ import annotations

import importlib
import re

import click
import pytest
from docs.commands import page
from tests.docs.translation import fences, sections, strays, units

from shortlist.cli.main import COMMANDS


def test_every_command_and_every_option() -> None:
    text = page()
    parts = dict(
        zip(
            re.findall(r"^## (\S+)", text, flags=re.MULTILINE),
            re.split(r"^## ", text, flags=re.MULTILINE)[1:],
            strict=True,
        )
    )
    assert list(parts) == list(COMMANDS)
    for name, part in parts.items():
        command = importlib.import_module(f"shortlist.cli.{name.replace('-', '_')}").command
        shown = {one.opts[0] for one in command.params if isinstance(one, click.Option) and not one.hidden}
        assert shown <= set(re.findall(r"`(-[\w-]+)`", part)), name


def test_a_command_says_what_it_does() -> None:
    """Not what its functions do, to each other."""
    assert "Train on INTERACTIONS" in page()
    assert re.findall(r"\b(?:Args|Returns|Raises):", page()) == []


@pytest.mark.parametrize("code", ["en", "ko"])
def test_cells_are_whole(code: str) -> None:
    rows = [line for line in page(code).splitlines() if line.startswith("| `")]
    assert len(rows) > 150
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}


def test_the_korean_page_has_the_same_commands_options_and_figures() -> None:
    english, korean = page(), page("ko")
    assert fences(korean) == fences(english)
    ours, theirs = sections(english), sections(korean)
    assert [level for level, _ in theirs] == [level for level, _ in ours]
    for (_, body), (_, translated) in zip(ours, theirs, strict=True):
        for unit, other in zip(units(body), units(translated), strict=True):
            assert strays(unit, other) == [], other
    same = {row for row in english.splitlines() if row.startswith("| `")} & {*korean.splitlines()}
    assert {row.split("|")[2].strip() for row in same} == {"auto, cpu, cuda, …"}
