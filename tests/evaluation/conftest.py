"""What tests of ranks share."""

from __future__ import annotations

import pytest

from shortlist.compiled import VARIABLE


@pytest.fixture(params=["1", "0"], ids=["compiled", "torch"])
def counted_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores are counted by the kernel, where there is one, and by torch."""
    monkeypatch.setenv(VARIABLE, request.param)
