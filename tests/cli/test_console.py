"""What commands say and how: results on stdout, messages on stderr, JSON that every reader takes."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import shortlist as sl
from shortlist.cli import console
from shortlist.language import speaking
from shortlist.train.epochs import Epoch


def test_results_and_messages_go_their_own_ways(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("working")
    console.print_json({"k": 1})
    out, err = capsys.readouterr()
    assert (out, err) == ('{\n  "k": 1\n}\n', "working\n")


@pytest.mark.parametrize("path", ["my.shortlist", "내 모델.shortlist", "it's $HOME.shortlist"])
def test_a_path_can_be_pasted_behind_a_command(path: str) -> None:
    assert shlex.split(f"shortlist serve {console.typed(Path(path))}") == ["shortlist", "serve", path]
    assert console.typed("my.shortlist") == "my.shortlist"


@pytest.mark.parametrize("name", ["current", "the current one"])
def test_a_promotion_is_undone_where_something_came_before(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a command that can be pasted; where there is nothing to go back to, none is named."""
    link = Path(name)
    monkeypatch.chdir(tmp_path)
    for day in ("monday", "tuesday"):
        Path(day).mkdir()
    link.symlink_to("tuesday")
    record = [{"bundle": day, "checksum": "", "at": ""} for day in ("monday", "tuesday")]
    Path(f"{name}.promoted.json").write_text(json.dumps(record[1:]))
    console.say_promoted(link, "tuesday")
    assert capsys.readouterr().err == f"promoted: {name} → tuesday\n"
    Path(f"{name}.promoted.json").write_text(json.dumps(record))
    console.say_promoted(link, "tuesday")
    told, _, command = capsys.readouterr().err.strip().partition("; to undo: ")
    assert told == f"promoted: {name} → tuesday"
    assert shlex.split(command) == ["shortlist", "rollback", name]
    with speaking("ko"):
        console.say_promoted(link, "tuesday")
    assert "승격했습니다" in capsys.readouterr().err


def test_json_has_null_for_numbers_that_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"a": [float("nan"), (1.5, float("-inf"))], "path": Path("é.csv")})
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": [None, [1.5, None]], "path": "é.csv"}
    assert "é" in out


def test_an_epoch_is_a_line() -> None:
    said: list[str] = []
    show = console.epoch_printer(3, said.append)
    show(Epoch(1, loss=4.5, chance=4.6, seconds=2.0, examples=3000))
    show(Epoch(2, loss=4.25, chance=4.6, seconds=1.0, examples=3000, metrics={"top_5": 0.125, "top_10": 0.5}))
    assert said == [
        "epoch 1/3   loss 4.5000 (chance 4.6000)   1,500 examples/s",
        "epoch 2/3   loss 4.2500 (chance 4.6000)   top-5 0.1250  top-10 0.5000   3,000 examples/s",
    ]


def test_lines_in_another_language(capsys: pytest.CaptureFixture[str]) -> None:
    account = sl.Dataset({"user": ["a", "a", "b"], "item": [1, 2, 1]}, "user", "item").account
    with speaking("ko"):
        console.epoch_printer(3)(Epoch(2, loss=4.25, chance=4.6, seconds=1.0, examples=3000, metrics={"top_5": 0.125}))
        console.say_account(account)
        console.show("nothing was promoted")
        lines = list(console.facts([("memory", "1 GB"), ("", ""), ("dim", 32)], "  "))
    out, err = capsys.readouterr()
    assert err.splitlines()[:3] == [
        "에폭 2/3   손실 4.2500 (우연 4.6000)   top-5 0.1250   초당 예시 3,000개",
        "읽은 것: 상호작용 3개, 쿼리 2개, 후보 2개",
        "  같은 쿼리가 다시 고른 것: 0.0%. 가장 많이 고른 쿼리(a)가 전체의 66.7%를 차지합니다",
    ]
    assert out == "승격된 것이 없습니다\n"
    assert lines == ["  메모리  1 GB", "", "  dim     32"]


def test_bars_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    with console.progress("reading") as tick:
        assert tick is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with console.progress("reading") as tick:
        assert tick is not None
        tick(1, 2)


def test_alone_a_command_speaks_and_its_complaint_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    @console.as_one
    def command(text: str) -> None:
        console.say(text)
        raise sl.DataError("no such column.")

    with pytest.raises(sl.DataError, match="no such column"):
        command(text="reading")
    assert capsys.readouterr().err == "reading\n"


def test_accuracies_are_a_table_of_those_measured() -> None:
    figures = {
        "model": {"seen_in": {"top_1": 0.25}, "seen_out": {"top_1": 0.5}},
        "popularity": {"seen_in": {"top_1": 0.125}},
    }
    table = console.accuracy_table(figures)
    cells = [list(column.cells) for column in table.columns]
    assert [column.header for column in table.columns] == ["", "", "top-1"]
    assert list(zip(*cells, strict=True)) == [
        ("model", "seen left in", "0.2500"),
        ("popularity", "seen left in", "0.1250"),
        ("model", "seen excluded", "0.5000"),
    ]


def test_figures_that_fall_are_explained_once() -> None:
    """They leave seen items in: better models put these first. Nothing is said where one of them rises."""
    lines: list[str] = []
    show = console.epoch_printer(4, lines.append)
    for number, (small, large) in enumerate([(0.5, 0.75), (0.25, 0.8), (0.125, 0.75), (0.1, 0.5)], start=1):
        show(Epoch(number, 4.5, 4.6, 2.0, 3000, metrics={"top_5": small, "top_10": large}))
    assert [line.startswith("epoch") for line in lines] == [True, True, True, False, True]
    assert "seen items" in lines[3]


IMPORTING = """
import gc, sys
from shortlist.cli import console
runs = []
gc.callbacks.append(lambda phase, info: runs.append("torch" in sys.modules))
print(console.as_one(lambda: (runs.count(True), gc.isenabled(), gc.get_freeze_count() > 100_000))())
gc.freeze, gc.disable = None, None
print(console.as_one(lambda: True)())
"""


def test_imports_are_not_searched_for_garbage_and_what_follows_is() -> None:
    """No run of the collector begins while torch is imported; where it was imported before, nothing is changed."""
    said = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["(0, True, True)", "True"]


LOADING = """
import sys
from threading import Event, current_thread, main_thread
from shortlist.cli import console

class Watch:
    asked = Event()
    def find_spec(self, name, path=None, target=None):
        if name == "shortlist.recommender":
            self.asked.set()

def load(own=console.load_torch_libraries):
    others = current_thread() is not main_thread() and {"numpy", "polars", "msgspec", "safetensors"} <= set(sys.modules)
    seen.append((others, "torch" in sys.modules, Watch.asked.wait(60)))
    own()

seen = []
sys.meta_path.insert(0, Watch())
console.load_torch_libraries = load
print(console.as_one(lambda: [*seen, "torch" in sys.modules])())
print(console.as_one(lambda: len(seen))())
"""


def test_what_needs_no_torch_is_imported_while_its_libraries_are_loaded() -> None:
    """Once, in a thread, with the libraries of other packages there already."""
    said = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["[(True, False, True), True]", "1"]


def test_a_line_to_install_is_never_divided() -> None:
    """Wherever it begins, so that it can be copied."""
    install = 'pip install "shortlist[train]"'
    for before in range(70):
        lines = list(console.facts([("torch", f"{'x ' * (before // 2)}{'x' * (before % 2)} {install}")]))
        assert any(install in line for line in lines)
        assert all(len(line) <= 80 for line in lines)
