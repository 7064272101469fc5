"""The recall–latency curve as a picture: SVG of our own, so that it needs no plotting library."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

__all__ = ["curve_svg"]

_WIDTH, _HEIGHT = 760, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 56, 54
_LINES = {
    "quantized": ("#7a3fa0", "1 3", "Quantized"),
    "scann": ("#1f5fbf", "", "ScaNN"),
    "hnsw": ("#b3541e", "7 4", "Faiss HNSW"),
    "ivfpq": ("#2f7d4f", "2 4", "Faiss IVF-PQ"),
}
_INK, _PALE = "#222222", "#d9d9d9"


def curve_svg(tuning: Mapping[str, Any]) -> str:
    """An SVG of what ``Tuning.to_dict()`` holds: milliseconds a query over recall, each backend a line.

    Up is slower, right finds more; the promise is a vertical line, exact search a horizontal one, the choice a ring.
    """
    curves = {name: points for name, points in tuning["curves"].items() if name != "exact"}
    chosen, exact = tuning["chosen"], tuning["chosen"]["exact_milliseconds"]
    recalls = [point["recall"]["mean"] for points in curves.values() for point in points]
    times = [point["milliseconds"] for points in curves.values() for point in points] + [exact]
    low = math.floor(min([*recalls, tuning["recall"] - 0.05]) * 20) / 20
    frame = _Frame(max(low, 0.0), 10 ** math.floor(math.log10(min(times))), 10 ** math.ceil(math.log10(max(times))))
    parts = [*_axes(frame, tuning), *_level(frame, exact)]
    for row, (name, points) in enumerate(curves.items()):
        parts += _line(frame, name, points, row)
    if chosen["backend"] != "exact":
        recall = next(entry["mean"] for entry in chosen["recalls"] if entry["k"] == tuning["k"])
        x, y = frame.at(recall, chosen["milliseconds"])
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="none" stroke="{_INK}" stroke-width="2"/>')
        parts.append(_text(x, y + 24, f"chosen: {chosen['milliseconds']:.3g} ms", anchor="middle", bold=True))
    title = f"Recall@{tuning['k']} and milliseconds a query: {tuning['candidates']:,} × {tuning['dim']}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
            f'height="{_HEIGHT}" font-family="system-ui, sans-serif" font-size="13" role="img">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(tuning['reason'])}</desc>",
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
            _text(_LEFT, 24, title, bold=True),
            _text(_LEFT, 42, "one query at a time, median; recall on held-out queries"),
            *parts,
            "</svg>",
            "",
        ]
    )


class _Frame:
    """Where a recall and a time are in the picture."""

    def __init__(self, low: float, fast: float, slow: float) -> None:
        self.low, self.fast, self.slow = low, fast, max(slow, 10 * fast)

    def at(self, recall: float, milliseconds: float) -> tuple[float, float]:
        across = (recall - self.low) / (1 - self.low)
        up = math.log(milliseconds / self.fast) / math.log(self.slow / self.fast)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)


def _axes(frame: _Frame, tuning: Mapping[str, Any]) -> Iterable[str]:
    left, bottom = frame.at(frame.low, frame.fast)
    right, top = frame.at(1.0, frame.slow)
    decade = frame.fast
    while decade <= frame.slow * 1.001:
        y = frame.at(frame.low, decade)[1]
        yield _stroke(left, y, right, y, _PALE)
        yield _text(left - 8, y + 4, f"{decade:g}", anchor="end")
        decade *= 10
    step = 0.05 if 1 - frame.low <= 0.5 else 0.1
    for number in range(round((1 - frame.low) / step) + 1):
        recall = 1 - number * step
        x = frame.at(recall, frame.fast)[0]
        yield _stroke(x, bottom, x, top, _PALE)
        yield _text(x, bottom + 18, f"{recall:.2f}", anchor="middle")
    yield _text((left + right) / 2, bottom + 40, f"recall@{tuning['k']}", anchor="middle")
    yield f'<text transform="translate(20 {(top + bottom) / 2:.1f}) rotate(-90)" text-anchor="middle" fill="{_INK}">ms a query</text>'
    x = frame.at(tuning["recall"], frame.fast)[0]
    yield _stroke(x, bottom, x, top, _INK, dash="4 3")
    yield _text(x - 5, top + 14, f"promise {tuning['recall']:g}", anchor="end")


def _level(frame: _Frame, exact: float) -> Iterable[str]:
    left, y = frame.at(frame.low, exact)
    right = frame.at(1.0, exact)[0]
    yield _stroke(left, y, right, y, _INK)
    yield _text(right + 8, y + 4, f"exact {exact:.3g} ms")


def _line(frame: _Frame, name: str, points: Sequence[Mapping[str, Any]], row: int) -> Iterable[str]:
    colour, dash, title = _LINES[name]
    places = [frame.at(point["recall"]["mean"], point["milliseconds"]) for point in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
    for (x, y), point in zip(places, points, strict=True):
        fill = colour if point["keeps"] else "white"
        tip = f"recall {point['recall']['mean']:.4f}, {point['milliseconds']:.3g} ms"
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{fill}" stroke="{colour}"><title>{tip}</title></circle>'
    y = _HEIGHT - _BOTTOM - 14 - 20 * row
    right = _WIDTH - _RIGHT + 8
    yield _stroke(right, y - 4, right + 26, y - 4, colour, dash, 2)
    yield _text(right + 32, y, title)


def _stroke(x: float, y: float, to_x: float, to_y: float, colour: str, dash: str = "", width: float = 1) -> str:
    line = f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{colour}" '
    return f'{line}stroke-width="{width}" stroke-dasharray="{dash}"/>'


def _text(x: float, y: float, content: str, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_INK}"{weight}>{escape(content)}</text>'
