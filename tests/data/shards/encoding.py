"""A small encoding."""

from __future__ import annotations

from pathlib import Path

import shortlist as sl

COLUMNS = {"query": "user", "candidate": "film", "timestamp": "when", "weight": "stars"}
SMALL = {"block_rows": 32, "piece_rows": 128}


def encoded(source: Path | str, folder: Path, **options: object) -> sl.Shards:
    return sl.Shards.encode(source, folder, **{**COLUMNS, **SMALL, **options})
