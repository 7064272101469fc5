"""Every message that a user can get, collected from the source, with its hint.

Run as a program it writes ``docs/errors.md`` and ``docs/ko/errors.md``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from shortlist import errors
from shortlist.language.catalogue import ENGLISH, PLACE, catalogue

SOURCE = Path(errors.__file__).parent
DAMAGE = {"DamageError", "TooNewError"}  # of store; the room whose file it is raises it as its own, with a hint
DAMAGED = "copy it again, or write it again; the error says how"
WORDS = re.compile("[a-z]{2,} [a-z]{2,}")
DAMAGED_IN = {"ko": "다시 복사하거나 다시 쓰세요. 오류가 방법을 알려 줍니다"}
KINDS = {name for name in errors.__all__ if isinstance(getattr(errors, name), type) and name.endswith("Error")}
PAGES = {code: Path(__file__).parent / name for code, name in ((ENGLISH, "errors.md"), ("ko", "ko/errors.md"))}
HEADS = {
    ENGLISH: """# Every error, and what to do

Collected from the source. `…` stands for a value. An error's text says what was given and what was
expected, its hint what to do. In Python all of them are `sl.ShortlistError`, with `message` and `hint`. On the
command line the exit code is 1. The server answers with the status and a problem document.
""",
    "ko": """# 모든 오류와 대처법

소스에서 모았습니다. `…`는 값이 들어가는 자리입니다. 오류의 글은 무엇이 왔고 무엇을 기대했는지를, 힌트는 무엇을 하면 되는지를
알려 줍니다. 파이썬에서는 모두 `sl.ShortlistError`이고 `message`와 `hint`가 있습니다. 명령줄에서 종료 코드는 1입니다. 서버는 상태
코드와 문제 문서로 답하며, 그 글은 영어입니다.
""",
}
TABLE = {ENGLISH: "| says | to do |", "ko": "| 오류 | 할 일 |"}
ABOUT = {
    ENGLISH: {
        "DamageError": "Files that are not as they were written: a `BundleError`, a `DataError` or a `TrainingError` says so.",
        "Problem": "The server's replies.",
    },
    "ko": {
        "BundleError": "찢어졌거나, 바뀌었거나, 다른 곳에서 왔거나, 더 새로운 형식인 번들입니다.",
        "ConfigError": "쓸 수 없는 옵션이나 옵션의 조합입니다.",
        "DamageError": "쓴 그대로가 아닌 파일입니다. `BundleError`, `DataError`, `TrainingError`가 알려 줍니다.",
        "DataError": "학습하거나 평가하거나 인코딩할 수 없는 표입니다.",
        "DownloadError": "받아 오지 못했거나 체크섬이 틀린 데이터셋입니다.",
        "MissingExtraError": "설치하지 않은 선택 패키지입니다. 어느 extra를 설치하면 되는지 알려 줍니다.",
        "Problem": "서버의 응답입니다.",
        "SearchError": "인덱스가 받을 수 없는 벡터, 아이디, k입니다.",
        "ShortlistError": "사용자 때문에 날 수 있는 모든 오류의 바탕입니다.",
        "TrainingError": "더 이어 갈 수 없는 학습입니다.",
        "UnknownQueryError": 'cold_start가 "refuse"일 때, 모델이 본 적이 없는 쿼리 아이디입니다.',
    },
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


@cache
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
            needs = f"{purpose} needs the package '{package}', which is not installed."
            yield Message(kind, place.parts[0], f"{place}:{node.lineno}", needs, hint)
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


def page(code: str = ENGLISH) -> str:
    """The page in a language: a table for each class, in the order of the English texts."""
    found = messages()
    text = HEADS[code]
    for kind in [*sorted(KINDS), "DamageError", "Problem"]:
        rows = sorted({(one.text, one.hint or "") for one in found if one.kind == kind})
        if rows:
            about = ABOUT[code].get(kind) or (getattr(errors, kind).__doc__ or "").splitlines()[0]
            lines = "\n".join(f"| {_cell(shown(said, code))} | {_cell(shown(hint, code))} |" for said, hint in rows)
            text += f"\n## {kind}\n\n{about}\n\n{TABLE[code]}\n|---|---|\n{lines}\n"
    return text


def shown(text: str, code: str) -> str:
    """A message in a language, with … for its values; one of several in turn, and code as it is."""
    if code == ENGLISH or not text:
        return text
    known = _by_text(code).get(text)
    if known is None and " / " in text:
        return " / ".join(shown(part, code) for part in text.split(" / "))
    if known is None and text == DAMAGED:
        return DAMAGED_IN[code]
    if (
        known is None and "…" in text and WORDS.search(text)
    ):  # a value that is one of several texts, written out in the catalogue
        form = re.compile(".*".join(map(re.escape, text.split("…"))))
        known = next((said for english, said in _by_text(code).items() if form.fullmatch(english)), None)
    return known or catalogue(code).filled(text)


@cache
def _by_text(code: str) -> dict[str, str]:
    """The translations of a catalogue by their English text, both with … for values."""
    kept = [one for one in catalogue(code).entries.values() if one.by_text]
    return {_on_a_line(one.english): _on_a_line(one.translation) for one in kept}


def _on_a_line(text: str) -> str:
    return " ".join(PLACE.sub("…", text).split())


def _cell(text: str) -> str:
    for old, new in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        ("|", "&#124;"),
        ("*", "&#42;"),
        ("[", "&#91;"),
        ("]", "&#93;"),
        ("_", "&#95;"),
        ("`", "&#96;"),
    ):
        text = text.replace(old, new)
    return text


if __name__ == "__main__":
    for language, place in PAGES.items():
        place.write_text(page(language), encoding="utf-8")
