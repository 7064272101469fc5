"""The files of a table, listed once: of a file, a pattern, a folder or a URL; hidden and staging parts left out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from shortlist.data.formats import EXTENSIONS, Format, format_of, is_hidden
from shortlist.errors import DataError, MissingExtraError
from shortlist.language import counted

__all__ = ["Listing", "SourceFile", "first_line", "listed"]

WILD = re.compile(r"[*?\[]")
WITHOUT_CREDENTIALS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",  # of botocore
    "DefaultCredentialsError",  # of Google
    "ClientAuthenticationError",  # of Azure
}
"""Errors of stores' own packages, by name: they are not imported here."""
CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or log in: gcloud auth application-default login",
    "az": "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
NATIVE = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "http", "https", "hf")
"""Object stores that Polars reads by itself, so that only the columns asked for are fetched."""
LOGS = ("_delta_log", ".hoodie")
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
ADVICE = re.compile(
    r"[\s.,;:]*\b(hint:|consider |ensure |you might want|try setting|or pass |pass ['`]).*", re.I | re.S
)
KINDS = f"files: {' '.join(EXTENSIONS)}; text also with .gz or .zst"


@dataclass(frozen=True)
class SourceFile:
    """A file: its name within the source, where to open it, and a stamp that changes with it.

    Attributes:
        stamp: bytes, and the time of change or the store's etag.
        partitions: the values of Hive partitions in its path.
    """

    name: str
    path: str
    bytes: int
    stamp: str
    partitions: Mapping[str, str | None] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Listing:
    """Files of one format in the order of their names.

    Attributes:
        store: the fsspec file system that has them, or None.
        lake: "delta" or "iceberg" for such a table; it has no files here.
        notes: what was left out.
    """

    files: tuple[SourceFile, ...]
    kind: Format
    store: Any = None
    native: bool = True
    lake: str | None = None
    notes: tuple[str, ...] = ()


@dataclass
class _Found:
    """The result of a walk through a folder: relative names, the paths they open, hidden files, and tables with a log."""

    paths: dict[str, str] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)
    lakes: list[str] = field(default_factory=list)

    def add(self, name: str, path: str) -> None:
        if format_of(name) is not None:
            parts = PurePosixPath(name).parts
            if any(is_hidden(part) for part in parts):
                self.hidden.append(name)
            else:
                self.paths[name] = path


def listed(source: str | Path, table: str) -> Listing:
    """The files of ``source``, which messages call ``table``.

    Raises:
        DataError: where there are none, where a folder mixes formats, and for an unknown extension.
        MissingExtraError: where an object store's package is missing.
    """
    text = str(source)
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    elif "://" in text:
        return _remote(text, table)
    path = Path(os.path.expanduser(text))
    if path.is_file():
        return Listing((_local(path.name, path),), _known(path.name, text, table))
    if path.is_dir():
        if (lake := _lake({entry.name for entry in path.iterdir()}, path)) is not None:
            return Listing((), Format("parquet", ".parquet"), lake=lake)
        found = _Found()
        _walk(path, "", found, frozenset())
        return _chosen(found, text, table)
    if WILD.search(text) is None:
        if path.exists():
            raise DataError(
                f"the {table} table {text!r} is neither a file nor a folder, but a device or a pipe.",
                hint="write what it gives to a file first",
            )
        what = "is a link to nothing" if path.is_symlink() else "does not exist"
        raise DataError(f"the {table} table {text!r} {what}.", hint="check the path")
    return _chosen(_matching(path), text, table)


def first_line(error: BaseException) -> str:
    """Another library's message, in one line and without advice about its own options."""
    line = str(error).strip().partition("\n")[0]
    return ADVICE.sub("", line).strip() or type(error).__name__


def _known(name: str, where: str, table: str) -> Format:
    kind = format_of(name)
    if kind is None:
        extension = Path(name).suffix.lower()
        raise DataError(
            f"the {table} table {where!r} has the extension {extension!r}; expected one of {' '.join(EXTENSIONS)}.",
            hint="convert it, or read it yourself and pass the DataFrame",
        )
    return kind


def _lake(names: set[str], path: Path) -> str | None:
    if ".hoodie" in names:
        raise DataError(
            f"{str(path)!r} is a Hudi table; Delta and Iceberg tables are read.",
            hint="write its current rows to Parquet",
        )
    if "_delta_log" in names and (path / "_delta_log").is_dir():
        return "delta"
    if "metadata" in names and any((path / "metadata").glob("*.metadata.json")):
        return "iceberg"
    return None


# --- here ----------------------------------------------------------------------------------------------------------


def _walk(folder: Path, prefix: str, found: _Found, above: frozenset[tuple[int, int]]) -> None:
    """All files below ``folder``; links are followed, but not in circles."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in above:
        return
    above = above | {(status.st_dev, status.st_ino)}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name = f"{prefix}{entry.name}"
        if entry.is_dir() and entry.name in LOGS:
            found.lakes.append(prefix.rstrip("/"))
        elif entry.is_dir():
            _walk(Path(entry.path), f"{name}/", found, above)
        elif entry.is_file() or (entry.is_symlink() and not is_hidden(entry.name)):
            found.add(name, entry.path)


def _matching(pattern: Path) -> _Found:
    """The files that a pattern matches, and those of the folders that it matches."""
    root = Path(pattern.anchor)
    parts = list(pattern.parts[1:] if pattern.anchor else pattern.parts)
    while parts and (WILD.search(parts[0]) is None or (root / parts[0]).exists()):
        root = root / parts.pop(0)
    found = _Found()
    own = any(is_hidden(part) for part in parts)
    for match in sorted(root.glob(str(Path(*parts)))) if parts and root.is_dir() else []:
        name = match.relative_to(root).as_posix()
        if match.is_dir():
            if parts[-1] != "**":  # whose files would be read twice
                _walk(match, f"{name}/", found, frozenset())
            else:
                for entry in match.iterdir():
                    if entry.is_file():
                        found.add(entry.relative_to(root).as_posix(), str(entry))
        elif own:  # named so by the user
            found.paths[name] = str(match)
        else:
            found.add(name, str(match))
    return found


def _chosen(found: _Found, where: str, table: str) -> Listing:
    """The files, which must all have one format."""
    if found.lakes:
        raise DataError(
            f"the {table} table {where!r} holds a table with a log of its own, {found.lakes[0]!r}, of whose files some may be "
            "removed.",
            hint="name that folder itself",
        )
    _refuse_files_of_lakes(found.paths.values(), where, table)
    paths, twice = _each_once(found.paths)
    kind, names, notes = _readable(paths, found.hidden, where, table)
    if twice:
        notes.append(f"{_counted(twice)} left out, a link to a file that is read already (such as {twice[0]!r})")
    names.sort(key=lambda name: PurePosixPath(name).parts)
    return Listing(tuple(_local(name, Path(paths[name])) for name in names), kind, notes=tuple(notes))


def _readable(
    paths: Mapping[str, str], hidden: list[str], where: str, table: str
) -> tuple[Format, list[str], list[str]]:
    """The format to read, the names of the files of that format, and notes on those that are left out.

    Raises:
        DataError: where no file can be read, where several formats could be, and for one file that is there packed and unpacked.
    """
    if not paths and hidden:
        raise DataError(
            f"the {table} table {where!r} holds no files but hidden or staging ones, such as {hidden[0]!r}.",
            hint="names that begin with _ or . are skipped; give the file itself to read it",
        )
    kind = _one_format(paths, where, table)
    _refuse_packed_twice(paths, where, table)
    others = [name for name in paths if (one := format_of(name)) is None or one.family != kind.family]
    notes = []
    if hidden:
        notes.append(f"{_counted(hidden)} left out, hidden or staging (such as {hidden[0]!r})")
    if others:
        notes.append(f"{_counted(others)} of another format left out (such as {others[0]!r})")
    left_out = set(others)
    return kind, [name for name in paths if name not in left_out], notes


def _refuse_files_of_lakes(paths: Iterable[str], where: str, table: str) -> None:
    """DataError for files of a table with a log, since only the log says whether their rows are still part of it."""
    for folder in sorted({Path(path).absolute().parent for path in paths}):
        for above in (folder, *folder.parents):
            if (kind := _lake_above(above, folder)) is not None:
                raise DataError(
                    f"the {table} table {where!r} has files of the {kind} table {str(above)!r}, of which some may be removed.",
                    hint="write its current rows to Parquet"
                    if kind == "Hudi"
                    else f"name that folder itself: {str(above)!r}",
                )


def _lake_above(above: Path, folder: Path) -> str | None:
    """The kind of table that ``above`` is, if the files in ``folder`` belong to it."""
    for log, kind in (("_delta_log", "Delta"), (".hoodie", "Hudi")):
        if os.path.isdir(above / log):
            return kind
    inner = folder.relative_to(above).parts[:1]
    of_table = not inner or inner[0] in ("data", "metadata") or "=" in inner[0]
    return "Iceberg" if of_table and any((above / "metadata").glob("*.metadata.json")) else None


def _one_format(paths: Mapping[str, str], where: str, table: str) -> Format:
    formats = {name: kind for name in paths if (kind := format_of(name)) is not None}
    if not formats:
        raise _nothing(where, table)
    families = {kind.family: name for name, kind in formats.items()}
    if "parquet" not in families and len(families) > 1:
        raise DataError(
            f"the {table} table {where!r} holds files of several formats: {', '.join(map(repr, families.values()))}.",
            hint="name the files of one format with a pattern, such as 'log/*.csv'",
        )
    return formats[families.get("parquet", next(iter(families.values())))]


def _refuse_packed_twice(paths: Mapping[str, str], where: str, table: str) -> None:
    """DataError for a file that exists packed and unpacked: its rows would count twice."""
    for name in paths:
        kind = format_of(name)
        if kind is not None and kind.packed is not None and (bare := name[: -len(kind.packed)]) in paths:
            raise DataError(
                f"the {table} table {where!r} holds {bare!r} and {name!r}, which look like one file twice.",
                hint="move one of them away, or name the files with a pattern, such as 'log/*.csv'",
            )


def _each_once(paths: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The paths without links to files that are listed too, and the names of those links."""
    real = {name: os.path.realpath(path) for name, path in paths.items()}
    own = {real[name] for name, path in paths.items() if not _through_link(name, path)}
    kept: dict[str, str] = {}
    twice: list[str] = []
    taken: set[str] = set()
    for name, path in paths.items():
        linked = _through_link(name, path)
        if linked and (real[name] in own or real[name] in taken):
            twice.append(name)
        else:
            kept[name] = path
            taken.add(real[name])
    return kept, twice


def _through_link(name: str, path: str) -> bool:
    """Whether a part of ``path`` that belongs to ``name`` is a link."""
    place = Path(path)
    return any(one.is_symlink() for one in [place, *list(place.parents)[: len(PurePosixPath(name).parts) - 1]])


def _local(name: str, file: Path) -> SourceFile:
    try:
        status = file.stat()
    except OSError as error:
        raise DataError(
            f"{str(file)!r} cannot be opened: {error.strerror}.",
            hint="check that it is not a broken link, and that you may read it",
        ) from error
    stamp = f"{status.st_size} bytes, changed {status.st_mtime_ns}"
    return SourceFile(name, str(file), status.st_size, stamp, _partitions(name))


def _partitions(name: str) -> dict[str, str | None]:
    """The Hive partitions among the folders of a relative path."""
    found: dict[str, str | None] = {}
    for part in PurePosixPath(name).parts[:-1]:
        key, equals, value = part.partition("=")
        if equals and key:
            found[unquote(key)] = None if value == NULL_PARTITION else unquote(value)
    return found


# --- object stores -------------------------------------------------------------------------------------------------


def _remote(url: str, table: str) -> Listing:
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtraError("fsspec", "train", f"reading {url!r}") from error
    try:
        store, path = fsspec.core.url_to_fs(url)
        infos: Mapping[str, Any] = (
            {name: store.info(name) for name in store.glob(path)} if "*" in path else store.find(path, detail=True)
        )
        if not infos and "*" not in path and url.startswith(("http://", "https://")):
            store.info(path)  # raises the reason
    except ImportError as error:
        raise DataError(
            f"{url!r} cannot be listed: {first_line(error)}", hint="pip install the package that it names"
        ) from error
    except (OSError, ValueError, TypeError) as error:
        _refuse_without_credentials(error, url)
        cause = error.__cause__ if error.__cause__ is not None and str(error) in (url, path) else error
        raise DataError(
            f"{url!r} cannot be listed: {first_line(cause)}", hint="check the address and the credentials"
        ) from error
    except Exception as error:  # a store's own, such as botocore's
        _refuse_without_credentials(error, url)
        raise
    root = path.partition("*")[0]
    short = {name: name.removeprefix(root).lstrip("/") or name.rpartition("/")[2] for name in infos}
    if any("_delta_log" in PurePosixPath(one).parts for one in short.values()):
        return Listing((), Format("parquet", ".parquet"), lake="delta")
    _refuse_stored_lakes(store, infos, url, table)
    found = _Found()
    for name in sorted(infos):
        if name == path:  # named by the user
            found.paths[short[name]] = name
        else:
            found.add(short[name], name)
    kind, names, notes = _readable(found.paths, found.hidden, url, table)
    protocol = url.partition("://")[0]
    native = protocol in NATIVE and kind.family == "parquet"
    where = {name: found.paths[name] for name in names}
    files = tuple(_stored(where, infos, protocol if native else None))
    return Listing(files, kind, store, native, notes=tuple(notes))


def _refuse_without_credentials(error: BaseException, url: str) -> None:
    """DataError where an error, or one behind it, says that there are no credentials."""
    behind: BaseException | None = error
    while behind is not None:
        if any(kind.__name__ in WITHOUT_CREDENTIALS for kind in type(behind).__mro__):
            protocol = url.partition("://")[0].rstrip("a")  # s3a is s3
            raise DataError(
                f"{url!r} cannot be listed, for no credentials were found: {first_line(behind)}",
                hint=CREDENTIALS.get(protocol, "give its credentials in the environment"),
            ) from error
        behind = behind.__cause__ or behind.__context__


def _refuse_stored_lakes(store: Any, names: Iterable[str], url: str, table: str) -> None:
    """DataError for files of a Delta table that are named without it, and for Iceberg tables, whose metadata is read here alone."""
    names = list(names)
    folders = {above for name in names for above in PurePosixPath(name).parents if len(above.parts) > 0}
    for folder in sorted(folders) if "*" in url else []:
        if store.exists(f"{folder}/_delta_log"):
            raise DataError(
                f"the {table} table {url!r} has files of the Delta table {str(folder)!r}, of which some may be removed.",
                hint="name that folder itself",
            )
    if any(name.endswith(".metadata.json") and PurePosixPath(name).parent.name == "metadata" for name in names):
        raise DataError(
            f"the {table} table {url!r} is an Iceberg table in an object store; those are read from local folders.",
            hint="write its current rows to Parquet",
        )


def _stored(paths: Mapping[str, str], infos: Mapping[str, Any], protocol: str | None) -> Iterator[SourceFile]:
    for name, path in paths.items():
        info = infos[path]
        keys = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created")
        changed = next((str(info[key]) for key in keys if key in info), "")
        where = path if protocol is None or "://" in path else f"{protocol}://{path}"
        size = -1 if info["size"] is None else int(info["size"])
        yield SourceFile(name, where, size, f"{info['size']} bytes, {changed}", _partitions(name))


def _counted(names: list[str]) -> str:
    return counted(len(names), "file")


def _nothing(where: str, table: str) -> DataError:
    return DataError(
        f"the {table} table: no file matches {where!r} ({KINDS}).",
        hint="name a file, a pattern that matches some, or a folder of files of one format",
    )
