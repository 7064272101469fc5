"""Every command that reads tables has the options of reading, and reads what ``Dataset`` reads with them."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import click
import numpy as np
import pytest

import shortlist as sl
from shortlist.cli.main import COMMANDS, cli
from shortlist.data.source import Source

READING = {"--columns", "--encoding", "--separator", "--decimal", "--time-format", "--dates"}
EVENTS = {"--where", "--weight-by", "--seen-where", "--strip-ids", "--drop-null-ids"}
SQL = {"--sql", "--connect"}
READERS = {"train", "plan", "evaluate", "report", "tune", "import-tfrs"}
OTHERS = {
    "demo",
    "recommend",
    "recommend-all",
    "serve",
    "promote",
    "rollback",
    "index",
    "export",
    "doctor",
    "impressions",
    "compare-logged",
    "daily",
    "clean",
    "schema",
    "mcp",
}


def test_every_command_is_known_to_read_interactions_or_not() -> None:
    assert set(COMMANDS) == READERS | OTHERS


@pytest.mark.parametrize("name", sorted(READERS | OTHERS))
def test_every_command_that_reads_interactions_has_the_same_options(name: str) -> None:
    command: click.Command = import_module(f"shortlist.cli.{name.replace('-', '_')}").command
    options = {option for parameter in command.params for option in parameter.opts}
    if name in READERS:
        assert options >= READING | EVENTS | SQL
    else:
        assert not options & (READING | SQL | EVENTS - {"--where"})  # of lists, --where is about candidates


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


@pytest.mark.filterwarnings("ignore:unknown ids")
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


LOG = "u,i,at,extra,w\n" + "".join(f"u{n % 48},i{n % 5},{n},x{n},{n % 3 + 1}\n" for n in range(240))
COLUMNS = ["--query", "u", "--candidate", "i"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with a column that nothing asks for, a bundle, and arrays of a TFRS model."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "log.csv").write_text(LOG)
    (folder / "pop.toml").write_text('towers = "popularity"\n')
    words = [
        "train",
        str(folder / "log.csv"),
        *COLUMNS,
        "--out",
        str(folder / "m"),
        "--recipe",
        str(folder / "pop.toml"),
    ]
    cli.main([*words, "--index", "exact", "--test", "0", "--where", "at < 200"], standalone_mode=False)
    users, items = [f"u{n}" for n in range(48)], [f"i{n}" for n in range(5)]
    arrays = {"query_embeddings": np.ones((49, 2)), "candidate_embeddings": np.ones((6, 2))}
    scores = {"score_query_ids": users[:1], "score_candidate_ids": items[:1], "scores": [2.0]}
    np.savez(folder / "model.npz", query_ids=users, candidate_ids=items, **arrays, **scores)
    return folder


def words_of(name: str, folder: Path, table: list[str], out: Path) -> list[str]:
    """A command that reads a table; ``table`` is how it is given."""
    bundle = str(folder / "m")
    option = {"tune": "--test", "import-tfrs": "--seen"}.get(name)
    recipe = ["--recipe", str(folder / "pop.toml")]
    given = table if option is None or table[0].startswith("--") else [option, *table]
    return {
        "train": ["train", *given, *COLUMNS, "--out", str(out / "new"), *recipe, "--index", "exact"],
        "plan": ["plan", *given, *COLUMNS, "--sample", "500"],
        "evaluate": ["evaluate", bundle, *given, "--baselines", "none", "--metrics", "top"],
        "report": ["report", bundle, *given, "--baselines", "", "-o", str(out / "page.html")],
        "tune": ["tune", bundle, *given, "--backend", "exact", "--out", str(out / "tuned"), "--minutes", "0"],
        "import-tfrs": [
            "import-tfrs",
            str(folder / "model.npz"),
            *COLUMNS,
            *given,
            "--out",
            str(out / "imported"),
            "--index",
            "exact",
        ],
    }[name]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(READERS))
def test_only_what_is_named_is_read(name: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[str] = set()
    real = Source.scan

    def scan(self: Source, file: object, columns: list[str]) -> object:
        read.update(columns)
        return real(self, file, columns)  # type: ignore[arg-type]

    monkeypatch.setattr(Source, "scan", scan)
    cli.main(words_of(name, small, [str(small / "log.csv")], tmp_path), standalone_mode=False)
    assert read == {"u", "i"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(READERS))
def test_every_reader_takes_a_query_in_its_tables_place(name: str, small: Path, tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    table = ["--sql", f"select u, i from '{small / 'log.csv'}'"]
    cli.main(words_of(name, small, table, tmp_path), standalone_mode=False)
    with pytest.raises(sl.ConfigError, match="--connect was given without --sql"):
        cli.main(words_of(name, small, ["--connect", "x.db"], tmp_path), standalone_mode=False)


def test_a_plan_by_a_query_may_name_its_recipe(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("duckdb")
    words = ["plan", "--sql", f"select * from '{small / 'log.csv'}'", "als", *COLUMNS]
    with pytest.raises(sl.ConfigError, match=r"the recipe has \[als\]"):
        cli.main(words, standalone_mode=False)


def test_a_plan_says_what_was_read(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", str(small / "log.csv"), *COLUMNS, "--where", "at >= 120"]
    cli.main([*words, "--json"], standalone_mode=False)
    account = json.loads(capsys.readouterr().out)["account"]
    assert (account["rows"], account["queries"], account["candidates"], account["files"]) == (120, 48, 5, 1)
    assert account["notes"] == ["left out 120 of 240 rows that are not interactions"]
    cli.main(words, standalone_mode=False)
    assert "looked at 120 interactions from 1 file, 48 queries, 5 candidates" in capsys.readouterr().err


def test_weighted_metrics_need_weights(small: Path, tmp_path: Path) -> None:
    words = ["train", str(small / "log.csv"), *COLUMNS, "--out", str(tmp_path / "m"), "--weighted-metrics"]
    with pytest.raises(sl.ConfigError, match="--weighted-metrics was given, and no weights were"):
        cli.main(words, standalone_mode=False)
    more = ["--weight", "w", "--recipe", str(small / "pop.toml"), "--index", "exact"]
    cli.main([*words, *more], standalone_mode=False)
    assert sl.Recommender.load(tmp_path / "m").metadata["measured"]["evaluation"]["pairs"] == 24
