"""The options of checkpoints on the command line."""

from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

import shortlist as sl
from shortlist.cli.checkpointing import checkpoints_of
from shortlist.cli.train import command


@pytest.mark.parametrize(
    ("every", "wanted"),
    [
        (None, {"minutes": 5.0}),
        ("500steps", {"every": 500}),
        ("1 step", {"every": 1}),
        ("30s", {"minutes": 0.5}),
        ("5min", {"minutes": 5.0}),
        ("1.5h", {"minutes": 90.0}),
    ],
)
def test_how_often(every, wanted) -> None:
    assert checkpoints_of(Path("run"), every, resume=True) == sl.Checkpoints(Path("run"), resume=True, **wanted)


@pytest.mark.parametrize("every", ["500", "often", "-5min", "2.5steps", "0steps", "0min", "5 weeks"])
def test_a_text_that_says_neither_steps_nor_time(every: str) -> None:
    with pytest.raises(sl.ConfigError):
        checkpoints_of(Path("run"), every, resume=False)


@pytest.mark.parametrize(
    ("every", "resume", "named"), [("5min", False, "--checkpoint-every"), (None, True, "--resume")]
)
def test_nothing_without_a_folder(every, resume, named) -> None:
    assert checkpoints_of(None, None, resume=False) is None
    with pytest.raises(sl.ConfigError, match=f"{named} was given without --checkpoint-dir"):
        checkpoints_of(None, every, resume)


def test_train_goes_on(tmp_path: Path) -> None:
    rows = pl.DataFrame({"user": [n % 7 for n in range(90)], "item": [n % 11 for n in range(90)]})
    rows.write_parquet(tmp_path / "rows.parquet")
    run = CliRunner().invoke
    asked = [str(tmp_path / "rows.parquet"), "--query", "user", "--candidate", "item", "--test", "0"]
    asked += ["--set", "fit.batch_size=16", "--set", "fit.epochs=2"]
    keeping = ["--checkpoint-dir", str(tmp_path / "run"), "--checkpoint-every", "4steps"]
    whole = run(command, [*asked, "--out", str(tmp_path / "whole.shortlist"), *keeping])
    assert whole.exit_code == 0
    names = sorted(path.name for path in (tmp_path / "run").glob("*.json"))
    assert names == ["checkpoint-000000008.json", "checkpoint-000000012.json"]
    again = run(command, [*asked, "--out", str(tmp_path / "again.shortlist"), *keeping, "--resume"])
    assert again.exit_code == 0
    users = list(range(7))
    first, second = (sl.Recommender.load(tmp_path / f"{name}.shortlist") for name in ("whole", "again"))
    assert first.fingerprint == second.fingerprint
    assert first.recommend(users, k=3).to_frame().equals(second.recommend(users, k=3).to_frame())
    refused = run(command, [*asked, "--out", str(tmp_path / "third.shortlist"), *keeping])
    assert isinstance(refused.exception, sl.ConfigError)
    assert "has the checkpoints of a run" in str(refused.exception)
