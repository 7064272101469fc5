"""The options on events, on every command that reads interactions, and the account of what was read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.cli.typed import Done, shortlist

from shortlist.cli.events import _weights
from shortlist.errors import ConfigError

COLUMNS = ("--query", "who", "--candidate", "what", "--time", "at")
WEIGHTS = ("--weight-by", "event:view=1,buy=10")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 rows of 50 people and 8 things; every fourth is bought, every tenth is a return."""
    place = tmp_path_factory.mktemp("events")
    rows = [
        {
            "who": f"u{n % 50} " if n == 3 else f"u{n % 50}",
            "what": (n % 50 + n // 100) % 8,
            "event": "return" if n % 10 == 9 else "buy" if n % 4 == 0 else "view",
            "at": n,
        }
        for n in range(200)
    ]
    pl.DataFrame(rows).write_csv(place / "log.csv")
    pl.DataFrame(rows).write_parquet(place / "log.parquet")
    pl.DataFrame(rows[150:]).write_csv(place / "test.csv")
    return place


def train(folder: Path, source: str, *options: str) -> Done:
    return shortlist(
        "train", source, *COLUMNS, "--out", "b.shortlist", "--overwrite", "--json", "--force",
        "--set", "fit.epochs=1", "--set", "fit.batch_size=32", "--set", "model.dim=4", *options, cwd=folder,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Path:
    done = train(folder, "log.csv", *WEIGHTS, "--seen-where", "event = 'buy'", "--strip-ids")
    assert done.returncode == 0, done.stderr
    return folder / "b.shortlist"


@pytest.mark.parametrize(("source", "more"), [("log.csv", ()), ("log.parquet", ("--stream", "--shards", "s"))])
def test_train_from_memory_and_from_disk(folder: Path, source: str, more: tuple[str, ...], bundle: Path) -> None:
    """20 rows are returns, 50 are bought (n divisible by 4; of them none ends in 9), 130 viewed; whose number ends in 9 returned all."""
    kept = bundle.with_name("kept.shortlist")
    done = train(folder, source, *WEIGHTS, "--seen-where", "event = 'buy'", "--strip-ids", "--out", str(kept), *more)
    assert done.returncode == 0, done.stderr
    account = json.loads(done.stdout)["account"]
    assert (account["rows"], account["queries"], account["candidates"], account["seen"]) == (180, 45, 8, 50)
    assert account["weights"] == [1, pytest.approx((130 + 500) / 180), 10]
    assert (account["since"], account["until"]) == ("0", "198")
    assert "left out 20 of 200 rows whose 'event' is not listed" in account["notes"]
    assert done.stderr.count("read 180 interactions") == 1
    assert "150" not in account["notes"]
    manifest = json.loads((kept / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["metadata"]["account"] == account
    assert "repeat a choice that their query made in training" in " ".join(done.stderr.split())


def test_warnings_come_once(folder: Path) -> None:
    done = train(folder, "log.csv", "--out", "other.shortlist")
    assert done.stderr.count("differ from another only by blanks") == 1
    assert done.stderr.count("20 rows with 'return' as 'event'") == 1


def test_evaluate_measures_what_the_condition_keeps(folder: Path, bundle: Path) -> None:
    def ask(*options: str) -> dict[str, Any]:
        done = shortlist("evaluate", bundle, "test.csv", "--baselines", "none", "--json", *options, cwd=folder)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    bought = sum(n % 4 == 0 and n % 10 != 9 for n in range(150, 200))
    assert ask("--where", "event = 'buy'")["pairs"] == bought
    weighted, plain = ask(*WEIGHTS), ask("--where", "event <> 'return'")
    assert weighted["pairs"] == plain["pairs"] == 45
    assert weighted["account"]["weights"][2] == 10
    assert weighted["model"] != plain["model"]  # a buy counts ten times


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "b.shortlist", "test.csv", "--where", "event = 'buy'", "-o", "r.html"),
        ("tune", "b.shortlist", "--test", "test.csv", "--where", "event = 'view'", "--backend", "exact", "--out", "t.shortlist"),
        ("plan", "log.parquet", "--query", "who", "--candidate", "what", "--where", "event = 'buy'"),
    ],
)  # fmt: skip
def test_the_other_commands(folder: Path, bundle: Path, arguments: tuple[str, ...]) -> None:
    done = shortlist(*arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    wrong = [
        one.replace("event =", "evnt =").replace(".shortlist", ".wrong") if number > 1 else one
        for number, one in enumerate(arguments)
    ]
    done = shortlist(*wrong, cwd=folder)
    assert (done.returncode, "did you mean 'event'" in done.stderr, "Traceback" in done.stderr) == (1, True, False), (
        done.stderr
    )


def test_plan_counts_what_the_condition_keeps(folder: Path) -> None:
    done = shortlist(
        "plan", "log.parquet", *COLUMNS, "--where", "event = 'buy'", "--drop-null-ids", "--json", cwd=folder
    )
    found = json.loads(done.stdout)
    assert (found["rows"], found["sampled"], found["queries"]["value"]) == (50, 50, 25)  # whose number is even


def test_the_report_says_what_was_read(folder: Path, bundle: Path) -> None:
    shortlist("report", bundle, "-o", "said.html", cwd=folder)
    page = (folder / "said.html").read_text(encoding="utf-8")
    assert "180 interactions" in page
    assert "repeat a choice" in page


@pytest.mark.parametrize("text", ["", "event", "event:", "event:view", "event:view=", "event:=1", ":view=1", "event:view=x",
                                  "event:view=-1", "event:view=nan", "event:view=1,", "event:view=1,view=2"])  # fmt: skip
def test_weights_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ConfigError):
        _weights(text)


def test_weights_as_text() -> None:
    assert _weights("event:view=1,add to cart=3.5,a=b=2") == {"event": {"view": 1.0, "add to cart": 3.5, "a=b": 2.0}}
