"""Vectors in two dimensions: axes by hand, next to nothing, and methods that are not known."""

from __future__ import annotations

import numpy as np
import pytest

import shortlist as sl
from shortlist.report.projection import projected


def test_projection_finds_the_two_long_axes() -> None:
    """Points on the axes of a cross: 3 long, 2 long and 1 long; variances 18, 8 and 2 of 28."""
    cross = np.array([[3, 0, 0], [-3, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 1], [0, 0, -1]], np.float32) + 7
    projection = projected(cross[:, [2, 0, 1]])
    assert projection.kept == pytest.approx(26 / 28)
    expected = [[3, 0], [-3, 0], [0, 2], [0, -2], [0, 0], [0, 0]]
    assert np.abs(projection.places) == pytest.approx(np.abs(np.array(expected, np.float32)), abs=1e-5)
    assert np.array_equal(projected(cross).places, projected(cross).places)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_projection_of_next_to_nothing(rows: int) -> None:
    assert projected(np.ones((rows, 4), np.float32)).places.tolist() == [[0.0, 0.0]] * rows
    assert projected(np.ones((rows, 1), np.float32)).places.shape == (rows, 2)


def test_projection_refuses_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(sl.ConfigError, match="no projection 'tsne'"):
        projected(np.ones((3, 2), np.float32), "tsne")
    monkeypatch.setitem(__import__("sys").modules, "pacmap", None)
    with pytest.raises(sl.MissingExtraError, match="pacmap"):
        projected(np.ones((3, 2), np.float32), "pacmap")
