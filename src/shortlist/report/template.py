"""The frame of a page of HTML: styles, the libraries that draw charts, and the charts' specifications, all in one file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

from shortlist._public import __version__
from shortlist.language import language, translated
from shortlist.report.html import as_json, escaped

__all__ = ["Section", "chart_place", "whole_page"]

LIBRARIES = ("vega", "vega-lite", "vega-embed")


class Section(NamedTuple):
    """One part of the page; ``short`` is its name in the contents."""

    anchor: str
    short: str
    title: str
    body: str


def whole_page(title: str, header: str, contents: str, sections: str, specs: Mapping[str, Any]) -> str:
    """A page that works offline.

    Args:
        title: text for the browser's tab.
        header: HTML above the rest.
        contents: HTML of the links to sections.
        sections: HTML of the body, with a ``chart_place`` for each chart.
        specs: Vega-Lite specifications by the charts' names.
    """
    parts = {
        "title": escaped(title),
        "notices": _notices(),
        "style": _static("page.css"),
        "header": header,
        "contents": contents,
        "sections": sections,
        "specs": as_json(specs),
        "libraries": "\n".join(f"<script>{_vendored(name)}</script>" for name in LIBRARIES),
        "script": _static("page.js"),
        "language": language(),
        "skip": escaped(translated("To the figures")),
        "contents_name": escaped(translated("Contents")),
        "footer": escaped(
            translated(
                "Made by shortlist {version}. This page needs no network: everything is inside it.", version=__version__
            )
        ),
        "undrawn": escaped(
            translated("This chart could not be drawn ({error}); its figures are in the table below.", error="ERROR")
        ),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found.group(1)], _static("page.html"))


def chart_place(name: str) -> str:
    """Where the chart of this name is drawn."""
    return f'<div class=chart data-chart="{name}"></div>'


def _static(name: str) -> str:
    return (resources.files("shortlist.report") / "static" / name).read_text(encoding="utf-8")


def _vendored(name: str) -> str:
    text = (resources.files("shortlist.report") / "vendor" / f"{name}.min.js").read_text(encoding="utf-8")
    return text.replace("</script", "<\\/script")


def _notices() -> str:
    """The licences of the libraries inside the page, for a comment."""
    texts = [
        (resources.files("shortlist.report") / "vendor" / f"LICENSE-{name}.txt").read_text(encoding="utf-8")
        for name in LIBRARIES
    ]
    return "\n\n".join(f"{name}\n{text}" for name, text in zip(LIBRARIES, texts, strict=True)).replace("--", "- -")
