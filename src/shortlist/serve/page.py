"""The files of the page, held in memory; the browser may run and load nothing else.

The page is in the language that its reader's browser asks for, or that the address names (``/?lang=ko``). Its HTML is translated
here, once for each language; its scripts read ``words.ko.json``.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib import resources
from urllib.parse import parse_qs

from shortlist.language import catalogue, from_header, languages
from shortlist.language.catalogue import ENGLISH, placeholders
from shortlist.serve.http import JSON, Incoming, Reply
from shortlist.serve.service import Service

__all__ = ["POLICY", "files", "handler", "in_languages", "texts"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
KINDS = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "json": JSON,
    "woff2": "font/woff2",
    "png": "image/png",
}
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)
VARIES = (*HEADERS, (b"vary", b"accept-language"))
TEXT = re.compile(r"(>|aria-label=\")([^<>\"]*[^\W\d_][^<>\"]*)(?=<|\")")
WORDS = ("page", "server")  # the parts of a catalogue that the scripts may need
Handler = Callable[[Service, Incoming], Awaitable[Reply]]


@cache
def files(items: str | None = None, people: str | None = None) -> Mapping[str, Handler]:
    """The handler of each path of the page; ``/`` is the page itself. Made once in a process, and in those forked from it.

    Args:
        items: the page's word for candidates, in place of "items".
        people: its word for queries, in place of "people".
    """
    folder = resources.files("shortlist.serve") / "page"
    answers: dict[str, Handler] = {}
    for file in folder.iterdir():
        kind = KINDS.get(file.name.rpartition(".")[2])
        if file.name == "index.html":
            markup = file.read_text(encoding="utf-8")
            pages = {code: _page(markup, code, items, people) for code in languages()}
            answers["/"] = in_languages(
                {code: Reply(body, kind=KINDS["html"], headers=VARIES) for code, body in pages.items()}
            )
        elif kind is not None and file.is_file():
            answers[f"/{file.name}"] = handler(Reply(file.read_bytes(), kind=kind, headers=HEADERS))
    for code in languages():
        if code != ENGLISH:
            answers[f"/words.{code}.json"] = handler(Reply(_words(code), kind=JSON, headers=HEADERS))
    return answers


def texts(markup: str) -> list[str]:
    """The texts of a page that its readers see or hear."""
    return [" ".join(found[2].split()) for found in TEXT.finditer(markup)]


def handler(reply: Reply) -> Handler:
    """A route that always answers ``reply``."""

    async def answer(service: Service, incoming: Incoming) -> Reply:
        return reply

    return answer


def in_languages(replies: dict[str, Reply]) -> Handler:
    """A route that answers in the language of ``?lang=``, or else of the header Accept-Language."""

    async def answer(service: Service, incoming: Incoming) -> Reply:
        asked = parse_qs(incoming.query.decode("latin-1")[:200]).get("lang", [""])[-1]
        named = incoming.headers.get(b"accept-language", b"").decode("latin-1")
        return replies[asked if asked in replies else from_header(named)]

    return answer


def _page(markup: str, code: str, items: str | None, people: str | None) -> bytes:
    """The page in a language."""
    words = catalogue(code)

    def said(found: re.Match[str]) -> str:
        text = found[2].strip()
        return found[1] + found[2].replace(text, html.escape(words.get(" ".join(text.split()))))

    markup = TEXT.sub(said, markup).replace('<html lang="en"', f'<html lang="{code}"')
    for name, given in (("items", items), ("people", people)):
        shown = given if given is not None else words.get(name)
        markup = markup.replace(f'data-{name}="{name}"', f'data-{name}="{html.escape(shown)}"')
    return markup.encode()


def _words(code: str) -> bytes:
    """The messages of the page's scripts and of the server's replies, in a language."""
    entries = [one for one in catalogue(code).entries.values() if one.translation and not one.places.isdisjoint(WORDS)]
    found = {one.english: one.translation for one in entries}
    by_text = [one.english for one in entries if one.by_text and placeholders(one.english)]
    return json.dumps({"messages": found, "by_text": by_text}, ensure_ascii=False, separators=(",", ":")).encode()
