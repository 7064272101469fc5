"""A bundle's tools for an assistant, over the Model Context Protocol: recommend, similar, explain, look up. They only read."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from shortlist.data.ids import integer_id
from shortlist.errors import DataError, MissingExtraError, SearchError, ShortlistError
from shortlist.language import counted
from shortlist.recommender import pipeline
from shortlist.serve.loaded import Loaded
from shortlist.serve.reading import stored_history

if TYPE_CHECKING:
    from mcp.server import MCPServer

__all__ = ["Tools", "tool_server"]

MOST = 50
"""Items of one answer: an assistant reads each of them."""

COLUMNS = 8
LONGEST = 200  # characters of a value, and of a text to look up
CHOICES = 100  # of a history


class Tools:
    """The questions that an assistant may ask of a bundle. Every answer is a table of at most ``MOST`` items.

    Args:
        loaded: the bundle.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded

    @property
    def all(self) -> tuple[Callable[..., dict[str, Any]], ...]:
        """The tools, in the order in which they are listed."""
        return self.about, self.look_up, self.recommend, self.explain, self.similar

    def about(self) -> dict[str, Any]:
        """Describe this recommender: its columns, how many queries and candidates, how it was made and measured."""
        card = self.loaded.card
        return {key: card[key] for key in ("name", "created", "query_column", "candidate_column", "columns", "queries",
                                           "candidates", "title_column", "features", "histories", "example_query", "metrics")}  # fmt: skip

    def look_up(self, text: str, limit: int = 10) -> dict[str, Any]:
        """Find candidates by a part of their title, or by their id. Use it to turn a name into the id that other tools need.

        Args:
            text: what to look for; small and capital letters are alike.
            limit: how many, at most 50.
        """
        if not isinstance(text, str) or not 0 < len(text) <= LONGEST:
            raise DataError(f"the text has {len(str(text)):,} characters; 1 to {LONGEST} were expected.")
        return {"items": self._items(self.loaded.found(text, _count(limit, "limit")))}

    def recommend(
        self,
        query: str | int | None = None,
        k: int = 10,
        history: Sequence[str | int] = (),
        where: str | None = None,
        include_seen: bool = False,
    ) -> dict[str, Any]:
        """The best candidates for a query (usually a person), or for a history alone, best first.

        Args:
            query: the id of the query, known or new; left out, the history alone is answered.
            k: how many, at most 50.
            history: ids of candidates that the query chose in addition, oldest first; with them a new query, or one without an
                id, gets its own list.
            where: a condition on the candidates' columns in SQL, such as "year > 1990 and title like '%Star%'".
            include_seen: also list what the query chose before.
        """
        return self._recommended(query, k, history, where, include_seen, explain=False)

    def explain(
        self,
        query: str | int | None = None,
        k: int = 10,
        history: Sequence[str | int] = (),
        where: str | None = None,
    ) -> dict[str, Any]:
        """The same as recommend, and for each item why it is there: which sources found it, and because of which earlier choices.

        Args:
            query: the id of the query, known or new; left out, the history alone is answered.
            k: how many, at most 50.
            history: ids of candidates that the query chose in addition, oldest first.
            where: a condition on the candidates' columns in SQL.
        """
        return self._recommended(query, k, history, where, include_seen=False, explain=True)

    def similar(self, candidate: str | int, k: int = 10, where: str | None = None) -> dict[str, Any]:
        """Candidates that are chosen by the same queries as a given one.

        Args:
            candidate: its id; look_up finds it by its title.
            k: how many, at most 50.
            where: a condition on the candidates' columns in SQL.
        """
        ids = [_typed(candidate, self.loaded.candidate_kind.strings, "candidate")]
        (found,) = pipeline.similar(self.loaded.served, ids, _count(k, "k"), where=where)
        return {"items": self._items(found.ids, {"score": found.scores})}

    def _recommended(
        self,
        query: str | int | None,
        k: int,
        history: Sequence[str | int],
        where: str | None,
        include_seen: bool,
        explain: bool,
    ) -> dict[str, Any]:
        loaded = self.loaded
        one = None if query is None else _typed(query, loaded.query_kind.strings, "query")
        asked, folded = self._asked(one, self._history(one, history))
        (found,) = pipeline.recommend(
            loaded.served, asked, _count(k, "k"),
            exclude_seen=not include_seen, history=folded, where=where, explain=explain,
        )  # fmt: skip
        more: dict[str, Sequence[Any]] = {"score": found.scores, "source": found.sources}
        if found.reasons is not None:
            more["why"] = [str(reason) for reason in found.reasons]
        return {"query": found.query, "known": found.known, "items": self._items(found.ids, more)}

    def _history(self, query: str | int | None, history: Sequence[str | int]) -> list[str | int]:
        """The choices that a request brings, in the bundle's type.

        Raises:
            DataError: where there is neither a query nor a history, where there are too many choices or none that the
                catalogue has, and where the model does not read them.
        """
        loaded = self.loaded
        if not history:
            if query is None:
                raise DataError(
                    "neither a query nor a history was given.",
                    hint="give the id of a query, or a history of candidate ids; look_up finds them by title",
                )
            return []
        if len(history) > CHOICES:
            raise DataError(f"the history has {len(history):,} candidates; at most {CHOICES} were expected.")
        if not loaded.histories:
            raise DataError(
                "this model does not read histories: its query tower reads columns of a request, and none of choices.",
                hint="leave history out, and give the id of a query; for candidates like a given one use similar",
            )
        own = [_typed(each, loaded.candidate_kind.strings, "candidate") for each in history]
        if not any(each in loaded.state.candidate_ids.row_of for each in own):
            raise DataError(
                f"the catalogue has no candidate of the history, such as {own[0]!r}.",
                hint="look_up finds ids by title",
            )
        return own

    def _asked(self, query: str | int | None, own: list[str | int]) -> tuple[Any, list[list[str | int]] | None]:
        """The request, and the choices to fold in: a model with a column of histories reads them there, after the stored ones."""
        column = self.loaded.about.history_column
        if not own or column is None:
            return [query], [own] if own else None
        return {self.loaded.state.query: [query], column: [[*stored_history(self.loaded, query), *own]]}, None

    def _items(self, ids: Sequence[Any], more: dict[str, Sequence[Any]] | None = None) -> list[dict[str, Any]]:
        """Candidates with their first columns, long values cut short, and what an answer adds to each."""
        names = self.loaded.about.columns[1 : COLUMNS + 1]
        rows = self.loaded.values_of(ids, names)
        added = more or {}
        return [
            {"id": one, **{name: _short(value) for name, value in row.items()}}
            | {name: _rounded(values[number]) for name, values in added.items()}
            for number, (one, row) in enumerate(zip(ids, rows, strict=True))
        ]


def tool_server(loaded: Loaded) -> MCPServer:
    """A server of the Model Context Protocol with the bundle's tools.

    Raises:
        MissingExtraError: without the package mcp.
    """
    try:
        from mcp.server.mcpserver.exceptions import ToolError
        from mcp.types import ToolAnnotations

        from shortlist.serve.tool_calls import ToolServer
    except ModuleNotFoundError as missing:
        raise MissingExtraError("mcp", "mcp", "shortlist mcp") from missing
    card = loaded.card
    server = ToolServer(
        "shortlist",
        version=card["version"],
        instructions=(
            f"Recommendations from {counted(card['candidates'], 'candidate')} ({card['candidate_column']}) for "
            f"{counted(card['queries'], 'query')} ({card['query_column']}){_example(card['example_query'])}. Nothing is ever changed."
        ),
        log_level="WARNING",
    )
    for tool in Tools(loaded).all:
        server.add_tool(
            _with_errors_in_words(tool, ToolError),
            description=inspect.cleandoc(tool.__doc__ or ""),
            annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
        )
    return server


def _example(query: Any) -> str:
    """A query to begin with, where the bundle knows what somebody chose."""
    return "" if query is None else f", for example {query!r}"


def _with_errors_in_words(tool: Callable[..., dict[str, Any]], error: type[Exception]) -> Callable[..., dict[str, Any]]:
    """The tool; an assistant gets the message of an error, with what to do."""

    @functools.wraps(tool)
    def called(**arguments: Any) -> dict[str, Any]:
        try:
            return tool(**arguments)
        except ShortlistError as failed:
            raise error(str(failed)) from failed

    return called


def _count(number: int, name: str) -> int:
    """How many items; SearchError outside 1 to ``MOST``."""
    if not 1 <= number <= MOST:
        raise SearchError(f"{name} is {number}; a whole number from 1 to {MOST} was expected.")
    return number


def _typed(one: str | int, strings: bool, side: str) -> str | int:
    """An id in the bundle's type: assistants write numbers as text, and text as numbers."""
    if strings:
        return str(one)
    number = one if isinstance(one, int) else integer_id(one)
    if number is None:
        raise DataError(f"the {side} ids are integers; {one!r} was given.", hint="give the digits alone")
    return number


def _short(value: Any) -> Any:
    """A value as JSON has it; a long text is cut."""
    if isinstance(value, list):
        return [_short(one) for one in value[:COLUMNS]]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
