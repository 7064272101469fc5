"""The impression log as a table: one row per place shown, with the click that followed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from shortlist.errors import ConfigError, DataError
from shortlist.serve.impression_files import FOLDER, records_of, segments

__all__ = ["impression_table"]

COLUMNS = ("request", "bundle", "team", "query", "candidate", "place", "clicked", "propensity", "at")
SHARE = "share "


def impression_table(state: Path, within: float, query: str = "query", candidate: str = "candidate") -> pl.DataFrame:
    """One row per place shown, in the order of the times. A list that was sent twice under one request id counts once.

    A click belongs to the last list that showed the candidate to the query before it, at most ``within`` seconds
    before.

    Args:
        state: the server's folder.
        within: seconds from a list to a click on it.
        query: what to call the column of query ids.
        candidate: what to call the column of candidate ids.

    Returns:
        Columns: request, bundle (of the list), team (the bundle of the item, where it was given), query and candidate
            ids,
        place, clicked, propensity, at (Unix seconds), and a column for each source's share.

    Raises:
        ConfigError: for a name that another column has.
        DataError: when there is no log or it holds no list.
        BundleError: for a log that was altered.
    """
    _check_names(query, candidate)
    shown, chosen = _read(state)
    if not shown:
        raise DataError(
            f"no impressions were logged in {str(state)!r}.",
            hint="POST /v1/impressions to a server that was started with --state and write keys",
        )
    kinds = {name: _kind_of([row[name] for row in shown]) for name in ("query", "candidate")}
    frame = pl.DataFrame(shown, infer_schema_length=None, schema_overrides=kinds)
    frame = frame.sort("at", maintain_order=True).with_row_index("row")
    clicked = _clicked(frame, chosen, within)
    frame = frame.with_columns(clicked=pl.col("row").is_in(clicked.implode()) if len(clicked) else pl.lit(False))
    shares = sorted(name for name in frame.columns if name.startswith(SHARE))
    kept = [name for name in COLUMNS if name in frame.columns]
    return frame.select(*kept, *shares).rename({"query": query, "candidate": candidate})


def _read(state: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of places shown, and of choices."""
    shown: list[dict[str, Any]] = []
    chosen: list[dict[str, Any]] = []
    names: set[str] = set()
    known: set[bytes] = set()
    for path in segments(state / FOLDER):
        for record in records_of(path):
            if record["op"] == "events":
                chosen += record["events"]
                continue
            if _again(record, known):
                continue
            for item in record["items"]:
                shares = {f"{SHARE}{name}": value for name, value in (item.get("shares") or {}).items()}
                names.update(shares)
                shown.append(
                    {
                        "request": record.get("request"),
                        "bundle": record["bundle"],
                        "team": item.get("bundle"),
                        "query": record["query"],
                        "candidate": item["candidate"],
                        "place": item["place"],
                        "propensity": item.get("propensity"),
                        "at": float(record["at"]),
                        **shares,
                    }
                )
    if shown:
        shown[0] = {**shown[0], **{name: shown[0].get(name) for name in sorted(names)}}
    return _of_one_type(shown), chosen


def _again(record: Mapping[str, Any], known: set[bytes]) -> bool:
    """Whether the same list of the same request was read before: a client that got no answer sends it again."""
    if record.get("request") is None:
        return False
    same = repr([record["request"], record["bundle"], record["query"], record["items"]]).encode(
        "utf-8", "surrogatepass"
    )
    digest = hashlib.blake2b(same, digest_size=16).digest()
    again = digest in known
    known.add(digest)
    return again


def _of_one_type(shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Check that ids are strings in all lists, or integers in all.

    Raises:
        DataError: when they are not: the log belongs to two bundles that do not fit together.
    """
    for column in ("query", "candidate"):
        if len({type(row[column]) for row in shown}) > 1:
            raise DataError(
                f"the ids of the {'queries' if column == 'query' else 'candidates'} are strings in some impressions and "
                "integers in others.",
                hint="move the files of the older bundle out of the folder 'impressions'",
            )
    return shown


def _kind_of(ids: list[Any]) -> pl.DataType:
    """The type that holds ids which are all strings or all integers, of 64 bits where one does."""
    if isinstance(ids[0], str):
        return pl.String()
    if max(ids) < 2**63:
        return pl.Int64()
    return pl.UInt64() if min(ids) >= 0 else pl.Int128()


def _ids_as(kind: pl.DataType, ids: list[Any]) -> pl.Series:
    """Ids in the type of those that were shown; null for one that is beyond it, which no list shows."""
    if kind == pl.String:
        return pl.Series(ids, dtype=pl.String)
    cast: pl.Series = pl.Series(ids, dtype=pl.Int128).cast(kind, strict=False)
    return cast


def _clicked(frame: pl.DataFrame, chosen: list[dict[str, Any]], within: float) -> pl.Series:
    """The rows that were clicked."""
    same = [
        one
        for one in chosen
        if isinstance(one["query"], str) == (frame.schema["query"] == pl.String)
        and isinstance(one["candidate"], str) == (frame.schema["candidate"] == pl.String)
    ]
    if not same:
        return pl.Series("row", [], pl.UInt32)
    keys = {name: frame.schema[name] for name in ("query", "candidate")}
    ids = {name: _ids_as(kind, [one[name] for one in same]) for name, kind in keys.items()}
    clicks = pl.DataFrame({**ids, "at": pl.Series([one["at"] for one in same], dtype=pl.Float64)})
    clicks = clicks.drop_nulls().sort("at")
    rows = frame.select("row", "query", "candidate", "at", shown_at="at")
    joined = clicks.join_asof(
        rows, on="at", by=["query", "candidate"], strategy="backward", check_sortedness=False
    ).drop_nulls("row")
    return joined.filter(pl.col("at") - pl.col("shown_at") <= within)["row"].unique()


def _check_names(query: str, candidate: str) -> None:
    names: Mapping[str, str] = {"query": query, "candidate": candidate}
    others = [name for name in COLUMNS if name not in names]
    for role, name in names.items():
        if name in others or name.startswith(SHARE) or query == candidate:
            raise ConfigError(
                f"the column of the {role} ids is to be called {name!r}, as another column is.",
                hint="choose another name",
            )
