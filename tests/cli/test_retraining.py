"""Daily retraining as a person types it: warm start, comparison, gate, promotion, rollback, refusals."""

from __future__ import annotations

import json
import os
from contextvars import Context
from pathlib import Path

import polars as pl
import pytest
from tests.cli.typed import shortlist

import shortlist as sl
from shortlist.cli.retraining import Daily
from shortlist.recommender.promotion import alone

COLUMNS = ("--query", "reader", "--candidate", "book", "--time", "at", "--index", "exact")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty readers in two camps; one book a day for each. Tuesday has two days more, a new book and new readers."""
    place = tmp_path_factory.mktemp("daily")
    rows = [
        {"reader": f"r{reader}", "book": f"b{2 * ((day * 7 + reader) % 15) + reader % 2}", "at": day}
        for day in range(12)
        for reader in range(60 + 3 * max(day - 9, 0))
    ]
    rows += [{"reader": f"r{reader}", "book": "new", "at": 10} for reader in range(5)]
    data = pl.DataFrame(rows)
    data.filter(pl.col("at") < 10).write_parquet(place / "monday.parquet")
    data.write_parquet(place / "tuesday.parquet")
    data.filter(pl.col("at") >= 10).write_parquet(place / "new.parquet")
    done = shortlist(
        "train", "monday.parquet", *COLUMNS, "--out", "monday.shortlist", "--set", "fit.batch_size=128",
        "--promote", "current", cwd=place,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "promoted: current → monday.shortlist" in done.stderr
    assert "to undo" not in done.stderr  # there is nothing to go back to
    return place


@pytest.fixture(scope="module")
def tuesday(folder: Path) -> dict[str, object]:
    done = shortlist(
        "train", "tuesday.parquet", *COLUMNS, "--warm-start", "current", "--out", "tuesday.shortlist", "--set", "fit.epochs=2",
        "--promote-if", "top_5 >= yesterday - 1", "--promote-if", "churn_3 <= 1", "--promote", "current", "--json", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "since yesterday:" in done.stderr
    assert "top_5 >= yesterday - 1: " in done.stderr
    assert "to undo: shortlist rollback current" in done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_today_is_promoted_and_says_what_changed(folder: Path, tuesday: dict[str, object]) -> None:
    assert os.readlink(folder / "current") == "tuesday.shortlist"
    assert tuesday["passed"] is True
    told = tuesday["since"]
    assert isinstance(told, dict)
    assert told["new_candidates"] == 1
    assert told["new_queries"] == 6
    monday, today = (sl.Recommender.load(folder / f"{day}.shortlist") for day in ("monday", "tuesday"))
    assert told["before"]["fingerprint"] == monday.fingerprint
    assert today.metadata["since"] == told
    assert today.metadata["recipe"] == {
        **monday.metadata["recipe"],
        "fit": {
            **monday.metadata["recipe"]["fit"],
            "epochs": 2,
            "pretrain": "none",
        },  # it starts from Monday's vectors, not from ALS
    }
    assert today.metadata["recipe"]["fit"]["batch_size"] == 128  # yesterday's, since no recipe was named
    run = today.metadata["run"]
    assert run["seed"] == 42
    assert run["data"]["until"] <= 11
    assert run["data"]["fingerprint"] != monday.metadata["run"]["data"]["fingerprint"]
    assert today.recommend(["r1", "r62"], k=3)[0].known


def test_back_in_one_command(folder: Path, tuesday: dict[str, object]) -> None:
    done = shortlist("rollback", "current", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bundle"] == "monday.shortlist"
    assert os.readlink(folder / "current") == "monday.shortlist"
    refused = shortlist("rollback", "current", cwd=folder)
    assert refused.returncode == 1
    assert "nothing was promoted" in refused.stderr
    gated = shortlist("promote", "tuesday.shortlist", "current", "--if", "top_10 >= yesterday + 1", cwd=folder)
    assert gated.returncode == 3
    assert "does not hold" in gated.stderr
    assert os.readlink(folder / "current") == "monday.shortlist"
    wrong = shortlist("promote", "monday.shortlist", "current", "--if", "top_10 >= yesterday", cwd=folder)
    assert wrong.returncode == 1
    assert "was not measured" in wrong.stderr
    again = shortlist("promote", "tuesday.shortlist", "current", "--if", "top_10 >= yesterday - 1", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "promoted: current → tuesday.shortlist; to undo: shortlist rollback current" in again.stderr
    assert os.readlink(folder / "current") == "tuesday.shortlist"
    listed = shortlist("rollback", "current", "--list", cwd=folder)
    assert [line.split()[-1] for line in listed.stdout.splitlines()] == ["monday.shortlist", "tuesday.shortlist"]


def test_a_gate_that_does_not_hold(folder: Path, tuesday: dict[str, object]) -> None:
    """Exit code 3; the bundle is there to be looked at, the link stays; a bundle of that name is not replaced."""
    before = os.readlink(folder / "current")
    options = ("new.parquet", *COLUMNS, "--warm-start", "monday.shortlist", "--only-new", "--test", "0.3", "--again")
    gate = (
        "--promote-if",
        "top_5 >= yesterday + 1",
        "--promote",
        "current",
        "--set",
        "fit.epochs=1",
        "--json",
        "--force",
    )
    done = shortlist("train", *options, "--out", "bad.shortlist", *gate, cwd=folder)
    assert done.returncode == 3, done.stderr
    assert "top_5 >= yesterday + 1: " in done.stderr
    assert "does not hold" in done.stderr
    assert "not promoted: bad.shortlist is there to be looked at" in done.stderr
    for name in ("recent", "transitions"):  # the table has times, and what yesterday's people chose has none
        assert f"baseline not measured: {name}: yesterday's bundle does not keep the times" in done.stderr
    assert "Traceback" not in done.stderr
    result = json.loads(done.stdout)
    assert result["passed"] is False
    assert result["conditions"][0]["passed"] is False
    assert os.readlink(folder / "current") == before
    bad = sl.Recommender.load(folder / "bad.shortlist")
    assert len(bad.candidate_ids) == 31  # only new rows were given, yesterday's books stay
    assert bad.seen is not None
    assert len(bad.seen) > 500
    print_before = bad.fingerprint
    again = shortlist(
        "train", *options, "--out", "bad.shortlist", "--overwrite", "--set", "fit.seed=1", *gate, cwd=folder
    )
    assert again.returncode == 3, again.stderr
    assert "this training was not kept" in again.stderr
    assert sl.Recommender.load(folder / "bad.shortlist").fingerprint == print_before


def test_the_report_tells_of_yesterday(folder: Path, tuesday: dict[str, object]) -> None:
    done = shortlist("report", "tuesday.shortlist", "-o", "report.html", cwd=folder)
    assert done.returncode == 0, done.stderr
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Since yesterday" in page
    assert "chose something" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--promote-if", "top_5 == 3"), "cannot be read"),
        (("--promote-if", "top_5 >= yesterday"), "--warm-start was not given"),
        (("--promote-if", "recall_5 >= 0.1"), "is not measured"),
        (("--promote-if", "top_7 >= 0.1"), "is not measured"),
        (("--promote-if", "top_5 >= 0.1", "--test", "0"), "--test is 0"),
        (("--promote-if", "fame_5 >= yesterday", "--warm-start", "monday.shortlist"), "'fame_5'"),
        (("--promote-if", "churn_5 <= yesterday", "--warm-start", "monday.shortlist"), "'churn_5'"),
        (("--only-new",), "without --warm-start"),
        (("--warm-start", "sunday.shortlist"), "no bundle"),
        (("--warm-start", "monday.shortlist", "--set", "model.dim=8"), "dim is 8 and was 64"),
    ],
)
def test_refusals(folder: Path, options: tuple[str, ...], message: str) -> None:
    done = shortlist("train", "tuesday.parquet", *COLUMNS, "--out", "never.shortlist", *options, cwd=folder)
    assert done.returncode == 1, done.stderr
    assert message in done.stderr
    assert "hint: " in done.stderr
    assert not (folder / "never.shortlist").exists()


def test_a_random_part_would_hold_what_yesterday_learned(folder: Path, tuesday: dict[str, object]) -> None:
    untimed = (
        "--query",
        "reader",
        "--candidate",
        "book",
        "--warm-start",
        "monday.shortlist",
        "--out",
        "never.shortlist",
    )
    done = shortlist("train", "tuesday.parquet", *untimed, cwd=folder)
    assert done.returncode == 1
    assert "was trained on" in done.stderr
    timed = shortlist(
        "train", "tuesday.parquet", *COLUMNS, "--warm-start", "tuesday.shortlist", "--test", "0.5", "--set", "fit.epochs=1",
        "--out", "early.shortlist", "--again", cwd=folder,
    )  # fmt: skip
    assert timed.returncode == 0, timed.stderr
    assert "no later than" in timed.stderr


def test_the_same_day_again_is_refused(folder: Path, tuesday: dict[str, object]) -> None:
    """Of a link that serves it, of an older day, and of a start from its own result; --again does it nevertheless."""
    before = os.readlink(folder / "current")
    out = ("--out", "again.shortlist", "--set", "fit.epochs=1", "--overwrite")
    into = ("--promote", "current")
    refused = {
        ("tuesday.parquet", "--recipe", "factorization", *into): "serves a bundle of these very data",
        ("monday.parquet", "--recipe", "factorization", *into): "the data end at 9, no later than",
        ("tuesday.parquet", "--warm-start", "tuesday.shortlist"): "was made from these very data",
    }
    for (table, *options), message in refused.items():
        done = shortlist("train", table, *COLUMNS, *options, *out, cwd=folder)
        assert done.returncode == 1, done.stderr
        assert message in " ".join(done.stderr.split())
        assert "--again" in done.stderr
        assert not (folder / "again.shortlist").exists()
    assert os.readlink(folder / "current") == before


def test_a_gate_compares_with_what_the_link_serves(folder: Path, tuesday: dict[str, object]) -> None:
    """The training started from Monday's bundle and the link serves Tuesday's."""
    promoted = shortlist("promote", "tuesday.shortlist", "current", cwd=folder)
    assert promoted.returncode == 0, promoted.stderr
    done = shortlist(
        "train", "tuesday.parquet", *COLUMNS, "--warm-start", "monday.shortlist", "--again", "--out", "third.shortlist",
        "--set", "fit.epochs=1", "--promote", "current", "--promote-if", "top_5 >= yesterday + 1", "--json", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    served = sl.Recommender.load(folder / "tuesday.shortlist").fingerprint
    assert json.loads(done.stdout)["since"]["before"]["fingerprint"] == served
    assert os.readlink(folder / "current") == "tuesday.shortlist"


def test_a_second_run_of_a_link_waits_for_nothing(folder: Path, tuesday: dict[str, object]) -> None:
    """It is refused while another one holds the lock; a rollback is not."""
    with alone(folder / "current"):
        words = ("train", "tuesday.parquet", *COLUMNS, "--out", "second.shortlist", "--promote", "current")
        done = Context().run(shortlist, *words, cwd=folder)  # as another process: it does not hold this one's lock
        promoted = Context().run(shortlist, "promote", "tuesday.shortlist", "current", cwd=folder)
        back = Context().run(shortlist, "rollback", "current", "--list", cwd=folder)
    for refused in (done, promoted):
        assert refused.returncode == 1
        assert "another run for 'current' is in progress" in refused.stderr
    assert back.returncode == 0
    assert not (folder / "second.shortlist").exists()


def test_the_opponent_is_what_the_link_serves_even_if_training_started_from_the_link(
    folder: Path, tuesday: dict[str, object]
) -> None:
    """The link was turned while the training ran."""
    link = folder / "turning"
    link.symlink_to("monday.shortlist")
    daily = Daily(link, False, 7.0, (), link)
    assert daily.yesterday is not None
    assert daily._opponent() is daily.yesterday
    link.unlink()
    link.symlink_to("tuesday.shortlist")
    opponent = daily._opponent()
    assert opponent is not None
    assert opponent.fingerprint == sl.Recommender.load(folder / "tuesday.shortlist").fingerprint
    link.unlink()
    assert daily._opponent() is daily.yesterday
