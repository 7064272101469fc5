"""The picture of a curve: where its points are, by hand."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from shortlist.tuning.picture import curve_svg

SVG = "{http://www.w3.org/2000/svg}"


def measured(backend: str = "scann") -> dict[str, Any]:
    """Recall from 0.5 to 1 and a time from 0.1 to 10 ms span the picture: 540 wide from 70, 350 high from 56."""
    points = [
        {"recall": {"mean": 0.5}, "milliseconds": 0.1, "keeps": False},
        {"recall": {"mean": 1.0}, "milliseconds": 1.0, "keeps": True},
    ]
    return {
        "curves": {"exact": [], "scann": points},
        "chosen": {
            "backend": backend,
            "milliseconds": 1.0,
            "exact_milliseconds": 10.0,
            "recalls": [{"k": 10, "mean": 1.0}],
        },
        "recall": 0.9,
        "k": 10,
        "candidates": 3000,
        "dim": 8,
        "reason": "fastest & kept",
    }


def circles(svg: str) -> list[tuple[float, float, float]]:
    found = ElementTree.fromstring(svg).iter(f"{SVG}circle")
    return [tuple(float(one.attrib[name]) for name in ("cx", "cy", "r")) for one in found]  # type: ignore[misc]


def test_points_are_where_their_figures_say() -> None:
    svg = curve_svg(measured())
    assert circles(svg) == [(70, 406, 3.5), (610, 231, 3.5), (610, 231, 8)]  # the ring is around the chosen one
    words = " ".join(ElementTree.fromstring(svg).itertext())
    for word in (
        "Recall@10 and milliseconds a query: 3,000 × 8",
        "fastest & kept",
        "promise 0.9",
        "exact 10 ms",
        "ScaNN",
    ):
        assert word in words
    assert "chosen: 1 ms" in words


def test_an_open_point_does_not_keep_the_promise() -> None:
    fills = [one.attrib["fill"] for one in ElementTree.fromstring(curve_svg(measured())).iter(f"{SVG}circle")]
    assert fills == ["white", "#1f5fbf", "none"]


@pytest.mark.parametrize("curves", [{}, measured()["curves"]])
def test_exact_search_has_no_ring(curves: dict[str, Any]) -> None:
    svg = curve_svg({**measured("exact"), "curves": curves})
    assert "chosen:" not in svg
    assert all(radius == 3.5 for _, _, radius in circles(svg))
