"""`python -m benchmarks all` says what is to come, runs all of it whatever fails, and resumes where it was interrupted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.catalogue import BENCHMARKS

from benchmarks import __main__, machine, plan, report

RACES = {"index_5e4": ("--n", "5e4"), "index_1e6": ("--n", "1e6")}
NAMES = ("fit", "zipf", *RACES)


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs `python -m benchmarks all ...` of two benchmarks and two races; returns the exit status and the names that ran.

    Names in `fails` raise, those in `stops` have a side that stopped, one in `interrupts` is cut off by the keyboard.
    """
    monkeypatch.setattr(__main__, "BENCHMARKS", dict.fromkeys(("fit", "zipf")))
    monkeypatch.setattr(__main__, "NAMED", dict.fromkeys(("fit", "zipf")))
    monkeypatch.setattr(__main__.plan, "RACES", RACES)
    monkeypatch.setattr(plan.datasets, "DATA", tmp_path / "data")
    monkeypatch.setattr(report, "keep", lambda result, name: None)
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")  # of no processor

    def run(*options: str, fails=(), stops=(), interrupts=()) -> tuple[int, list[str]]:
        ran = []

        def measure(name: str, *_) -> dict:
            ran.append(name)
            if name in interrupts:
                raise KeyboardInterrupt
            if name in fails:
                raise OSError("no room")
            where = {"processor": "Other", "usable_cores": 1}
            result = {"what": name, "environment": where, "quick": True, "rows": [], "sides": {}, "missing": {}}
            return {**result, "stopped": ["ours"] if name in stops else []}

        def race(command: list[str], **_) -> None:
            name = next(name for name, given in RACES.items() if given[1] in command)
            result = measure(name)
            Path(command[command.index("--json") + 1]).write_text(json.dumps(result))

        monkeypatch.setattr(__main__, "measure", measure)
        monkeypatch.setattr(subprocess, "run", race)
        monkeypatch.setattr(sys, "argv", ["benchmarks", "all", *options])
        return __main__.main(), ran

    return run


def test_all_runs_everything_and_says_so_beforehand(everything, capsys) -> None:
    assert everything() == (0, [*NAMES])
    said = capsys.readouterr().err
    assert said.startswith("4 benchmarks, about 50 minutes on two quiet cores:\n")  # 10 + 2 + 3 + 35
    assert [line.split()[0] for line in said.splitlines()[1:5]] == [*NAMES]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["fails", "stops"])
def test_what_failed_is_what_resume_runs_again(everything, capsys, name: str, how: str) -> None:
    assert everything(**{how: (name,)}) == (1, [*NAMES])
    assert f"failed: {name}; python -m benchmarks all --resume" in capsys.readouterr().err
    assert everything("--resume") == (0, [name])
    assert everything("--resume") == (0, [*NAMES])  # nothing is left of a run that has ended


@pytest.mark.parametrize("at", range(len(NAMES)))
def test_resume_begins_where_it_was_interrupted(everything, at: int) -> None:
    assert everything(interrupts=NAMES[at : at + 1]) == (130, [*NAMES[: at + 1]])
    assert everything("--resume") == (0, [*NAMES[at:]])


@pytest.mark.parametrize("at", range(len(NAMES)))
def test_without_resume_everything_runs_again(everything, at: int) -> None:
    everything(interrupts=NAMES[at : at + 1])
    assert everything() == (0, [*NAMES])


@pytest.mark.parametrize("other", ["version", "processor"])
def test_what_another_version_or_processor_measured_is_run_again(everything, monkeypatch, other: str) -> None:
    everything(interrupts=("index_1e6",))
    if other == "version":
        monkeypatch.setattr(plan.shortlist, "__version__", "0.0.1")
    else:
        monkeypatch.setattr(machine, "folder_of", lambda environment: "other-1-2")
    assert everything("--resume") == (0, [*NAMES])


def test_a_race_that_writes_no_result_has_failed(everything, monkeypatch, capsys) -> None:
    everything()
    monkeypatch.setattr(subprocess, "run", lambda command, **_: None)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "all"])
    assert __main__.main() == 1
    said = capsys.readouterr().err
    assert "benchmarks.index --n 5e4" in said
    assert "failed: index_5e4, index_1e6;" in said


@pytest.mark.parametrize("arguments", [["fit", "--resume"], ["all", "--quick", "--resume"]])
def test_resume_is_of_all_alone(monkeypatch, capsys, arguments: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    with pytest.raises(SystemExit):
        __main__.main()
    assert "--resume continues `all`" in capsys.readouterr().err


def test_everything_has_an_estimate_and_a_measured_one_comes_first(tmp_path: Path) -> None:
    assert {*plan.MINUTES} == {*BENCHMARKS, *plan.RACES}
    folder = tmp_path / machine.folder_of(machine.environment())
    folder.mkdir()
    (folder / "fit.json").write_text(json.dumps({"seconds": 240.0}))
    (folder / "zipf.json").write_text(json.dumps({}))  # of a version that did not note it
    assert plan.announced(["fit", "zipf", "index_1e6"], tmp_path).splitlines() == [
        "3 benchmarks, about 41 minutes on two quiet cores:",
        "  fit                     4 min, as the last time",
        "  zipf                    2 min",
        "  index_1e6              35 min",
    ]


def test_make_bench_writes_every_page_of_results_whatever_failed() -> None:
    """`docs/performance.md` and `docs/indexes.md` are held to the results by tests: new results without new pages would fail them."""
    recipe = (Path(__file__).parents[2] / "Makefile").read_text().split("\nbench:")[1].split("\n\n")[0]
    runs = [line.split("||")[0].split("-m ")[1].strip() for line in recipe.splitlines() if "|| failed=1" in line]
    assert runs == ["benchmarks all $(if $(RESUME),--resume)", "benchmarks docs", "benchmarks.index.page"]
