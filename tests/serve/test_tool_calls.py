"""Arguments that do not fit a tool, through the protocol's own client."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest

import shortlist as sl
from shortlist.serve.loaded import Loaded
from shortlist.serve.tools import Tools, tool_server

mcp = pytest.importorskip("mcp", reason='pip install "shortlist[mcp]"')

ID = "an id, text or a whole number, was expected."
WRONG = [
    ("recommend", {"query": [1]}, f"recommend: query is [1]; {ID}"),
    ("recommend", {"query": {}}, f"recommend: query is {{}}; {ID}"),
    ("explain", {"query": [1]}, f"explain: query is [1]; {ID}"),
    ("similar", {}, f"similar: candidate is missing; {ID}"),
    ("look_up", {}, "look_up: text is missing; a text was expected."),
    ("look_up", {"text": "a", "limit": "b"}, "look_up: limit is 'b'; a whole number was expected."),
    ("recommend", {"query": 1, "k": 2.5}, "recommend: k is 2.5; a whole number was expected."),
    ("recommend", {"query": 1, "history": "i1"}, "recommend: history is 'i1'; a list of candidate ids was expected."),
    ("recommend", {"query": 1, "where": 7}, "recommend: where is 7; a condition as text was expected."),
    ("recommend", {"query": 1, "include_seen": 7}, "recommend: include_seen is 7; true or false was expected."),
]
UNKNOWN = [
    ("recommend", {"query": 1, "K": 5}, "recommend: there is no argument 'K'; did you mean 'k'?"),
    ("look_up", {"text": "a", "canary": 1}, "look_up: there is no argument 'canary'; known: limit, text"),
    ("about", {"x" * 200: 1}, f"about: there is no argument '{'x' * 79}; it has none"),
]


def test_arguments_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    data = sl.Dataset({"user": [1, 1, 2], "film": [7, 8, 7]}, "user", "film")
    sl.Recommender(sl.popularity(data), seen=data).save(tmp_path / "a.shortlist")
    loaded = Loaded.read(tmp_path / "a.shortlist")

    async def asked() -> None:
        async with mcp.Client(tool_server(loaded)) as client:
            for tool, arguments, told in (*WRONG, *UNKNOWN):
                failed = await client.call_tool(tool, arguments)
                assert failed.is_error
                assert failed.content[0].text == told
            listed = (await client.list_tools()).tools
            assert [tool.input_schema["additionalProperties"] for tool in listed] == [False] * 5

    asyncio.run(asked())
    named = {(tool, argument) for tool, _, told in WRONG for argument in [told.split()[1]]}
    parameters = {name for tool in Tools(loaded).all for name in inspect.signature(tool).parameters}
    assert parameters == {argument for _, argument in named}
