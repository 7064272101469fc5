"""A log that cannot be written: what is said about it follows the system's reason."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serve.changing import KEY, change, ids

from shortlist.language.catalogue import catalogue
from shortlist.serve.disk_errors import HINTS, OTHERWISE

DOCS = Path(__file__).parents[2] / "docs"
SPACE = "disk has space"
SAID = {  # what the hint has to name
    "ENOSPC": SPACE,
    "EDQUOT": "quota",
    "EFBIG": "ulimit -f",
    "EROFS": "read-only",
    "EACCES": "may write to the folder",
    "EPERM": "may write to the folder",
    "EIO": "dmesg",
    "EMFILE": "ulimit -n",
    "ENFILE": "ulimit -n",
    "ENOMEM": "memory",
    "ENOENT": "where it was",
    "ENOTDIR": "where it was",
    "ESTALE": "where it was",
    "EAGAIN": "no other server",
    "ENXIO": "log has the reason",  # one that nothing is known of
}
SHOWN = {"query": "ann", "items": [{"candidate": "c"}]}


def lists(client: Any) -> Any:
    return client.post("/v1/impressions", {"impressions": [SHOWN]}, headers=KEY)


def deletion(client: Any) -> Any:
    return change(client, delete=["a"])


def refused(client: Any, send: Callable[[Any], Any], patch: pytest.MonkeyPatch, *reasons: str) -> list[str]:
    """Send it three times for each reason why the disk takes nothing; the hints of the replies."""
    hints = []
    for reason in reasons:

        def fails(*_: Any, code: int = getattr(errno, reason)) -> None:
            raise OSError(code, os.strerror(code))

        with patch.context() as patched:
            for name in ("write", "pwrite", "fsync"):
                patched.setattr(os, name, fails)
            replies = [send(client) for _ in range(3)]
        assert {reply.status_code for reply in replies} == {503}
        assert {reply.headers["retry-after"] for reply in replies} == {"5"}
        (hint,) = {reply.json()["hint"] for reply in replies}
        hints.append(hint)
    return hints


@pytest.mark.parametrize(("send", "event"), [(deletion, "log_failed"), (lists, "impressions_failed")])
@pytest.mark.parametrize("reason", SAID)
def test_the_hint_follows_the_reason(
    writable: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    send: Callable[[Any], Any],
    event: str,
    reason: str,
) -> None:
    """In the reply and in the log, once for as long as it fails for the same reason; what was not written was not made."""
    client = writable()
    assert lists(client).status_code == 200
    said: list[tuple[str, dict[str, Any]]] = []
    client.app.service.log.event = lambda name, **what: said.append((name, what))
    (hint,) = refused(client, send, monkeypatch, reason)
    assert SAID[reason] in hint
    assert (SPACE in hint) == (reason == "ENOSPC")
    ((name, facts),) = said
    assert (name, facts["errno"], facts["reason"], facts["hint"]) == (event, getattr(errno, reason), reason, hint)
    assert ids(client) == ["c", "d", "b", "a"]
    assert send(client).status_code == 200


@pytest.mark.parametrize(("send", "event"), [(deletion, "log_failed"), (lists, "impressions_failed")])
def test_another_reason_is_logged_too(
    writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, send: Callable[[Any], Any], event: str
) -> None:
    client = writable()
    assert lists(client).status_code == 200
    said: list[tuple[str, Any]] = []
    client.app.service.log.event = lambda name, **what: said.append((name, what.get("reason")))
    full, broken, again = refused(client, send, monkeypatch, "ENOSPC", "EIO", "ENOSPC")
    assert full == again != broken
    assert said == [(event, "ENOSPC"), (event, "EIO"), (event, "ENOSPC")]


def test_choices_say_so_too(writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of the two logs does not take them."""
    client = writable()
    assert lists(client).status_code == 200

    def choose(client: Any) -> Any:
        return client.post("/v1/events", {"events": [{"query": "ann", "candidate": "c"}]}, headers=KEY)

    assert refused(client, choose, monkeypatch, "EROFS") == [HINTS["EROFS"]]
    assert refused(client, choose, monkeypatch, "EDQUOT") == [HINTS["EDQUOT"]]

    def broken(*_: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pwrite", broken)
    reply = choose(client)
    assert reply.status_code == 503
    assert "were recorded" in reply.json()["detail"]
    assert reply.json()["hint"] == HINTS["EIO"]


def test_every_reason_is_in_the_operators_page_and_every_hint_in_korean() -> None:
    for page in (DOCS / "operations.md", DOCS / "ko" / "operations.md"):
        text = page.read_text(encoding="utf-8")
        names = {name for name in HINTS if getattr(errno, name) != errno.EAGAIN} | {"EAGAIN"}
        assert [name for name in sorted(names) if f"`{name}`" not in text] == [], page
    words = catalogue("ko")
    for hint in {*HINTS.values(), OTHERWISE}:
        assert words.filled(hint) != hint, hint
