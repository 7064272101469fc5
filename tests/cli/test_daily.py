"""A simulated week: a killed, a repeated, a late and a bad day end as a week in which nothing went wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from contextvars import Context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from tests.cli.typed import Done, shortlist
from tests.store.faults import files_up_to

import shortlist as sl
from shortlist.cli import daily
from shortlist.cli.daily_config import OURS
from shortlist.recommender.manifest import MANIFEST, decoded
from shortlist.recommender.promotion import alone, promotions

DEPLOY = Path(__file__).parents[2] / "deploy"
DAYS = [f"2026-11-{day:02}" for day in range(23, 30)]
CONFIG = """
link = "models/current"
warm_start = true
promote_if = ["top_10 >= yesterday - 0.2", "top_10 >= 0.3"]
least_new = 0.5
keep = 3

[train]
interactions = "tables/{day}.parquet"
query = "reader"
candidate = "book"
time = "at"
recipe = "factorization"
index = "exact"
checkpoint_every = "20steps"
force = true
set = ["fit.epochs=8", "fit.batch_size=64", "model.dim=16"]
"""


def log(day: int, broken: bool = False) -> pl.DataFrame:
    """The log up to a day: sixty readers in two camps, each of whom takes two new books of the camp's thirty a day; broken, of
    all sixty."""
    readers, days = np.arange(60), day + 5
    order = np.random.default_rng(7).permuted(np.tile(np.arange(30), (60, 1)), axis=1)[:, : 2 * days]
    books = 2 * order + (readers % 2)[:, None]
    if broken:
        books = np.random.default_rng(8).permuted(np.tile(np.arange(60), (60, 1)), axis=1)[:, : 2 * days]
    return pl.DataFrame(
        {
            "reader": [f"r{one}" for one in np.repeat(readers, 2 * days)],
            "book": [f"b{one}" for one in books.ravel()],
            "at": np.tile(24 * np.repeat(np.arange(days), 2) + np.tile([9, 17], days), 60),
        }
    ).sort("at", maintain_order=True)


class Week:
    """A folder with a configuration, tables of days, and what the runs said."""

    def __init__(self, place: Path, config: str = CONFIG) -> None:
        self.place = place
        (place / "tables").mkdir(parents=True)
        (place / "daily.toml").write_text(config)

    def arrives(self, day: int, frame: pl.DataFrame | None = None) -> None:
        (log(day) if frame is None else frame).write_parquet(self.place / "tables" / f"{DAYS[day]}.parquet")

    def run(self, day: int, *options: str) -> Done:
        return shortlist("daily", "daily.toml", "--day", DAYS[day], *options, cwd=self.place)

    def ends(self, day: int, code: int, status: str, *options: str) -> dict[str, Any]:
        """Run a day; it must end so, and say so in the last line."""
        done = self.run(day, *options)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        assert said["status"] == status
        assert said["day"] == DAYS[day]
        return said

    @property
    def served(self) -> str | None:
        link = self.place / "models" / "current"
        return os.readlink(link).removesuffix(".shortlist") if link.is_symlink() else None

    def learned(self) -> dict[str, str]:
        """A digest of what every promoted bundle that is still there has learned, by day."""
        folder = self.place / "models"
        names = [one.bundle for one in promotions(folder / "current")]
        return {name: decoded(folder / name / MANIFEST).training for name in names if (folder / name).is_dir()}


@pytest.fixture(scope="module")
def clean_week(tmp_path_factory: pytest.TempPathFactory) -> Week:
    week = Week(tmp_path_factory.mktemp("clean"))
    for day in range(7):
        week.arrives(day)
        said = week.ends(day, 0, "promoted")
        assert week.served == DAYS[day]
        assert said["interactions"] == 120 * (day + 5)
        assert said["until"] == 24 * (day + 4) + 17
        assert said["figures"] or day == 0
    return week


STOPS = [
    "shortlist.data.dataset.Dataset.__init__",  # while the table is read
    "shortlist.train.checkpoints.Keeper.write",  # at the first checkpoint
    "shortlist.train.checkpoints.Best.restore",  # when the last epoch has ended
    "shortlist.recommender.recommender.Recommender.save",
    "shortlist.recommender.bundle.add_metadata",  # when the bundle is there, before its figures are
    "shortlist.cli.daily._promote",
    "shortlist.cli.daily.cleaned",  # when it is promoted
]


def killed(week: Week, day: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a day again and again, each time killed at a later step; the link is turned once, by a whole bundle."""
    for number, stop in enumerate(STOPS):
        with monkeypatch.context() as patched:
            patched.setattr(stop, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            done = week.run(day)
        assert done.returncode == 130, (stop, done.stderr)
        expected = DAYS[day] if number + 1 == len(STOPS) else DAYS[day - 1]
        assert week.served == expected, stop
        sl.Recommender.load(week.place / "models" / "current")


def test_a_week_in_which_everything_goes_wrong_ends_as_a_clean_one(
    clean_week: Week, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    week = Week(tmp_path / "troubled")
    turned: list[str | None] = []

    def noted() -> None:
        if week.served not in turned:
            turned.append(week.served)

    week.arrives(0)
    week.ends(0, 0, "promoted")
    noted()
    week.arrives(1)
    week.ends(1, 0, "promoted")
    noted()
    week.ends(1, 0, "done")  # the same day, again
    week.ends(0, 0, "older")
    noted()
    week.arrives(2)
    killed(week, 2, monkeypatch)
    week.ends(2, 0, "done")
    noted()
    late = week.ends(3, 4, "waiting")  # the table of that day is late
    assert "there are no data of 2026-11-26" in late["error"]
    noted()
    week.arrives(3)
    week.ends(3, 0, "promoted")  # the run of the day that was late
    noted()
    week.arrives(4)
    before = {entry.name for entry in (week.place / "models").iterdir()}
    for size, says in ((0, "lock"), (300, "queries.parquet"), (1_500, "bundle")):  # the disk is full, ever later
        with files_up_to(size):
            assert says in week.ends(4, 1, "failed")["error"]
        assert week.served == DAYS[3]
        assert {entry.name for entry in (week.place / "models").iterdir()} - before <= {".current.runs"}
    week.ends(4, 0, "promoted")
    noted()
    week.arrives(5, log(4))  # yesterday's table under today's name
    assert "made from these very data" in week.ends(5, 4, "waiting")["error"]
    week.arrives(5, log(5).filter(~((pl.col("at") > 24 * 9) & (pl.int_range(pl.len()) % 5 > 0))))  # a fifth of the day
    assert "at least 50% of that was expected" in week.ends(5, 4, "waiting")["error"]
    week.arrives(5, log(5, broken=True))
    week.ends(5, 3, "refused")
    week.ends(5, 3, "refused")
    noted()
    week.arrives(5)  # mended
    week.ends(5, 0, "promoted")
    noted()
    week.arrives(6)
    week.ends(6, 0, "promoted")
    noted()

    assert turned == DAYS  # one after another: nothing was promoted that should not be
    assert week.learned() == clean_week.learned()  # to the last bit
    assert list(week.learned()) == [f"{day}.shortlist" for day in DAYS[-3:]]  # keep = 3
    left = {entry.name for entry in (week.place / "models").iterdir()}
    assert left == {entry.name for entry in (clean_week.place / "models").iterdir()}
    assert left == {
        "current", "current.promoted.json", ".current.daily.json", ".current.lock", *(f"{day}.shortlist" for day in DAYS[-3:]),
    }  # fmt: skip


def test_a_day_with_late_rows_is_trained_again_on_purpose(clean_week: Week, tmp_path: Path) -> None:
    """From the bundle of the day before, into a bundle of its own; and a rollback is not undone by the next run of the day."""
    week = Week(tmp_path / "late")
    shutil.rmtree(week.place)
    shutil.copytree(clean_week.place, week.place, symlinks=True)
    more = pl.concat(
        [log(6), pl.DataFrame({"reader": ["r1"], "book": ["b61"], "at": [24 * 10 + 9]}).cast({"at": pl.Int64})]
    )
    week.arrives(6, more)
    week.ends(6, 0, "done")
    said = week.ends(6, 0, "promoted", "--again")
    assert week.served == f"{DAYS[6]}-2"
    assert said["interactions"] == 120 * 11 + 1
    models = week.place / "models"
    rolled = shortlist("rollback", "models/current", cwd=week.place)
    assert rolled.returncode == 0, rolled.stderr
    assert week.served == DAYS[6]
    week.ends(6, 0, "done")
    assert week.served == DAYS[6]
    again = sl.Recommender.load(models / f"{DAYS[6]}-2.shortlist")
    before = sl.Recommender.load(models / f"{DAYS[6]}.shortlist")
    assert again.metadata["since"]["before"]["fingerprint"] == before.fingerprint
    assert again.metadata["run"]["daily"]["day"] == DAYS[6]


def test_two_runs_at_once(clean_week: Week) -> None:
    with alone(clean_week.place / "models" / "current"):
        done = Context().run(clean_week.run, 6)
    assert done.returncode == 5
    assert json.loads(done.stdout)["status"] == "busy"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("keep = 3", "kepe = 3"), "'kepe' is not known"),
        (('time = "at"', 'tiem = "at"'), "'tiem', which shortlist train does not have"),
        (('time = "at"', 'out = "x"'), "'out', which shortlist daily sets itself"),
        (('query = "reader"', ""), "[train] has no 'query'"),
        (("keep = 3", "keep = 0"), "keep is 0"),
        (("keep = 3", 'keep = "3"'), "Expected `int`"),
        (("[train]", "[train"), "cannot be read"),
    ],
)
def test_a_configuration_that_cannot_work(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    week = Week(tmp_path / "week", CONFIG.replace(*change))
    done = week.run(0)
    assert done.returncode == 1, done.stderr
    assert message in " ".join(done.stderr.split())
    said = json.loads(done.stdout)
    assert said["status"] == "failed"
    assert message in said["error"]
    assert not (week.place / "models").exists()


def test_a_day_that_is_none(tmp_path: Path) -> None:
    week = Week(tmp_path / "week")
    done = shortlist("daily", "daily.toml", "--day", "today", cwd=week.place)
    assert done.returncode == 1
    assert "a day such as 2026-11-28" in " ".join(done.stderr.split())


def test_the_cron_job_of_kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command, with its configuration; only the places are others, the table is a small one, and no day ends meanwhile."""
    monkeypatch.setattr("shortlist.cli.daily.day_named", lambda asked: asked or DAYS[1])
    parts = list(yaml.safe_load_all((DEPLOY / "kubernetes/training.yaml").read_text()))
    config, job = parts
    container = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    text = (
        config["data"]["daily.toml"]
        .replace("/models", str(tmp_path / "models"))
        .replace("/data", str(tmp_path / "data"))
    )
    for name in ("models", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "daily.toml").write_text(text + 'recipe = "factorization"\nset = ["fit.epochs=1"]\nforce = true\n')
    renamed = {"reader": "user_id", "book": "item_id", "at": "timestamp"}
    log(1).rename(renamed).write_parquet(tmp_path / "data/interactions.parquet")
    words = [word.replace("/config", str(tmp_path)) for word in container["command"]]
    assert words[0] == "shortlist"
    first = shortlist(*words[1:], cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout.splitlines()[-1])["status"] == "promoted"
    assert list((tmp_path / "models/current/model").glob("*.onnx"))
    again = shortlist(*words[1:], cwd=tmp_path)
    assert json.loads(again.stdout)["status"] == "done"
    rules = job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert rules[0]["onExitCodes"]["values"] == [3, 4, 5]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_the_script_for_cron(clean_week: Week, tmp_path: Path) -> None:
    """Run by a shell: a day that is done, and one without data, are no reason for cron to write a mail; an error is."""
    shim = tmp_path / "shortlist"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m shortlist "$@"\n')
    shim.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SHORTLIST_LOG": str(tmp_path / "logs" / "daily" / "log.jsonl"),  # a folder that is not there
    }
    codes = []
    for words in ((DAYS[6], "daily.toml"), ("2026-12-24", "daily.toml"), (DAYS[6], "nothing.toml")):
        command = ["sh", str(DEPLOY / "cron/daily.sh"), words[1], "--day", words[0]]
        done = subprocess.run(
            command, cwd=clean_week.place, env=environment, capture_output=True, text=True, check=False
        )
        codes.append((done.returncode, "exit code" in done.stderr))
    assert codes == [(0, False), (0, False), (1, True)]
    lines = [json.loads(line) for line in (tmp_path / "logs/daily/log.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines] == ["done", "waiting", "failed"]
    with suppress(FileNotFoundError):
        assert json.loads((clean_week.place / "models/.current.daily.json").read_text()) == {"promoted": DAYS[6]}


@pytest.mark.parametrize("page", ["guides/daily.md", "ko/guides/daily.md"])
def test_the_page_names_every_option_that_the_loop_sets(page: str) -> None:
    row = next(
        line for line in (DEPLOY.parent / "docs" / page).read_text("utf-8").splitlines() if "| `[train]` |" in line
    )
    named = re.findall(r"`([a-z-]+)`", row[row.index("`out`") :])
    assert sorted(named) == sorted(OURS)


@pytest.mark.parametrize(
    ("conditions", "left_out"),
    [
        (["top_100 >= yesterday - 2%", "churn_10 <= 0.6"], True),  # those of the page
        (["ndcg_10 >= 0.01", "recall_10 >= 0.01", "top_7 >= 0.01"], True),
        (["top_5 >= 0"], False),
    ],
)
def test_the_first_day_leaves_out_what_cannot_be_measured_yet(
    tmp_path: Path, conditions: list[str], left_out: bool
) -> None:
    week = Week(tmp_path, re.sub(r"promote_if = .*", f"promote_if = {json.dumps(conditions)}", CONFIG))
    week.arrives(0)
    done = week.run(0)
    assert (done.returncode, week.served) == (0, DAYS[0]), done.stderr
    assert ("are left out today" in done.stderr) == left_out
    week.arrives(1)
    assert "are left out today" not in week.run(1).stderr


@pytest.mark.parametrize(
    ("recipe", "has"),
    [
        ("factorization", True), ("als", False), ("auto", False), ({"ranker": {}}, False), ({"joined": [{"weight": 0.5}]}, False),
        ({"towers": "popularity"}, False), ({}, True),
    ],
)  # fmt: skip
def test_a_training_of_several_models_has_no_steps_to_resume(tmp_path: Path, recipe: Any, has: bool) -> None:
    plan: Any = SimpleNamespace(train={"recipe": recipe}, folder=tmp_path)
    assert daily._has_steps(plan, None) == has
