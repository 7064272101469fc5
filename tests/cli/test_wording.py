"""On the command line messages name its own options, fit the terminal, and an interrupt ends every command alike."""

from __future__ import annotations

import ast
import datetime
import decimal
import re
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import pytest

import shortlist as sl
from shortlist.cli.main import cli
from shortlist.cli.wording import for_command_line, wrapped

SOURCE = Path(sl.__file__).parent
PYTHONS_OWN = re.compile(r"\b(?:Reading|Events|Dataset)\(|\b[a-z_]+=(?:True|False)?(?:[\s,)]|$)|\bframe\.")


NAMES_AN_OPTION = re.compile(r"(?<![\w-])--[a-z]")


def texts() -> list[str]:
    """Every text of the package that names an option of the command line, with x for what is filled in."""
    found = []
    for path in SOURCE.rglob("*.py"):
        if path.parts[-2] in ("cli", "serve"):
            continue
        source = path.read_text(encoding="utf-8")
        if "--" not in source:
            continue
        nodes = list(ast.walk(ast.parse(source)))
        skipped = {
            id(node.body[0].value)
            for node in nodes
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        inner = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in nodes:
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value if isinstance(part, ast.Constant) else "x" for part in node.values)  # type: ignore[misc]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner | skipped:
                text = node.value
            else:
                continue
            if NAMES_AN_OPTION.search(text):
                found.append(text)
    return found


@pytest.mark.parametrize("text", sorted(set(texts())))
def test_no_message_names_what_only_python_has_beside_an_option(text: str) -> None:
    said = for_command_line(text)
    assert not PYTHONS_OWN.search(said), said
    assert set(re.findall(r"--[a-z-]+", said)) == set(re.findall(r"--[a-z-]+", text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "drop those rows: frame.drop_nulls('u'), Events(drop_null_ids=True), or --drop-null-ids",
            "drop those rows: --drop-null-ids",
        ),
        ("leave columns= (--columns) out", "leave --columns out"),
        ("a table of their features (--queries) would help", "a table of their features (--queries) would help"),
        ("exclude_seen=False or --include-seen keeps them", "--include-seen keeps them"),
        (
            "(to leave them out: --where \"e not in ('a', 'b')\", Events(where=…))",
            "(to leave them out: --where \"e not in ('a', 'b')\")",
        ),
        ("name it: Dataset(…, timestamp=…)", "name it: --time COLUMN"),
        ("cast one of them, for example frame.with_columns(pl.col('i').cast(pl.Int64))", "cast one of them"),
        ("check the path", "check the path"),
        (
            "write the ids as text: frame.with_columns(pl.col('i').cast(pl.String)); or name another column as the query",
            "write the ids as text; or name another column as the query",
        ),
        (
            "leave those rows out: Events(where=\"t not in ('a', 'b')\"), --where \"t not in ('a', 'b')\"",
            "leave those rows out: --where \"t not in ('a', 'b')\"",
        ),
        ("choose another path, or overwrite=True (--overwrite)", "choose another path, or --overwrite"),
    ],
)
def test_hints_in_words_of_the_command_line(text: str, said: str) -> None:
    assert for_command_line(text) == said


def test_lines_fit_the_terminal_and_only_that(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "  " + "word " * 40
    assert wrapped(line) == line
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, wrapped(line).split("\n"))) <= 60
    assert wrapped(line).split() == line.split()


@pytest.mark.parametrize(
    ("name", "words", "place", "inside"),
    [
        ("train", ["log.csv", "--query", "u", "--candidate", "i", "--out", "m"], "training", "training_data"),
        ("plan", ["log.csv", "--query", "u", "--candidate", "i"], "plan", "lines"),
    ],
)
def test_an_interrupt_ends_a_command_with_one_line(
    name: str, words: list[str], place: str, inside: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.csv").write_text("u,i\n" + "".join(f"u{n % 7},i{n % 5}\n" for n in range(40)))
    module = import_module(f"shortlist.cli.{place}")
    with patch.object(module, inside, side_effect=KeyboardInterrupt), pytest.raises(SystemExit) as ended:
        cli.main([name, *words])
    assert ended.value.code == 130
    assert capsys.readouterr().err.strip().splitlines()[-1] == "interrupted"
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def test_no_hint_on_ids_ends_in_a_colon_without_its_code() -> None:
    columns = [[True], [b"a"], [["a"]], [{"a": 1}], [datetime.date(2020, 1, 1)], [decimal.Decimal(1)], [1.5], [None]]
    for values in columns:
        with pytest.raises(sl.DataError) as caught:
            sl.Dataset({"u": values, "i": ["a"]}, "u", "i")
        said = for_command_line(str(caught.value.hint))
        assert not re.search(r":\s*(;|$)", said), said
