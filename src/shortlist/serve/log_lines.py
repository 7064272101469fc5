"""Lines of the logs of changes and of impressions: records as JSON, each behind a checksum that is chained to the last."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

__all__ = ["lines_of"]

ENTRIES = 500  # of a record that one call encodes, in a tenth of a millisecond
_encode = msgspec.json.encode


def lines_of(
    records: Sequence[dict[str, Any]], chain: int, pause: Callable[[], object] = lambda: None
) -> tuple[int, bytes]:
    """Records as lines after one with the checksum ``chain``, and the checksum of the last.

    Args:
        records: in their order.
        chain: the checksum before them.
        pause: called between ``ENTRIES`` entries of them.
    """
    lines, entries = [], 0
    for record in records:
        own = 1 + sum(len(value) for value in record.values() if type(value) is list)
        entries += own
        if entries > ENTRIES:
            pause()
            entries = own
        text = _text(record, pause)
        chain = zlib.crc32(text, chain)
        lines.append(b"%08x %s\n" % (chain, text))
    return chain, b"".join(lines)


def _text(record: dict[str, Any], pause: Callable[[], object]) -> bytes:
    """A record as JSON, ``ENTRIES`` at a time: one call for all would keep every other thread waiting."""
    parts = {}
    for name, values in record.items():
        if type(values) is list and len(values) > ENTRIES:
            texts = []
            for first in range(0, len(values), ENTRIES):
                pause()
                texts.append(_encode(values[first : first + ENTRIES])[1:-1])
            parts[name] = msgspec.Raw(b"[" + b",".join(texts) + b"]")
    return _encode({**record, **parts} if parts else record)
