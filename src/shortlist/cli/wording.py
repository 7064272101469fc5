"""Messages of the command line: with its own options instead of Python's, and as wide as the terminal."""

from __future__ import annotations

import re
import shutil
import sys

from shortlist.language import columns, folded

__all__ = ["for_command_line", "wrapped"]

INNER = r"(?:[^()]|\((?:[^()]|\([^()]*\))*\))*"
CALL = rf"(?:\w+\.)*\w+\({INNER}\)"  # Events(where='a > 0')
PYTHON = rf"(?:{CALL}|\b\w+=\w*|\bDataset)"
JOINED = r"(?:, or |, | or )"
BEFORE = re.compile(rf"{PYTHON}{JOINED}(?=--[a-z])")
BEHIND = re.compile(rf"(--[a-z][^;]*?),(?: or)? {CALL}(?=[).;,]|$)")
NAMED = re.compile(r"\b(\w+)(=\w*)?(?: \(| or )(--([a-z-]+)[^);,]*)\)?")
FRAME = re.compile(rf"(?:,? for example |: )?\bframe(?:\.\w+\({INNER}\)|\[{INNER}?\])+")
ONLY_PYTHON = {
    "Dataset(…, timestamp=…)": "--time COLUMN",
    "Dataset(…, weight=…)": "--weight COLUMN",
}


def for_command_line(text: str) -> str:
    """A message or hint without the Python options for which it also names an option of the command line.

    Example:
        >>> for_command_line("name the encoding: Reading(encoding='cp949'), --encoding cp949; or save it as UTF-8")
        'name the encoding: --encoding cp949; or save it as UTF-8'
        >>> for_command_line("leave columns= (--columns) out")
        'leave --columns out'
    """
    for python, option in ONLY_PYTHON.items():
        text = text.replace(python, option)
    if "--" not in text:
        return FRAME.sub("", text).strip(" ,")
    before = None
    while before != text:
        before, text = text, BEFORE.sub("", text)
    return NAMED.sub(_option, BEHIND.sub(r"\1", text))


def _option(match: re.Match[str]) -> str:
    """The option alone, of ``encoding= (--encoding)``; a word that is not a name in Python stays."""
    word, value, option, name = match.groups()
    same = word.replace("_", "-") == name
    if value is None and not (same and "(" in match.group()):
        return match.group()
    return option


def wrapped(text: str) -> str:
    """A message in lines that fit the terminal; unchanged where the output is not a terminal."""
    if not sys.stderr.isatty():
        return text
    width = max(shutil.get_terminal_size().columns, 40)
    return "\n".join(_lines(line, width) for line in text.split("\n"))


def _lines(line: str, width: int) -> str:
    if columns(line) <= width:
        return line
    indent = " " * (len(line) - len(line.lstrip()))
    return "\n".join(folded(line, width, indent, f"{indent}  "))
