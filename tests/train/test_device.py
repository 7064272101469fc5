"""Which device a run gets, in Python and on the command line: one that is here, or a refusal in words."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch
from tests.cli.typed import shortlist

import shortlist as sl
from shortlist.errors import ConfigError
from shortlist.train.device import check_folders, chosen_device

TABLE = pl.DataFrame({"user": [1, 1, 2, 2, 3], "film": [7, 8, 7, 9, 8]})
WRONG = ["cpuu", "gpu", "CUDA", "", "cuda:x", "meta", "xla", "cuda:99"]
if not torch.cuda.is_available():
    WRONG += ["cuda", "cuda:0"]


def fit(device: object) -> sl.TwoTower:
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=2), sl.Tower(sl.IntegerLookup("film"), dim=2))
    sl.fit(model, sl.Dataset(TABLE, "user", "film"), epochs=1, batch_size=4, device=device)  # type: ignore[arg-type]
    return model


@pytest.mark.parametrize("device", [*WRONG, None, 5, 1.0, ["cpu"]])
def test_fit_refuses_what_is_not_here(device: object) -> None:
    with pytest.raises(ConfigError, match=r"device is"):
        fit(device)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("device", ["auto", "cpu", torch.device("cpu")])
def test_what_is_here_trains(device: object) -> None:
    assert fit(device).device.type in ("cpu", "cuda")


def test_auto_is_the_gpu_where_there_is_one() -> None:
    assert chosen_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_misspelt_name_is_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r'device is \'cpuu\'; "auto", "cpu", "cuda"') as caught:
        chosen_device("cpuu")
    assert "'cpu'" in str(caught.value.hint)


@pytest.mark.parametrize("device", WRONG)
@pytest.mark.parametrize("command", ["train", "plan"])
def test_a_command_ends_in_words_and_writes_nothing(tmp_path: Path, command: str, device: str) -> None:
    TABLE.write_parquet(tmp_path / "log.parquet")
    words = {
        "train": [
            "train",
            "log.parquet",
            "--recipe",
            "factorization",
            "--query",
            "user",
            "--candidate",
            "film",
            "--out",
            "out",
        ],
        "plan": ["plan", "log.parquet", "factorization", "--query", "user", "--candidate", "film"],
    }
    done = shortlist(*words[command], "--device", device, cwd=tmp_path)
    assert done.returncode not in (0, 3)
    assert "Traceback" not in done.stderr
    assert "device is" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["log.parquet"]


def test_tables_in_files_are_refused_on_a_gpu(tmp_path: Path) -> None:
    """They would be in its memory."""
    in_files = sl.Tower(sl.IntegerLookup("film"), dim=2, table_folder=str(tmp_path))
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=2), in_files)
    check_folders(model, torch.device("cpu"))
    with pytest.raises(ConfigError, match=r"the candidate tower has table_folder=.*the run is on 'cuda:1'"):
        check_folders(model, torch.device("cuda", 1))


@pytest.mark.parametrize(
    ("device", "hint"), [("gpu", 'device="cuda"'), ("GPU", 'device="cuda"'), ("gpu:1", 'device="cuda:1"')]
)
def test_a_gpu_is_called_cuda(device: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        chosen_device(device)
    assert hint in str(caught.value.hint)
