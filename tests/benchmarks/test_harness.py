"""The benchmarks' harness works on small data, says which peers are missing, and the page holds what was measured."""

import json
import sys
from pathlib import Path

import pytest
from benchmarks.catalogue import BENCHMARKS
from benchmarks.harness import Benchmark, Row, Side
from benchmarks.table import table

from benchmarks import __main__, environments, harness, korean, limits, plan, report
from shortlist.loss.kernel import Kernel


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs `python -m benchmarks ...` with no peer installed; returns what it wrote as JSON."""
    monkeypatch.setattr(environments, "ROOT", tmp_path / "peers")
    monkeypatch.setattr(harness, "SETTLE_S", 0)

    def run(*arguments: str) -> dict:
        out = tmp_path / "result.json"
        monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments, "--json", str(out)])
        assert __main__.main() == 0
        return json.loads(out.read_text())

    return run


def test_a_quick_run_measures_ours_and_names_the_missing(bench) -> None:
    result = bench("fit", "--quick")
    assert result["quick"]
    assert set(result["missing"]) == {"tfrs", "keras_rs_tensorflow", "keras_rs_jax", "keras_rs_torch"}
    assert [row["peer_name"] for row in result["rows"]] == list(result["missing"])
    for row in result["rows"]:
        assert row["ours"] > 0
        assert row["holds"] is None
        assert "python -m benchmarks install" in row["missing"][row["peer_name"]]
    assert {"processor", "usable_cores", "memory_gb", "load_at_start"} <= result["environment"].keys()
    assert result["sides"]["ours"]["threads"]["torch"] >= 1
    assert "not measured" in table(result)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["huge_batch", "limits", "als"])
def test_quick_runs_of_ours_alone(bench, name: str) -> None:
    result = bench(name, "--quick")
    assert result["missing"] == {}
    assert all(row["ours"] > 0 for row in result["rows"])


def test_the_calls_of_the_kernel_are_seen_by_a_profile() -> None:
    """Whatever they are called: their share of a step is on the page."""
    plain = {name: vars(Kernel)[name] for name in ("softmax", "update", "takes")}
    with limits._kernel_seen():
        marked = [name for name, call in plain.items() if vars(Kernel)[name] is not call]
    assert marked == ["softmax", "update"]
    assert {name: vars(Kernel)[name] for name in plain} == plain


def fake(compare: str, bar: float | None, ours: list[float], peer: list[float]) -> dict:
    workers = {}
    for name, values in (("ours", ours), ("peer", peer)):
        worker = object.__new__(harness.Worker)
        worker.runs = [{"seconds": value} for value in values]
        workers[name] = worker
    row = Row("work", "seconds", "s", bar, compare, ("peer",) if peer else ())
    return harness._line(row, "peer" if peer else None, workers, {})


@pytest.mark.parametrize(
    ("compare", "bar", "ours", "peer", "ratio", "holds"),
    [
        ("peer/ours", 3, [1, 2, 9], [6, 7, 1], 3, True),  # medians 2 and 6
        ("peer/ours", 3.1, [1, 2, 9], [6, 7, 1], 3, False),
        ("ours/peer", 2, [10], [4, 5, 6], 2, True),
        ("at most", 2, [1, 2, 3], [], None, True),
        ("at most", 1.9, [1, 2, 3], [], None, False),
        ("peer/ours", None, [2], [4], 2, None),
    ],
)
def test_a_row_compares_medians(compare, bar, ours, peer, ratio, holds) -> None:
    row = fake(compare, bar, ours, peer)
    assert (row["ratio"], row["holds"]) == (ratio, holds)
    assert row["spread"]["ours"] == [min(ours), max(ours)]


@pytest.mark.parametrize("name", ["limits", "fit", "curve_batch"])
def test_a_page_is_written_although_our_side_of_a_benchmark_stopped(name: str) -> None:
    read = report.load(report.RESULTS)
    folder = next(folder for folder, one in read.items() if name in one)
    stopped = {**read[folder][name], "sides": {}, "rows": []}
    assert report.page({**read, folder: {**read[folder], name: stopped}})


def test_a_side_that_fails_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    benchmark = Benchmark(
        what="nothing",
        dataset=None,
        data={},
        parameters={},
        sides={"ours": Side("benchmarks.ours", "no_such_side")},
        rows=(Row("nothing", "seconds", "s", 1, "at most"),),
    )
    result = harness.measure("nothing", benchmark, quick=True, runs=1)
    assert "no side `no_such_side`" in result["missing"]["ours"]
    assert result["rows"][0]["ours"] is None
    assert result["stopped"] == ["ours"]


def test_a_side_that_stopped_is_an_error_and_a_peer_that_is_not_installed_is_none() -> None:
    sound = {"missing": {"peer": "its environment is not installed"}, "stopped": []}
    died = {"missing": {"peer": "killed"}, "stopped": ["peer"]}
    assert [harness.exit_status([sound]), harness.exit_status([sound, died])] == [0, 1]
    assert harness.exit_status([{"missing": {"ours": "not installed"}, "stopped": []}]) == 1


def test_all_continues_after_a_benchmark_that_fails(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    result = {"what": "a step", "environment": {"processor": "Other", "usable_cores": 1}, "quick": True, "rows": []}
    result |= {"missing": {"tfrs": "cannot be installed"}, "stopped": [], "sides": {}}

    def measure(name: str, *_) -> dict:
        if name == "fit":
            raise OSError("no room")
        return result

    monkeypatch.setattr(__main__, "BENCHMARKS", dict.fromkeys(("fit", "zipf")))
    monkeypatch.setattr(__main__, "NAMED", dict.fromkeys(("fit", "zipf")))
    monkeypatch.setattr(__main__, "measure", measure)
    monkeypatch.setattr(plan, "QUICK_RACES", {})
    monkeypatch.setattr(sys, "argv", ["benchmarks", "all", "--quick"])
    assert __main__.main() == 1
    said = capsys.readouterr()
    assert "missing: tfrs: cannot be installed" in said.out
    assert "OSError: no room\nfit: not measured, see above" in said.err
    monkeypatch.setattr(sys, "argv", ["benchmarks", "fit", "--quick"])
    with pytest.raises(OSError, match="no room"):
        __main__.main()


def test_a_peer_that_cannot_be_installed_is_tried_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = []

    def call(*command: str) -> None:
        calls.append(command)
        raise environments.MissingPeerError("cannot be installed: no network")

    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "FAILED", {})
    monkeypatch.setattr(environments, "_call", call)
    for _ in range(3):
        with pytest.raises(environments.MissingPeerError, match="no network"):
            environments.peer_python("tfrs", install=True)
    assert len(calls) == 1


def test_install_makes_the_environment_of_every_side(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Those of the index at every size too, of which no benchmark of the catalogue has a side."""
    asked = []
    monkeypatch.setattr(__main__, "peer_python", lambda peer, install: asked.append((peer, install)))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "install"])
    assert __main__.main() == 0
    sides = {side.peer for benchmark in BENCHMARKS.values() for side in benchmark.sides.values() if side.peer}
    assert {peer for peer, _ in asked} == sides | {"index"}
    assert all(install for _, install in asked)
    assert "index: ready" in capsys.readouterr().out


def test_for_every_missed_bar_the_page_says_what_was_tried() -> None:
    said = report.missed(report.load(report.RESULTS))
    assert "nothing yet" not in said


@pytest.mark.parametrize("code", korean.CODES)
def test_the_page_is_what_the_results_say(code: str) -> None:
    """docs/performance.md and its Korean twin are made by `python -m benchmarks docs`, never typed."""
    made = report.page(report.load(report.RESULTS), code)
    assert korean.place(report.DOCS / "performance.md", code).read_text(encoding="utf-8") == made


def test_the_results_have_their_korean() -> None:
    made = report.parts(report.load(report.RESULTS))
    assert [phrase for part in made.values() for phrase in korean.missing(part)] == [], "benchmarks/ko.po"


def test_every_benchmark_has_a_result_and_every_result_its_command() -> None:
    results = report.load_latest(report.RESULTS)
    assert set(BENCHMARKS) <= set(results)
    for name, result in results.items():
        assert not result["quick"], name
        assert result["command"].startswith("python -m benchmarks")


@pytest.mark.parametrize(
    ("processor", "folder"),
    [
        ("AMD EPYC (family 25 model 17)", "amd-epyc-25-17"),
        ("Intel(R) Xeon(R) Processor (family 6 model 167)", "intel-xeon-6-167"),
        ("Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz (family 6 model 158)", "intel-core-i7-9750h-6-158"),
    ],
)
def test_results_are_kept_by_processor(processor: str, folder: str, tmp_path: Path) -> None:
    result = {"environment": {"processor": processor, "date": "2026-01-02"}, "rows": []}
    report.keep(result, "fit.json", tmp_path)
    older = {"environment": {"processor": "Other (family 1 model 2)", "date": "2026-01-01"}, "rows": []}
    report.keep(older, "fit.json", tmp_path)
    assert {path.parent.name for path in tmp_path.glob("*/fit.json")} == {folder, "other-1-2"}
    assert report.load(tmp_path) == {folder: {"fit": result}, "other-1-2": {"fit": older}}
    assert report.load_latest(tmp_path) == {"fit": result}


def test_a_bar_that_was_raised_is_missed_by_what_was_measured_before(tmp_path: Path) -> None:
    row = {"name": "fit", "peer_name": "tfrs", "compare": "peer/ours", "ours": 1.0, "peer": 60.0, "ratio": 60.0}
    row |= {"unit": "s", "bar": 50, "holds": True, "spread": {"ours": [1.0, 1.0], "peer": [60.0, 60.0]}}
    result = {"environment": {"processor": "Other (family 1 model 2)", "date": "2026-01-01"}, "rows": [row]}
    report.keep(result, "fit.json", tmp_path)
    read = report.load(tmp_path)
    (found,) = read["other-1-2"]["fit"]["rows"]
    assert (found["bar"], found["holds"]) == (100, False)
    assert "| fit | tfrs | 100× | 60.0×: 1 s to 60 s (fastest: 60.0×), **missed** |" in report.bars_table(read)
    assert "the bar is 100×" in report.missed(read)
