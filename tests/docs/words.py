"""Every text that a user reads, and the words that do not belong in it.

Texts: the command line's help, errors and their hints, lines on the terminal and in logs, README, the pages, and the
docstrings of public names, which make the API reference.
"""

from __future__ import annotations

import ast
import importlib
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import click
from docs.errors import messages
from tests.docs.source import SOURCE, trees

from shortlist._public import ROOMS
from shortlist.cli.main import COMMANDS, FRONT, PURPOSE

ROOT = Path(__file__).parents[2]
AVOID = {
    r"beside": "next to, with, compared with",
    r"who(so)?ever": "name the person",
    r"(goes|go|going|went|gone) on": "continue, resume",
    r"(is|are|was|were|be) (told|said)": "say what says it",
    r"such as (have|has|are|is)": "those that",
    r"(lies|lie|lay|lain|lying)": "is, is stored",
    r"(stands|stand|stood)(?! (for|alone|in for))": "is",
    r"(is|are|was|were) of (?!type|use)": "has, belongs to",
    r"(comes|came|coming)(?! (from|with|before|after|back|first|last|in|out|next|to)\b)": "is given, arrives",
    r"dear(er)?": "more expensive",
    r"(anew|afresh)": "again",
    r"(?<!there )(is|are|was) no (?!longer|more|less|better|worse|slower|different|faster|larger|smaller|later)": "is not a",
    r"(can|could)(not)? be had": "cannot open, is not available",
    r"all the same": "anyway",
    r"(?<!separated )by commas": "comma-separated",
    r"is there already": "exists",
    r"as if nothing": "as without a stop",
}


def faults(text: str) -> list[str]:
    """The words to avoid that ``text`` has, each with a few words around it."""
    plain = re.sub(r"(`+)[^`]*\1", "`…`", " ".join(text.split()))
    found = [
        f"…{plain[max(0, one.start() - 30) : one.end() + 30]}… ({instead})"
        for word, instead in AVOID.items()
        for one in re.finditer(rf"\b{word}\b", plain, flags=re.IGNORECASE)
    ]
    found += [f"{one.group(0)}… (name the subject)" for one in re.finditer(r"(?:^|(?<=[.;:!] ))What [^.?]*[.;]", plain)]
    return found


def help_texts() -> Iterator[tuple[str, str]]:
    """Each command's help and each option's, with the place."""
    yield "shortlist", f"{PURPOSE}\n{FRONT}"
    for name, line in COMMANDS.items():
        yield f"shortlist {name}", line
        command: click.Command = importlib.import_module(f"shortlist.cli.{name.replace('-', '_')}").command
        yield f"shortlist {name}", command.help or ""
        for option in command.params:
            yield f"shortlist {name} {option.name}", getattr(option, "help", None) or ""


def error_texts() -> Iterator[tuple[str, str]]:
    """Each error's text and hint, with the place in the source."""
    for one in messages():
        yield one.place, one.text
        yield one.place, one.hint or ""


def source_texts() -> Iterator[tuple[str, str]]:
    """Every text of more than a word in the source that is not a docstring: lines, warnings, verdicts, the report's page."""
    for place, tree in trees().items():
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and id(node) not in docstrings and " " in str(node.value):
                yield f"{place}:{node.lineno}", str(node.value)


def reference_texts() -> Iterator[tuple[str, str]]:
    """The docstring of each public name and of its public methods, with the place in the source."""
    public = {(place.split(".")[0], name) for name, place in ROOMS.items()}
    for place, tree in trees().items():
        room = place.parts[0].removesuffix(".py")
        for node in tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and (room, node.name) in public:
                members = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name[0] != "_"]
                for one in [node, *(members if isinstance(node, ast.ClassDef) else ())]:
                    yield f"{place}:{one.lineno}", ast.get_docstring(one) or ""


def page_texts() -> Iterator[tuple[str, str]]:
    """Each paragraph, list item, table row and heading of README and of the pages, without code blocks."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for page in pages:
        if "ko" in page.parts or page.name in (
            "errors.md",
            "modules.md",
            "recipe-keys.md",
            "commands.md",
        ):
            continue
        prose = re.sub(r"^( *)```.*?^ *```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        for block in re.split(r"\n\s*\n|\n(?=\s*[-|*#\d])", prose):
            if not block.lstrip().startswith("#"):
                yield str(page.relative_to(ROOT)), block


def docstring_texts() -> Iterator[tuple[str, str]]:
    """Every docstring of the source, with its place."""
    for place, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{place}:{getattr(node, 'lineno', 1)}", ast.get_docstring(node) or ""
            for inner in getattr(node, "body", ()) if isinstance(getattr(node, "body", ()), list) else ():
                if isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant):
                    yield f"{place}:{inner.lineno}", str(inner.value.value)


def comment_texts() -> Iterator[tuple[str, str]]:
    """Every comment of the source, with its place."""
    for place in trees():
        with (SOURCE / place).open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                if token.type == tokenize.COMMENT:
                    yield f"{place}:{token.start[0]}", token.string
