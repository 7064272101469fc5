"""Checkpoints: a run that goes on ends bit for bit where the uninterrupted one does, whatever stopped it and when."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.train.short_run import (
    EPOCHS,
    ROWS,
    RUNS,
    SIZE,
    StoppedError,
    assert_same,
    data,
    model,
    rows,
    stopped,
    trained,
)

import shortlist as sl
from shortlist.train import checkpoint_files, checkpoints


@pytest.mark.parametrize("run", RUNS)
def test_a_run_that_goes_on_ends_bit_for_bit_where_the_uninterrupted_one_does(run: str, tmp_path: Path) -> None:
    stopped(run, after=11, folder=tmp_path, every=3)
    stopped(run, after=2, folder=tmp_path, every=3)  # goes on at 9, is stopped at 11 again
    resumed = trained(run, checkpoints=sl.Checkpoints(tmp_path, every=3, resume=True))
    assert_same(trained(run), resumed)


@settings(max_examples=12, deadline=None)
@given(after=st.integers(1, 23), every=st.integers(1, 9))
def test_whatever_the_moment(after: int, every: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Edges of epochs (8, 16) and before the first checkpoint included."""
    folder = tmp_path_factory.mktemp("run")
    stopped("adam", after, folder, every)
    assert_same(trained("adam"), trained("adam", checkpoints=sl.Checkpoints(folder, every=every, resume=True)))


def test_only_the_remaining_examples_are_seen(tmp_path: Path) -> None:
    stopped("plain", after=11, folder=tmp_path, every=5)
    seen = []
    trained(
        "plain", checkpoints=sl.Checkpoints(tmp_path, every=5, resume=True), on_batch=lambda done, _: seen.append(done)
    )
    assert (
        seen[0] == ROWS + 3 * SIZE
    )  # ten batches were done: eight of the first epoch, two of the second; this is the third
    assert len(seen) == 24 - 10
    assert seen[-1] == EPOCHS * ROWS


def test_early_stopping_remembers_its_best(tmp_path: Path) -> None:
    whole = data()
    train, validation = sl.split_random(whole, test=0.2, seed=1)

    def run(**options):
        made = model()
        task = {"optimizer": sl.Adam(0.05), "patience": 2, "ks": (1, 5)}
        return made, sl.fit(
            made, train, validation=validation, epochs=12, batch_size=SIZE, seed=3, **{**task, **options}
        )

    wanted = run()
    assert wanted[1].stopped_early  # else there is nothing to remember
    epochs = 0

    def count(epoch) -> None:
        nonlocal epochs
        epochs += 1
        if epochs == len(wanted[1]):
            raise StoppedError

    settings_of_run = {"checkpoints": sl.Checkpoints(tmp_path, every=2, resume=True)}
    with pytest.raises(StoppedError):
        run(on_epoch=count, **settings_of_run)
    resumed = run(**settings_of_run)
    assert (resumed[1].best, resumed[1].stopped_early) == (wanted[1].best, True)
    assert_same(wanted, resumed)


def test_shards_go_on_too(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    rows().write_parquet(tmp_path / "log/one.parquet")
    shards = sl.Shards.encode(tmp_path / "log", tmp_path / "shards", query="user", candidate="item")

    def run(**options):
        made = model()
        return made, sl.fit(made, shards, epochs=2, batch_size=SIZE, **options)

    def stop(done: int, total: int) -> None:
        if done > ROWS + SIZE:
            raise StoppedError

    keeping = sl.Checkpoints(tmp_path / "run", every=3, resume=True)
    with pytest.raises(StoppedError):
        run(checkpoints=keeping, on_batch=stop)
    assert_same(run(), run(checkpoints=keeping))


def test_more_epochs_may_be_asked_for(tmp_path: Path) -> None:
    short = sl.Checkpoints(tmp_path, every=8)
    trained("adam", checkpoints=short)
    longer = model()
    keeping = sl.Checkpoints(tmp_path, every=8, resume=True)
    history = sl.fit(longer, data(), epochs=5, batch_size=SIZE, optimizer=sl.Adam(0.01), checkpoints=keeping)
    wanted = model()
    assert_same((wanted, sl.fit(wanted, data(), epochs=5, batch_size=SIZE, optimizer=sl.Adam(0.01))), (longer, history))


def test_a_checkpoint_of_an_earlier_version_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That wrote the loss and the negatives as words, and all their options loose."""
    of_now = checkpoints._plain

    def of_then(value):
        plain = of_now(value)
        if isinstance(value, dict) and "task" in value:
            loose = {"exponent": 1.0, "margin": 0.8, "negative_weight": 1.0, "correct_positive": True}
            loose |= {"label_smoothing": 0.0, "sampled": 8, "sample_power": 0.0}
            plain["task"] |= {"loss": "softmax", "negatives": "mixed", **loose}
        return plain

    with monkeypatch.context() as earlier:
        earlier.setattr(checkpoints, "_plain", of_then)
        stopped("sampled", after=11, folder=tmp_path, every=3, seed=3)
    resumed = trained("sampled", checkpoints=sl.Checkpoints(tmp_path, every=3, resume=True), seed=3)
    assert_same(trained("sampled", seed=3), resumed)
    other = {"task": sl.Retrieval(negatives=sl.Mixed(9), log_q="counts"), "seed": 3}
    with pytest.raises(sl.ConfigError, match=r"task\.negatives\.number was 8 and is 9"):
        trained("sampled", checkpoints=sl.Checkpoints(tmp_path, every=3, resume=True), **other)


def test_fewer_epochs_than_were_done_are_refused(tmp_path: Path) -> None:
    trained("plain", checkpoints=sl.Checkpoints(tmp_path, every=1))
    with pytest.raises(sl.ConfigError, match=r"is in epoch 3; this run has\s+epochs=2"):
        sl.fit(model(), data(), epochs=2, batch_size=SIZE, checkpoints=sl.Checkpoints(tmp_path, resume=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 7}, "seed was 42 and is 7"),
        ({"batch_size": 32}, "batch_size was 64 and is 32"),
        ({"optimizer": sl.Adagrad(0.2)}, "optimizer.learning_rate was 0.1 and is 0.2"),
        ({"optimizer": sl.SGD()}, "optimizer.kind was 'Adagrad' and is 'SGD'"),
        ({"task": sl.Retrieval(temperature=0.5)}, "task.temperature was 1.0 and is 0.5"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_with_what_differs(options, message: str, tmp_path: Path) -> None:
    stopped("plain", after=4, folder=tmp_path, every=2)
    settings_of_run = {"epochs": EPOCHS, "batch_size": SIZE, **options}
    with pytest.raises(sl.ConfigError, match=message):
        sl.fit(model(), data(), checkpoints=sl.Checkpoints(tmp_path, resume=True), **settings_of_run)


def test_other_data_are_refused(tmp_path: Path) -> None:
    stopped("plain", after=4, folder=tmp_path, every=2)
    other = sl.Dataset(rows().reverse(), query="user", candidate="item")  # the same rows in another order
    with pytest.raises(sl.ConfigError, match=r"data\.digest was"):
        sl.fit(model(), other, epochs=EPOCHS, batch_size=SIZE, checkpoints=sl.Checkpoints(tmp_path, resume=True))


def test_a_folder_with_checkpoints_is_not_taken_over_silently(tmp_path: Path) -> None:
    stopped("plain", after=4, folder=tmp_path, every=2)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(sl.ConfigError, match="has the checkpoints of a run"):
        trained("plain", checkpoints=sl.Checkpoints(tmp_path, every=2))
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("at", ["write_tensors", "os.replace"])
def test_a_full_disk_leaves_the_last_good_one_and_training_goes_on(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    spot = os if at == "os.replace" else checkpoint_files
    real = getattr(spot, at.removeprefix("os."))

    def full(*arguments):
        nonlocal calls
        calls += 1
        if calls > (2 if at == "os.replace" else 1):  # the first checkpoint, of two renames, finds room
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(spot, at.removeprefix("os."), full)
    with pytest.warns(
        sl.ShortlistWarning, match=r"could not be written.*No space left.*last good checkpoint is step 6"
    ):
        made = trained("adam", checkpoints=sl.Checkpoints(tmp_path, every=6))
    monkeypatch.undo()
    assert checkpoint_files.steps_of(tmp_path) == [6]
    assert not list(tmp_path.glob(".writing-*"))
    assert_same(trained("adam"), made)
    assert_same(made, trained("adam", checkpoints=sl.Checkpoints(tmp_path, every=6, resume=True)))


def test_ctrl_c_says_where_to_go_on_from(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done > 5 * SIZE:
            raise KeyboardInterrupt

    with (
        pytest.warns(sl.ShortlistWarning, match="interrupted. The last good checkpoint is step 4"),
        pytest.raises(KeyboardInterrupt),
    ):
        trained("plain", checkpoints=sl.Checkpoints(tmp_path, every=2), on_batch=interrupt)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every=0"),
        ({"every": 2.5}, "every=2.5"),
        ({"keep": 0}, "keep=0"),
        ({"minutes": 0}, "minutes=0"),
        ({"minutes": float("inf")}, "minutes=inf"),
    ],
)
def test_options_that_cannot_be(options, message: str, tmp_path: Path) -> None:
    with pytest.raises(sl.ConfigError, match=message):
        sl.Checkpoints(tmp_path, **options)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(sl.ConfigError, match="which is a file"):
        sl.Checkpoints(tmp_path / "run")


def test_time_is_a_measure_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by a minute whenever it is looked at: a checkpoint every third batch."""
    now = iter(range(0, 10**6, 60))
    monkeypatch.setattr("shortlist.train.checkpoints.time.monotonic", lambda: float(next(now)))
    trained("plain", checkpoints=sl.Checkpoints(tmp_path, minutes=3, keep=100))
    steps = checkpoint_files.steps_of(tmp_path)
    assert steps == list(range(3, 25, 3))


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
import shortlist as sl
from tests.train.short_run import trained
folder, after = Path(sys.argv[1]), int(sys.argv[2])
batches = 0
def count(done, total):
    global batches
    batches += 1
    if batches == after:
        os.kill(os.getpid(), signal.SIGKILL)
trained("adam", checkpoints=sl.Checkpoints(folder, every=1, resume=True), on_batch=count)
"""


def test_kill_nine_costs_nothing(tmp_path: Path) -> None:
    """Killed within the first epoch, at the edge of the second, and after; each time another process goes on."""
    child = CHILD.format(root=str(Path(__file__).parents[2]))
    for after in (3, 6, 9):
        done = subprocess.run([sys.executable, "-c", child, str(tmp_path), str(after)], env=os.environ, check=False)
        assert done.returncode == -signal.SIGKILL
    assert_same(trained("adam"), trained("adam", checkpoints=sl.Checkpoints(tmp_path, every=1, resume=True)))


def test_a_run_that_began_from_another_model_is_refused(tmp_path: Path) -> None:
    monday, tuesday = trained("plain")[0], trained("plain", seed=1)[0]
    beginning = sl.WarmStart(monday)
    stopped("plain", 3, tmp_path, 2, warm_start=beginning)
    going_on = sl.Checkpoints(tmp_path, every=2, resume=True)
    for warm, told in (
        (tuesday, "started from the model 'weights [0-9a-f]{8}'; this one starts from the model 'weights"),
        (None, "this one starts from nothing"),
        (sl.WarmStart(monday, fingerprint="0123456789abcdef0123"), "starts from the model '0123456789abcdef'"),
        (sl.WarmStart(monday, only_new=True), "with only_new and half_life=7"),
    ):
        with pytest.raises(sl.ConfigError, match=told):
            trained("plain", warm_start=warm, checkpoints=going_on)
    whole, _ = trained("plain", warm_start=beginning)
    again, _ = trained("plain", warm_start=monday, checkpoints=going_on)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
