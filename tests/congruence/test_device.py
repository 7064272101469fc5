"""Ready for a GPU without one: every task, feature, recipe and way to begin on a device that raises where devices are mixed.

The device is torch's PrivateUse1, registered from Python (``pretend.py``); it counts what a GPU would be waited for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.congruence.pretend_runs import CASES

REPOSITORY = Path(__file__).parents[2]
NO_WAIT = {
    "plain",
    "weights",
    "log_q",
    "streaming log_q",
    "shards",
    "validated",
    "resumed",
    "rowwise",
    "linear schedule",
    "bias",
}
AT_MOST_TWO = {"mask_known", "whole catalogue", "recipe factorization"}
ROUNDED = {"bfloat16"}  # only the processor rounds: torch has no autocast for this device


@cache
def outcomes() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.congruence.pretend_runs"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)])},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_case_is_run() -> None:
    assert list(outcomes()) == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_device_gives_what_the_processor_gives(name: str) -> None:
    """And mixes nothing, or there is an error."""
    outcome = outcomes()[name]
    assert "error" not in outcome, outcome["error"]
    assert outcome["found"] == pytest.approx(outcome["expected"], rel=1e-2 if name in ROUNDED else 1e-4)


@pytest.mark.parametrize("name", sorted(NO_WAIT))
def test_no_step_waits_for_the_device(name: str) -> None:
    outcome = outcomes()[name]
    assert outcome["steps"] >= 3
    assert outcome["waits"] == {}


@pytest.mark.parametrize("name", sorted(AT_MOST_TWO))
def test_a_step_that_hides_known_choices_waits_twice(name: str) -> None:
    outcome = outcomes()[name]
    assert outcome["steps"] >= 3
    assert sum(outcome["waits"].values()) <= 2 * outcome["steps"]


def test_mixed_devices_raise_and_waits_are_counted() -> None:
    """The device itself: a comparison that could not fail would prove nothing."""
    code = """
import torch
from tests.congruence.pretend import DEVICE, MixedDevicesError, waits
one, other = torch.ones(3).to(DEVICE), torch.ones(3)
try:
    one + other
except MixedDevicesError:
    print("raised")
with waits() as counted:
    (one * 2).sum().item(); one.cpu(); one.tolist(); one[one > 0]; torch.nonzero(one); torch.unique(one); torch.bincount(one.long())
print(sorted(reason.partition(" at ")[0] for reason in counted.elements()))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300
    )
    said = done.stdout.splitlines()
    assert said[:1] == ["raised"], done.stderr
    for reason in ("bincount", "boolean mask", "item", "nonzero", "to the processor", "tolist", "unique"):
        assert reason in said[1]
