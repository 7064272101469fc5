"""Settings that cannot work are refused, and show no key."""

from __future__ import annotations

from typing import Any

import pytest

from shortlist.errors import ConfigError
from shortlist.serve import Settings
from shortlist.serve.settings import Limits

READ, WRITE = "r" * 20, "w" * 20


@pytest.mark.parametrize(
    "options",
    [
        {"keys": ("short",)},
        {"keys": ("é" * 20,)},
        {"keys": (READ,), "write_keys": (READ,), "state": "x"},
        {"write_keys": (WRITE,)},
        {"seen_seconds": float("nan")},
        {"seen_seconds": float("inf")},
        {"seen_seconds": -1.0},
        {"sample": float("nan")},
        {"sample": 1.5},
        {"impression_bytes": 1000},
    ],
)
def test_settings_that_cannot_work(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings(**options)
    assert READ not in str(caught.value)
    assert READ not in repr(Settings(keys=(READ,)))


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", sorted(vars(Limits())))
def test_limits_are_finite_numbers_above_0(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        Limits(**{name: value})
