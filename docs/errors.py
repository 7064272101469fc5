"""Every message that a user can get, collected from the source, with its hint.

Run as a program it writes ``docs/errors.md``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shortlist import errors

SOURCE = Path(errors.__file__).parent
DAMAGE = {"DamageError", "TooNewError"}  # of store; the room whose file it is raises it as its own, with a hint
DAMAGED = "copy it again, or write it again; the error says how"
KINDS = {name for name in errors.__all__ if isinstance(getattr(errors, name), type) and name.endswith("Error")}
ABOUT = {
    "DamageError": "Files that are not as they were written: a `BundleError`, a `DataError` or a `TrainingError` says so.",
    "Problem": "The server's replies.",
}


@dataclass(frozen=True)
class Message:
    """kind: the class raised, or "Problem", the server's. text and hint: with … for what a run fills in."""

    kind: str
    room: str
    place: str
    text: str
    hint: str | None

    @property
    def helps(self) -> bool:
        """Whether it says what was expected or what to do."""
        said = ("expected", "must", "known:", "may ", "give one", "needs", "is missing", "takes", "leave ", "at most")
        return self.hint is not None or any(word in self.text for word in said)


def messages() -> list[Message]:
    """All of them, in the order of the files."""
    return [found for path in sorted(SOURCE.rglob("*.py")) if path.name != "errors.py" for found in _in(path)]


def _in(path: Path) -> Iterator[Message]:
    place = path.relative_to(SOURCE)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        kind = node.func.id
        if kind == "MissingExtraError" and len(node.args) == 3:
            package, extra, purpose = map(_text, node.args)
            hint = f'pip install "shortlist[{extra}]"'
            yield Message(kind, place.parts[0], f"{place}:{node.lineno}", f"{purpose} needs {package}.", hint)
        elif kind in DAMAGE and node.args:
            yield Message("DamageError", place.parts[0], f"{place}:{node.lineno}", _text(node.args[0]), DAMAGED)
        elif kind == "_unfit":  # of conditions
            yield Message(
                "DataError", place.parts[0], f"{place}:{node.lineno}", f"… {_text(node.args[1])}", _text(node.args[2])
            )
        elif kind in KINDS or kind == "Problem":
            skip, second = (1, 3) if kind == "Problem" else (0, 1)
            if len(node.args) <= skip:
                continue
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            hint = given.get("hint", node.args[second] if len(node.args) > second else None)
            remedy = getattr(getattr(errors, kind, None), "remedy", None)
            text = " ".join(_text(node.args[skip]).split())
            if not text.strip("…. "):  # handed on as it came
                continue
            advice = remedy if hint is None else " ".join(_text(hint).split())
            yield Message(kind, place.parts[0], f"{place}:{node.lineno}", text, advice)


def _text(node: ast.expr) -> str:
    """A message as it stands in the source, with … for every part that is made at run time."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body)} / {_text(node.orelse)}"
    return "…"


def page() -> str:
    """The page: a table for each class."""
    found = messages()
    text = (
        "# Every error, and what to do\n\n"
        "Collected from the source. `…` stands for a value. An error's text says what was given and what was\n"
        "expected, its hint what to do. In Python all of them are `sl.ShortlistError`, with `message` and `hint`. On the\n"
        "command line the exit code is 1. The server answers with the status and a problem document.\n"
    )
    for kind in [*sorted(KINDS), "DamageError", "Problem"]:
        rows = sorted({(one.text, one.hint or "") for one in found if one.kind == kind})
        if rows:
            about = ABOUT.get(kind) or (getattr(errors, kind).__doc__ or "").splitlines()[0]
            lines = "\n".join(f"| {_cell(said)} | {_cell(hint)} |" for said, hint in rows)
            text += f"\n## {kind}\n\n{about}\n\n| says | to do |\n|---|---|\n{lines}\n"
    return text


def _cell(text: str) -> str:
    for old, new in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        ("|", "&#124;"),
        ("*", "&#42;"),
        ("[", "&#91;"),
        ("_", "&#95;"),
        ("`", "&#96;"),
    ):
        text = text.replace(old, new)
    return text


if __name__ == "__main__":
    Path(__file__).with_name("errors.md").write_text(page(), encoding="utf-8")
