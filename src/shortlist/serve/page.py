"""The files of the page, held in memory; the browser may run and load nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources

from shortlist.serve.http import Incoming, Reply
from shortlist.serve.service import Service

__all__ = ["POLICY", "files", "handler"]

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
    "json": "application/json",
    "woff2": "font/woff2",
    "png": "image/png",
}
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)


def files() -> dict[str, Reply]:
    """The replies by path; ``/`` is the index."""
    folder = resources.files("shortlist.serve") / "page"
    replies: dict[str, Reply] = {}
    if not folder.is_dir():
        return replies
    for file in folder.iterdir():
        kind = KINDS.get(file.name.rpartition(".")[2])
        if kind is not None and file.is_file():
            replies[f"/{file.name}"] = Reply(file.read_bytes(), kind=kind, headers=HEADERS)
    if "/index.html" in replies:
        replies["/"] = replies.pop("/index.html")
    return replies


def handler(reply: Reply) -> Callable[[Service, Incoming], Awaitable[Reply]]:
    """A route that always answers ``reply``."""

    async def answer(service: Service, incoming: Incoming) -> Reply:
        return reply

    return answer
