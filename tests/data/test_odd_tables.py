"""Odd tables, made up by chance, read the same rows four ways: names, types, encodings, partitions, compression."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.data.four_ways import WAYS, rows

LETTERS = st.characters(codec="cp949", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp"))
WORDS = st.text(LETTERS, min_size=1, max_size=6).filter(lambda text: text == text.strip())
PARTS = st.text(st.sampled_from("ab[]*?{}'=% é차-0"), min_size=1, max_size=5).map(lambda text: f"x{text}x")
IDS = st.one_of(st.lists(WORDS, min_size=1, max_size=6), st.lists(st.integers(-(2**31), 2**31), min_size=1, max_size=6))


@st.composite
def tables(draw: st.DrawFn) -> list[tuple[Any, int]]:
    users = draw(IDS)
    return [(user, draw(st.integers(0, 200))) for user in users]


def settled(pairs: list[tuple[Any, int]]) -> list[tuple[Any, int]]:
    """What ids from text become: integers where all of them are written as such."""
    texts = [str(user) for user, _ in pairs]
    whole = all(text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() for text in texts)
    if whole and all(str(int(text)) == text and -(2**63) <= int(text) < 2**63 for text in texts):
        return sorted((int(text), item) for text, (_, item) in zip(texts, pairs, strict=True))
    return sorted((text, item) for text, (_, item) in zip(texts, pairs, strict=True))


def written(pairs: list[tuple[Any, int]], separator: str, quoting: int, header: bool) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
    if header:
        writer.writerow(["u", "i"])
    writer.writerows(pairs)
    return text.getvalue()


SLOW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(
    pairs=tables(),
    separator=st.sampled_from([",", ";", "\t"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp949", "utf-16"]),
    header=st.booleans(),
    packed=st.booleans(),
    name=PARTS,
)
def test_odd_text(
    pairs: list[tuple[Any, int]],
    separator: str,
    quoting: int,
    encoding: str,
    header: bool,
    packed: bool,
    name: str,
) -> None:
    content = written(pairs, separator, quoting, header).encode(encoding)
    options: dict[str, Any] = {"separator": separator}
    options |= {} if header else {"columns": ["u", "i"]}
    options |= {"encoding": encoding} if encoding in ("cp949", "utf-16") else {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.csv{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content) if packed else content)
        for way in WAYS:
            assert rows(way, path, {}, options) == settled(pairs), way


INTEGERS = st.sampled_from([pl.Int64, pl.Int32, pl.UInt32, pl.Int16, pl.UInt64])
TEXTS = st.sampled_from([pl.String, pl.Categorical])


@SLOW
@given(parts=st.lists(st.tuples(st.lists(st.tuples(WORDS, st.integers(0, 200)), max_size=4), INTEGERS, TEXTS), min_size=1, max_size=4), name=PARTS, keys=st.lists(WORDS, min_size=4, max_size=4, unique=True), partitioned=st.booleans(), lines=st.booleans())  # fmt: skip
def test_odd_folders(parts: list[Any], name: str, keys: list[str], partitioned: bool, lines: bool) -> None:
    expected = sorted(pair for pairs, _, _ in parts for pair in pairs)
    if not expected:
        return
    with tempfile.TemporaryDirectory() as folder:
        for number, (pairs, whole, text) in enumerate(parts):
            sub = f"k={quote(keys[number], safe='')}" if partitioned else "sub"
            place = Path(folder) / name / sub
            place.mkdir(parents=True, exist_ok=True)
            (place / "_SUCCESS").write_bytes(b"")
            (place / f".{number}.parquet").write_bytes(b"no table")
            if lines:
                body = "".join(json.dumps({"u": u, "i": i}, ensure_ascii=False) + "\n" for u, i in pairs)
                (place / f"{number}.jsonl").write_text(body, encoding="utf-8")
            else:
                frame = pl.DataFrame(pairs, schema={"u": pl.String, "i": pl.Int64}, orient="row")
                frame.cast({"u": text, "i": whole}).write_parquet(place / f"{number}.parquet")
        for way in WAYS:
            assert rows(way, Path(folder) / name, {}, {}) == expected, way
