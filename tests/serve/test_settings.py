"""Settings that cannot work are refused, and show no key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from shortlist.errors import ConfigError
from shortlist.recommender import fold_in
from shortlist.recommender.rerank import MOST_CONDITIONS
from shortlist.serve import Settings, changes, logs, recent, service
from shortlist.serve.admission import PROBES
from shortlist.serve.answers import SCORES
from shortlist.serve.events import KEPT, QUERIES
from shortlist.serve.lookups import LONGEST_TEXT
from shortlist.serve.parsing import CHUNK, CHUNKED, DENSE, PIECE
from shortlist.serve.processes.following import WAIT
from shortlist.serve.reading import NAMED
from shortlist.serve.received import IN_A_TURN, MOST, PARTS
from shortlist.serve.schema import LONGEST_ID, MOST_COLUMNS
from shortlist.serve.settings import Limits
from shortlist.serve.unsent import PATIENCE, STEP

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
        {"change_bytes": 1000},
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


PAGE = (
    Path(__file__).parents[2] / "docs" / "operations.md"
)  # its Korean twin has the same figures, which tests/docs holds


def test_the_page_of_operations_has_every_limit_and_its_default() -> None:
    """Row by row: each field of ``Limits``, but for the size of a batch, beyond which nothing is refused; and bounds of modules."""
    limits = Limits()
    rows = dict(re.findall(r"^\| (.+?) \| (.+?) \|", PAGE.read_text("utf-8"), flags=re.MULTILINE))
    fields = {
        "body": ("body, as sent and decompressed", f"{limits.body >> 20} MiB"),
        "queries": ("queries of a request; candidates of `/v1/similar` and `/v1/embed`", f"{limits.queries}"),
        "k": ("k", f"{limits.k:,}"),
        "ids": ("ids of one list", f"{limits.ids:,}"),
        "cells": ("queries × k × columns of a reply", f"{limits.cells:,} values"),
        "ruled_k": ("k with rules (`rerank`)", f"{limits.ruled_k}"),
        "pool": (
            "candidates that all rules of a request [choose among](guides/rules.md#elsewhere)",
            f"{limits.pool:,}",
        ),
        "reasons": ("reasons (`explain`): queries × k × sources", f"{limits.reasons:,}"),
        "filter": ("what a condition costs: candidates × operators", f"{limits.filter:,} comparisons of numbers"),
        "under_way": ("requests at once", f"{limits.under_way:,}"),
        "receive_seconds": ("a request, from its first byte to its last", f"{limits.receive_seconds:g} s"),
        "wait_seconds": ("wait for a turn", f"{limits.wait_seconds:g} s"),
        "unsent": ("one reply, and all replies that wait for their readers", f"{limits.unsent >> 20} MiB"),
        "send_seconds": (
            "reading of a reply",
            f"{STEP:,} bytes in {limits.send_seconds:g} s; {PATIENCE:g} s while the server stops",
        ),
        "answer_seconds": ("an answer, from a request's last byte", f"{limits.answer_seconds:g} s"),
    }
    assert {*fields} == {*vars(limits)} - {"batch"}
    others = [
        ("`boost` of a request's rules", f"{MOST_CONDITIONS} conditions"),
        ("columns of a reply", f"{MOST_COLUMNS}, each once"),
        ("an id", f"{LONGEST_ID:,} characters"),
        ("text that the page searches for (`?text=`)", f"{LONGEST_TEXT} characters"),
        ("queries × candidates of `/v1/score`", f"{SCORES:,}"),
        ("changes, events, or places of lists that were shown, of one request", f"{limits.ids:,}"),
        ("choices (`/v1/events`) that are kept of one query", f"the latest {KEPT}"),
        ("queries whose choices are kept", f"{QUERIES:,}"),
        ("log of lists that were shown", f"{Settings().impression_bytes >> 20:,} MiB"),
        ("changes of candidates that are kept, in each process", f"{Settings().change_bytes >> 20:,} MiB"),
        ("a change, with `--workers`", f"{WAIT:g} s"),
        (
            "requests remembered, to warm the next bundle with",
            f"{service.REMEMBERED}, of {service.LONGEST:,} bytes each",
        ),
        ("vectors remembered, of queries with choices", f"{fold_in.REMEMBERED:,}"),
        ("lines of the log that its reader has not taken", f"{logs.KEPT:,}"),
        (
            "the last changes that the writing process keeps for workers, and outcomes by which a change that is sent again is recognised",
            f"{recent.MOST} of {recent.SIZE >> 20} MiB together, or one; {changes.NAMED:,}",
        ),
        ("places that one error names (`fields`)", f"{NAMED}"),
        (
            "`/healthz`, `/readyz` and `/metrics` that begin in one turn of the event loop, and scrapers that get their text in one",
            f"{PROBES}",
        ),
        (
            f"pieces of bodies in short chunks (fewer than {CHUNK} bytes each, with their framing) that are parsed in one turn, of all connections",
            f"{IN_A_TURN // PIECE}, of {DENSE} bytes, and {CHUNKED} bytes of each",
        ),
        (
            "parts of requests that have not arrived whole, heads too, and what is sent behind a request, of all connections",
            f"{MOST + PARTS >> 20} MiB, or {PARTS >> 20} MiB and four of the longest bodies",
        ),
    ]
    for what, value in (*fields.values(), *others):
        assert rows.get(what) == value, what
