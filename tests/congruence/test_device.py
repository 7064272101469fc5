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
def said() -> dict[str, Any]:
    """What the runs print."""
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


def outcomes() -> dict[str, Any]:
    """Of each case."""
    cases: dict[str, Any] = said()["cases"]
    return cases


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
    device = said()["device"]
    assert device["raised"]
    for reason in ("bincount", "boolean mask", "item", "nonzero", "to the processor", "tolist", "unique"):
        assert reason in device["waits"]
