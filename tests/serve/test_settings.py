"""Settings that cannot work are refused, and show no key."""

from __future__ import annotations

from typing import Any

import pytest

from shortlist.serve import Settings

READ, WRITE = "r" * 20, "w" * 20


@pytest.mark.parametrize(
    "options",
    [
        {"keys": ("short",)},
        {"keys": ("é" * 20,)},
        {"keys": (READ,), "write_keys": (READ,), "state": "x"},
        {"write_keys": (WRITE,)},
    ],
)
def test_settings_that_cannot_work(options: dict[str, Any]) -> None:
    from shortlist.errors import ConfigError

    with pytest.raises(ConfigError) as caught:
        Settings(**options)
    assert READ not in str(caught.value)
    assert READ not in repr(Settings(keys=(READ,)))
