"""A folder of Parquet files, here or in an object store: what is in it, what it looked like, and slices of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from shortlist.data.readers import UNREADABLE, _first_line, _matches
from shortlist.errors import DataError, MissingExtraError

__all__ = ["COUNT", "Source", "SourceFile", "find"]

AT_ONCE = 1 << 25
COUNT = "\0count"  # which no column is called
PARQUET = (".parquet", ".pq")
NATIVE = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "http", "https", "hf")
"""Object stores that Polars reads by itself, so that only the columns asked for are fetched."""


@dataclass(frozen=True)
class SourceFile:
    """A file: its name within the source, where to open it, and what would be different if it were another.

    stamp: bytes, and the time of change or the store's etag.
    """

    name: str
    path: str
    bytes: int
    stamp: str


@dataclass(frozen=True)
class Source:
    """Parquet files in the order of their names. store: the fsspec file system of files that Polars cannot open."""

    files: tuple[SourceFile, ...]
    store: Any = None
    _held: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    @property
    def stamps(self) -> dict[str, str]:
        """What every file looked like, by name."""
        return {file.name: file.stamp for file in self.files}

    def scan(self, file: SourceFile) -> pl.LazyFrame:
        """One file, nothing of it read yet."""
        if self.store is None:
            return pl.scan_parquet(file.path, glob=False)
        if file.path not in self._held:
            self._held.clear()
            self._held[file.path] = self.store.cat_file(file.path)
        return pl.scan_parquet(io.BytesIO(self._held[file.path]))

    def scans(self, at_once: int = AT_ONCE) -> Iterator[pl.LazyFrame]:
        """Everything, in parts of at most ``at_once`` rows (a file each from a store that Polars does not know).

        Polars' streaming groups hold 12 bytes a row until a query ends, so that one over everything would grow with rows.
        """
        if self.store is not None:
            yield from map(self.scan, self.files)
            return
        together: list[str] = []
        left = at_once
        for file in self.files:
            rows = self.rows(file)
            if together and rows > left:
                yield pl.scan_parquet(together, glob=False)
                together, left = [], at_once
            if rows > at_once:
                yield from (self.scan(file).slice(start, at_once) for start in range(0, rows, at_once))
                continue
            together.append(file.path)
            left -= rows
        if together:
            yield pl.scan_parquet(together, glob=False)

    def counts(
        self, columns: Sequence[str], check: Callable[[pl.DataFrame], None] = lambda found: None
    ) -> pl.DataFrame:
        """Each distinct row of these columns and how often it occurs (``COUNT``), in no order.

        check: is given what was found so far after each part that was read. DataError where the source cannot be read.
        """
        found = None
        for scan in self.scans():
            with reading("the source"):
                part = scan.group_by(columns).agg(pl.len().alias(COUNT)).collect(engine="streaming")
            found = part if found is None else pl.concat([found, part]).group_by(columns).agg(pl.col(COUNT).sum())
            check(found)
        assert found is not None
        return found

    def schema(self) -> pl.Schema:
        """Names and types of the columns, those of the first file. DataError where it cannot be read."""
        with reading(self.files[0].name):
            return self.scan(self.files[0]).collect_schema()

    def rows(self, file: SourceFile) -> int:
        """How many rows a file has, from its footer. DataError where it cannot be read."""
        with reading(file.name):
            return int(self.scan(file).select(pl.len()).collect().item())

    def read(self, file: SourceFile, start: int, rows: int, columns: Sequence[str]) -> pl.DataFrame:
        """Rows of a file. DataError where they cannot be read or a column is missing."""
        with reading(file.name):
            return self.scan(file).select(columns).slice(start, rows).collect()


class reading:  # noqa: N801  (reads as a word: ``with reading(name)``)
    """Turns what Polars or a store raises into a DataError that names the file."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UNREADABLE) and not isinstance(error, DataError):
            raise DataError(
                f"{self.name!r} could not be read as parquet: {_first_line(error)}",
                hint="check that every file is complete and that all have the same columns and types",
            ) from error


def find(source: str | Path) -> Source:
    """The Parquet files of a file, a pattern, a folder (with those below it), or a URL such as ``s3://bucket/log/``.

    Local files and what Polars knows (s3, gs, az, http, hf) are read in slices; from other stores that fsspec knows, a file
    at a time. Credentials come from the environment, as both take them.

    Raises DataError where there is none, MissingExtraError where a store's package is missing.
    """
    text = str(source)
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    elif "://" in text:
        return _remote(text)
    path = Path(text).expanduser()
    root = path if path.is_dir() else path.parent
    if path.is_dir():
        found = [file for ending in PARQUET for file in path.rglob(f"*{ending}")]
    else:
        found = [path] if path.is_file() else [file for file in _matches(path) if file.is_file()]
    found = sorted(file for file in found if file.suffix.lower() in PARQUET)
    if not found:
        raise _nothing(text)
    return Source(tuple(_local(file, root) for file in found))


def _local(file: Path, root: Path) -> SourceFile:
    status = file.stat()
    name = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name
    return SourceFile(name, str(file), status.st_size, f"{status.st_size} bytes, changed {status.st_mtime_ns}")


def _remote(url: str) -> Source:
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtraError("fsspec", "train", f"reading {url!r}") from error
    try:
        store, path = fsspec.core.url_to_fs(url)
        found: Mapping[str, Any] = (
            {name: store.info(name) for name in store.glob(path)} if "*" in path else store.find(path, detail=True)
        )
    except ImportError as error:
        raise DataError(f"{url!r} cannot be listed: {_first_line(error)}", hint="pip install what it names") from error
    except UNREADABLE as error:
        raise DataError(
            f"{url!r} cannot be listed: {_first_line(error)}", hint="check the address and the credentials"
        ) from error
    protocol = url.partition("://")[0]
    native = protocol in NATIVE
    files = []
    for name in sorted(name for name in found if name.lower().endswith(PARQUET)):
        info = found[name]
        changed = next(
            (str(info[key]) for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified") if key in info), ""
        )
        changed = changed or str(info.get("created", ""))
        where = (name if "://" in name else f"{protocol}://{name}") if native else name
        short = name.removeprefix(path.partition("*")[0]).lstrip("/") or name.rpartition("/")[2]
        files.append(SourceFile(short, where, int(info["size"] or 0), f"{info['size']} bytes, {changed}"))
    if not files:
        raise _nothing(url)
    return Source(tuple(files), None if native else store)


def _nothing(where: str) -> DataError:
    return DataError(
        f"no Parquet file at {where!r}.", hint="name a file, a pattern that matches some, or a folder of .parquet files"
    )
