"""Every command that reads tables has the options of reading, and reads what ``Dataset`` reads with them."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import click
import pytest

import shortlist as sl
from shortlist.cli.main import cli

OPTIONS = {"--columns", "--encoding", "--separator", "--decimal", "--time-format", "--dates"}
READERS = ("train", "plan", "evaluate", "report", "tune", "import-tfrs")


@pytest.mark.parametrize("name", READERS)
def test_every_command_that_reads_tables_has_them(name: str) -> None:
    command: click.Command = import_module(f"shortlist.cli.{name.replace('-', '_')}").command
    assert {option for parameter in command.params for option in parameter.opts} >= OPTIONS


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty people in two camps, in CP949 with decimal commas and American dates; and a bundle trained on it."""
    folder = tmp_path_factory.mktemp("shop")
    lines = [
        f"손님{person};{person % 2 * 10 + item};5/{item + 13}/2024;1,5"
        for person in range(20)
        for item in range(10)
        if item != person % 10
    ]
    text = "\n".join(["손님;상품;날짜;값", *lines]) + "\n"
    (folder / "log.csv").write_bytes(text.encode("cp949"))
    words = [
        "train",
        str(folder / "log.csv"),
        "--query",
        "손님",
        "--candidate",
        "상품",
        "--time",
        "날짜",
        "--weight",
        "값",
    ]
    words += ["--out", str(folder / "m"), "--set", "fit.epochs=1", "--encoding", "cp949", "--decimal", ","]
    cli.main(words, standalone_mode=False)
    return folder


def test_a_bundle_is_trained_and_measured_on_such_a_table(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recommender = sl.Recommender.load(shop / "m")
    assert sorted(recommender.query_ids.to_list()) == sorted(f"손님{person}" for person in range(20))
    words = ["evaluate", str(shop / "m"), str(shop / "log.csv"), "--encoding", "cp949", "--json"]
    cli.main(words, standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["pairs"] == 180


def test_a_plan_is_made_of_such_a_table(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", str(shop / "log.csv"), "--query", "손님", "--candidate", "상품", "--time", "날짜", "--json"]
    cli.main([*words, "--encoding", "cp949", "--count"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["queries"]["value"], found["candidates"]["value"]) == (180, 20, 20)


def test_what_cannot_be_is_refused_by_name(shop: Path) -> None:
    words = ["evaluate", str(shop / "m"), str(shop / "log.csv")]
    for more, says in [
        ([], r"looks like cp949\.\n.*--encoding cp949"),
        (["--encoding", "cp94"], "encoding is 'cp94', which is not an encoding that Python knows"),
        (["--separator", "--"], "separator is '--'; one ASCII character was expected"),
        (["--columns", "a,a"], "a different name for each column was expected"),
        (["--time-format", "today"], "a format such as '%d/%m/%Y %H:%M' was expected"),
    ]:
        with pytest.raises(sl.ShortlistError, match=says):
            cli.main([*words, *more], standalone_mode=False)


def test_a_file_without_a_header_says_so(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("196,242,3\n186,302,3\n")
    for more in ([], ["--stream", "--shards", str(tmp_path / "s")]):
        words = ["train", str(tmp_path / "t.csv"), "--query", "u", "--candidate", "i", "--out", str(tmp_path / "m")]
        with pytest.raises(sl.DataError, match=r"no column 'u'.*\n.*--columns a,b,c"):
            cli.main([*words, *more], standalone_mode=False)
