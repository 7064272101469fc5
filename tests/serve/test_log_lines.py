"""Lines of the logs: those that one call would make, encoded few entries at a time."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.serve import log_lines as module


@given(
    sizes=st.lists(st.one_of(st.integers(0, 3), st.sampled_from([499, 500, 501, 1000, 1001, 5000])), max_size=12),
    name=st.sampled_from(["events", "upsert", "items"]),
)
def test_lines_are_those_of_one_call_and_few_entries_are_encoded_between_two_pauses(
    sizes: list[int], name: str
) -> None:
    records: list[dict[str, Any]] = [
        {"op": "x", name: [{"query": "é", "candidate": one} for one in range(size)], "at": 1.5, "expire": []}
        for size in sizes
    ]
    encoded: list[int] = []  # entries since the last pause

    def encode(value: Any) -> bytes:
        encoded[-1] += (
            len(value) if type(value) is list else sum(len(one) for one in value.values() if type(one) is list)
        )
        return msgspec.json.encode(value)

    encoded.append(0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_encode", encode)
        chain, content = module.lines_of(records, 7, lambda: encoded.append(0))
    expected, lines = 7, b""
    for one in records:
        text = msgspec.json.encode(one)
        expected = zlib.crc32(text, expected)
        lines += b"%08x %s\n" % (expected, text)
    assert (chain, content) == (expected, lines)
    assert max(encoded) <= 500
    assert sum(encoded) == sum(sizes)
