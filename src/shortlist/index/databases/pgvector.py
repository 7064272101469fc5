"""PostgreSQL with pgvector: a table for each version, and a view as its alias."""

from __future__ import annotations

import contextlib
import importlib.util
import math
from collections import deque
from collections.abc import Iterator
from typing import Any, ClassVar

from shortlist.errors import ConfigError, SearchError
from shortlist.index.databases.base import DatabaseIndex, Graph, remembered
from shortlist.index.databases.contract import Attribute, Batch, Database, Found, Rows
from shortlist.index.databases.filters import Filter, text_of
from shortlist.index.values import Floats

__all__ = ["Pgvector"]

_EFFORT = 1000  # hnsw.ef_search, at most
_DIM = 2000  # numbers that its graph takes
_NAME = 63  # bytes of a name
_OLDEST = (0, 8)
_TYPES = {"text": 'text collate "C"', "integer": "int8", "number": "float8", "boolean": "bool"}


class Pgvector(DatabaseIndex):
    """A table in PostgreSQL with an HNSW graph by pgvector; the vectors are kept too, for exact scores, filters and live changes.

    Args:
        uri: ``postgresql://user@host:5432/database``. The password is read from the environment variable PGPASSWORD or from
            ``~/.pgpass``; it is never stored.
        collection: the name that always leads to the newest build (a view).
        links: neighbours of a node of the graph, at most 100.
        build_effort: candidates looked at for each node when the graph is built, at least 2 · links and at most 1,000.
        search_effort: candidates looked at per query, at most 1,000; by default 200, at least k.
        recall: not supported; None.
        timeout: seconds that a statement of a search may take.

    ``save`` writes the vectors and the uri. ``load`` looks for the table there, and fills it again from the vectors where it
    is missing. Changes are searched exactly, in this process, until ``rebuild()``. pgvector 0.8 or newer is needed.

    Raises:
        ConfigError: for an invalid uri or a number out of range.
        SearchError: for a database that cannot be reached.
    """

    kind: ClassVar[str] = "pgvector"
    title: ClassVar[str] = "Pgvector"
    _address: ClassVar[str] = "postgresql://user@host:5432/database"
    _example: ClassVar[str] = 'Pgvector("postgresql://me@localhost/films")'
    _secret: ClassVar[str] = "set the environment variable PGPASSWORD, or write ~/.pgpass"

    def _check_options(self, collection: str, links: int, build_effort: int) -> None:
        if not 2 <= links <= 100 or not 2 * links <= build_effort <= 1000:
            raise ConfigError(
                f"Pgvector's links is {links} and its build_effort {build_effort}; links from 2 to 100 and a build_effort from "
                "2 · links to 1,000 were expected.",
                hint="links=32, build_effort=100",
            )
        longest = _NAME - len("_0123456789abcdef_graph")
        if len(collection) > longest:
            raise ConfigError(f"Pgvector's collection has {len(collection)} letters; at most {longest} were expected.")

    @classmethod
    def _accepts(cls, uri: str) -> bool:
        return uri.startswith(("postgresql://", "postgres://"))

    @classmethod
    def _missing(cls, uri: str) -> str | None:
        return next((name for name in ("psycopg", "pgvector") if importlib.util.find_spec(name) is None), None)

    def _opened(self, uri: str, graph: Graph) -> Database:
        return _Postgres(f"PostgreSQL at {uri!r}", graph, uri)


class _Idle:
    """Connections that nobody uses."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._idle: deque[Any] = deque()

    @contextlib.contextmanager
    def connection(self, seconds: float) -> Iterator[Any]:
        """One that works, for one caller."""
        connection = self._working() or self._new(seconds)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def _working(self) -> Any:
        """An idle connection that still answers, or None."""
        import psycopg

        while self._idle:
            with contextlib.suppress(IndexError, psycopg.OperationalError):
                connection = self._idle.pop()
                connection.execute("select 1")
                return connection
        return None

    def _new(self, seconds: float) -> Any:
        import psycopg
        from pgvector.psycopg import register_vector

        connection = psycopg.connect(
            self._uri,
            autocommit=True,
            connect_timeout=max(2, math.ceil(seconds)),
            tcp_user_timeout=math.ceil(1000 * seconds),
            application_name="shortlist",
        )
        try:
            connection.execute("set client_min_messages = warning")
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.UniqueViolation):
                connection.execute("create extension if not exists vector")
            found = connection.execute("select extversion from pg_extension where extname = 'vector'").fetchone()
            version = "none" if found is None else str(found[0])
            if found is None or tuple(map(int, version.split(".")[:2])) < _OLDEST:
                raise SearchError(
                    f"PostgreSQL at {self._uri!r} has pgvector {version}; 0.8 or newer was expected.",
                    hint="CREATE EXTENSION vector; or ALTER EXTENSION vector UPDATE; by a user who may",
                )
            register_vector(connection)
        except BaseException:
            connection.close()
            raise
        return connection


class _Postgres:
    """The calls of ``Database``."""

    def __init__(self, place: str, graph: Graph, uri: str) -> None:
        import psycopg

        self.place, self.graph, self._uri = place, graph, uri
        self.errors: tuple[type[Exception], ...] = (psycopg.Error, OSError)

    def _connection(self) -> contextlib.AbstractContextManager[Any]:
        idle: _Idle = remembered(_Idle, self._uri)
        return idle.connection(self.graph.timeout)

    def names(self, start: str) -> list[str]:
        asked = "select tablename from pg_tables where schemaname = current_schema() and starts_with(tablename, %s)"
        with self._connection() as connection:
            return [str(row[0]) for row in connection.execute(asked, (start,))]

    def count(self, name: str) -> int:
        from psycopg import sql

        if name not in self.names(name):
            return -1
        with self._connection() as connection:
            asked = sql.SQL("select count(*) from {}").format(sql.Identifier(name))
            return int(connection.execute(asked).fetchone()[0])

    def takes(self, attribute: Attribute) -> bool:
        return 0 < len(attribute.name.encode()) <= _NAME and "\0" not in attribute.name

    def create(self, name: str, rows: Rows) -> None:
        from psycopg import sql

        if rows.dim > _DIM:
            raise SearchError(
                f"vectors have {rows.dim:,} numbers; pgvector's graph takes at most {_DIM:,}.",
                hint="train with a smaller dim",
            )
        columns = [("id", "int8" if rows.has_integer_ids else _TYPES["text"]), ("vector", f"vector({rows.dim})")]
        columns += [(one.name, _TYPES[one.kind]) for one in rows.attributes]
        listed = [sql.SQL("{} {}").format(sql.Identifier(one), sql.SQL(kind)) for one, kind in columns]
        with self._connection() as connection:
            made = sql.SQL("create table {} ({}, primary key (id))")
            connection.execute(made.format(sql.Identifier(name), sql.SQL(", ").join(listed)))

    def insert(self, name: str, batch: Batch) -> None:
        from psycopg import sql

        columns = {"id": batch.ids, "vector": list(batch.vectors), **batch.attributes}
        with self._connection() as connection, connection.cursor() as cursor:
            types = self._types(connection, name)
            into = sql.SQL("copy {} ({}) from stdin with (format binary)")
            named = sql.SQL(", ").join(map(sql.Identifier, columns))
            with cursor.copy(into.format(sql.Identifier(name), named)) as copy:
                copy.set_types([types[column] for column in columns])
                for row in zip(*columns.values(), strict=True):
                    copy.write_row(row)

    def _types(self, connection: Any, name: str) -> dict[str, str]:
        """The types of a table's columns."""
        asked = (
            "select attname, typname from pg_attribute join pg_type on pg_type.oid = atttypid "
            "where attrelid = to_regclass(quote_ident(%s)) and attnum > 0"
        )
        return dict(connection.execute(asked, (name,)).fetchall())

    def finish(self, name: str, rows: int) -> None:
        from psycopg import sql

        graph = sql.SQL(
            "create index if not exists {} on {} using hnsw (vector vector_ip_ops) with (m = {}, ef_construction = {})"
        )
        names = sql.Identifier(f"{name}_graph"), sql.Identifier(name)
        with self._connection() as connection:
            connection.execute(
                graph.format(*names, sql.Literal(self.graph.links), sql.Literal(self.graph.build_effort))
            )
            connection.execute(sql.SQL("analyze {}").format(names[1]))

    def search(self, name: str, queries: Floats, k: int, effort: int, where: Filter | None = None) -> list[Found]:
        from psycopg import sql

        values: dict[str, Any] = {}

        def value(one: Any) -> str:
            values[f"value_{len(values)}"] = one
            return f"%(value_{len(values) - 1})s"

        def column(one: str) -> str:
            return sql.Identifier(one).as_string().replace("%", "%%")

        def among(name: str, some: list[Any], negated: bool) -> str:
            return f"{name} {'<> all' if negated else '= any'} ({value(some)}::{_array(some)}[])"

        met = "" if where is None else f"where {text_of(where, column, value, among)}"
        asked = (
            f"select id, -(vector <#> %(query)s) from {sql.Identifier(name).as_string()} {met} "
            "order by vector <#> %(query)s limit %(k)s"
        )
        settings = {
            "statement_timeout": math.ceil(1000 * self.graph.timeout),
            "hnsw.ef_search": min(effort, _EFFORT),
            "hnsw.iterative_scan": "strict_order",
        }
        with self._connection() as connection, connection.transaction():
            for setting, one in settings.items():
                connection.execute("select set_config(%s, %s, true)", (setting, str(one)))
            with connection.pipeline():
                replies = [connection.execute(asked, {**values, "query": query, "k": k}) for query in queries]
                return [reply.fetchall() for reply in replies]

    def target(self, alias: str) -> str | None:
        asked = "select table_name from information_schema.view_table_usage where view_schema = current_schema() and view_name = %s"
        with self._connection() as connection:
            found = connection.execute(asked, (alias,)).fetchone()
        return None if found is None else str(found[0])

    def point(self, alias: str, name: str) -> None:
        """A view with other columns has to be dropped first; then rights on it have to be granted again."""
        import psycopg
        from psycopg import sql

        names = sql.Identifier(alias), sql.Identifier(name)
        made = sql.SQL("create or replace view {} as select * from {}").format(*names)
        with self._connection() as connection, connection.transaction():
            try:
                with connection.transaction():
                    connection.execute(made)
            except psycopg.errors.InvalidTableDefinition:
                connection.execute(sql.SQL("drop view {}").format(names[0]))
                connection.execute(made)

    def drop(self, name: str) -> None:
        from psycopg import sql

        alias = name.rpartition("_")[0]
        leads_here = bool(alias) and self.target(alias) == name  # a collection that has lost rows, and is filled again
        with self._connection() as connection, connection.transaction():
            if leads_here:
                connection.execute(sql.SQL("drop view {}").format(sql.Identifier(alias)))
            connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(name)))


def _array(values: list[Any]) -> str:
    """The type of the members of an array of these values."""
    kinds = {type(value) for value in values}
    if kinds <= {int}:
        return "int8"
    return "text" if kinds == {str} else "bool" if kinds == {bool} else "float8"
