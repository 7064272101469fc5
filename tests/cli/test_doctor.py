"""`shortlist doctor`: true on this machine, and useful where something is missing."""

from __future__ import annotations

import json
import sys

import torch
from click.testing import CliRunner

import shortlist as sl
from shortlist.cli import doctor


def run(*options: str) -> str:
    result = CliRunner().invoke(doctor.command, options)
    assert result.exit_code == 0, result.output
    return result.output


def test_says_what_is_here():
    text = run()
    assert sl.__version__ in text
    assert torch.__version__ in text
    assert "BruteForce  ready" in text
    found = json.loads(run("--json"))
    assert found["training"]["threads"] == torch.get_num_threads()
    assert found["indexes"]["Faiss"] == "ready"
    assert f"torch {torch.__version__}" in found["extras"]["train"].split(", ")
    assert "dev" not in found["extras"]


def test_no_line_is_wider_than_a_terminal_but_for_words_that_are():
    text = run()
    assert all(len(line) <= 80 or len(line.split()) <= 2 or "/" in line for line in text.splitlines())
    assert text.count("onnxscript") == 1
    assert "".join(text.split()).count("".join(doctor.examine()["extras"]["export"].split())) == 1


def test_says_what_is_missing_and_the_line_that_brings_it(monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(doctor, "_version", lambda package: "–")
    monkeypatch.setattr("shortlist.index.scann.scann_trouble", lambda: "ScaNN has no wheel for this machine")
    found = doctor.examine()
    assert 'pip install "shortlist[train]"' in found["training"]["torch"]
    assert found["extras"]["faiss"] == 'lacks faiss-cpu: pip install "shortlist[faiss]"'
    assert found["indexes"]["ScaNN"] == "cannot run: ScaNN has no wheel for this machine"


def test_an_extra_of_extras_is_flat(monkeypatch):
    lines = [
        'torch>=2.4; extra == "train"',
        'shortlist[train]; extra == "export"',
        'onnx>=1.16; extra == "export"',
        'pytest; extra == "dev"',
        "polars>=1",
    ]
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda package: lines)
    assert doctor._requirements() == {"train": ["torch"], "export": ["torch", "onnx"]}


def test_without_torch_nothing_imports_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    assert "not installed" in doctor.examine()["training"]["torch"]
