"""A bundle's tools for assistants: what they answer, and through the protocol's own client."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.serve.loaded import Loaded
from shortlist.serve.tools import MOST, Tools, tool_server

NAMES = ["about", "look_up", "recommend", "explain", "similar"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten users of two groups; films 0, 2, … belong to the one, 1, 3, … to the other."""
    log = [
        {"user": user, "film": film}
        for user in range(10)
        for film in range(8)
        if (user + film) % 2 == 0 and film != user
    ]
    films = {
        "film": list(range(9)),
        "title": [f"Star {n}" if n % 2 == 0 else f"Moon {n}" for n in range(9)],
        "text": ["x" * 500] * 9,
    }
    data = sl.Dataset(pl.DataFrame(log), "user", "film", candidates=films)
    model = sl.Mixture([sl.popularity(data), sl.Cooccurrence().fit(data)], data, weights=[0.1, 0.9])
    folder = tmp_path_factory.mktemp("tools") / "films.shortlist"
    sl.Recommender(model, seen=data).save(folder)
    return folder


@pytest.fixture(scope="module")
def tools(bundle: Path) -> Tools:
    return Tools(Loaded.read(bundle))


def test_a_list_with_columns(tools: Tools) -> None:
    answer = tools.recommend("0", k=2)
    assert (answer["query"], answer["known"]) == (0, True)
    (first, *_) = answer["items"]
    assert list(first) == ["id", "title", "text", "score", "source"]
    assert first["text"] == "x" * 199 + "…"
    assert first["id"] not in (2, 4, 6)  # chosen before


def test_a_new_query_with_a_history_gets_its_own_list(tools: Tools) -> None:
    assert {one["id"] % 2 for one in tools.recommend(99, k=2, history=["1", 3])["items"]} == {1}
    assert tools.recommend(99, k=2)["known"] is False


def test_a_history_alone_gets_its_own_list(tools: Tools) -> None:
    answer = tools.recommend(k=2, history=["1", 3])
    assert (answer["query"], answer["known"]) == (None, False)
    assert answer["items"] == tools.recommend(99, k=2, history=[1, 3])["items"]
    assert "because of" in tools.explain(k=1, history=[1, 3])["items"][0]["why"]


def towers(tmp_path: Path, *features: Any) -> Tools:
    """The tools of a model whose query tower reads some features."""
    torch.manual_seed(0)
    log = {"user": [0, 0, 0, 1, 1, 1], "film": [0, 1, 2, 3, 4, 5], "at": [1, 2, 3, 4, 5, 6], "shop": list("xyxyxy")}
    data = sl.Dataset(log, "user", "film", timestamp="at")
    model = sl.TwoTower(sl.Tower(*features, dim=8), sl.Tower(sl.IntegerLookup("film"), dim=8))
    model.prepare(data)
    sl.Recommender(model.eval(), seen=data).save(tmp_path / "towers.shortlist")
    return Tools(Loaded.read(tmp_path / "towers.shortlist"))


def test_a_model_that_reads_histories_is_asked_as_the_server_asks_it(tmp_path: Path) -> None:
    """The tower reads the history, after the stored one of a known query; nothing is folded into its vector."""
    tools = towers(tmp_path, sl.History(length=5))
    served = sl.Recommender.load(tmp_path / "towers.shortlist")

    def by_python(query: int | None, history: list[int]) -> list[tuple[int, float]]:
        (found,) = served.recommend({"user": [query], "history": [history]}, k=3)
        return [(one, round(score, 4)) for one, score in zip(found.ids, found.scores, strict=True)]

    def by_tool(*query: int, **more: Any) -> list[tuple[int, float]]:
        return [(one["id"], one["score"]) for one in tools.recommend(*query, k=3, **more)["items"]]

    assert by_tool(history=[4, 1]) == by_python(None, [4, 1])
    assert by_tool(history=[1, 4]) == by_python(None, [1, 4])
    assert by_tool(99, history=["4"]) == by_python(99, [4])
    assert by_tool(0, history=[4]) == by_python(0, [0, 1, 2, 4])
    assert 4 not in [one for one, _ in by_tool(0, history=[4])]


def test_a_model_that_reads_no_history_says_why_it_refuses_one(tmp_path: Path) -> None:
    tools = towers(tmp_path, sl.StringLookup("shop"))
    assert len(tools.recommend(0, k=2)["items"]) == 2
    for query in (None, 0, 99):
        with pytest.raises(sl.DataError, match="this model does not read histories") as error:
            tools.recommend(query, history=[1])
        assert "similar" in str(error.value.hint)


def test_reasons(tools: Tools) -> None:
    items = tools.explain(99, k=1, history=[1, 3])["items"]
    assert "cooccurrence" in items[0]["why"]
    assert "because of" in items[0]["why"]


def test_titles_and_ids_are_found(tools: Tools) -> None:
    assert [one["id"] for one in tools.look_up("moon", 2)["items"]] != []
    assert all("Moon" in one["title"] for one in tools.look_up("MOON")["items"])
    assert [one["id"] for one in tools.look_up("8")["items"]] == [8]
    assert tools.look_up("nothing of the kind") == {"items": []}


def test_similar_and_conditions(tools: Tools) -> None:
    assert [one["id"] % 2 for one in tools.similar(0, 2)["items"]] == [0, 0]
    assert all("Moon" in one["title"] for one in tools.recommend(0, where="title like 'Moon%'")["items"])


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "k of 0": ("recommend", {"query": 0, "k": 0}, "from 1 to 50"),
    "k too large": ("similar", {"candidate": 0, "k": MOST + 1}, "from 1 to 50"),
    "an id that is no integer": ("recommend", {"query": "forty"}, "ids are integers"),
    "an unknown candidate": ("similar", {"candidate": 77}, "does not have 77"),
    "a condition": ("recommend", {"query": 0, "where": "titel = 1"}, "titel"),
    "a long text": ("look_up", {"text": "a" * 201}, "1 to 200"),
    "no text": ("look_up", {"text": ""}, "1 to 200"),
    "neither a query nor a history": ("recommend", {}, "neither a query nor a history was given"),
    "nothing to explain": ("explain", {"history": []}, "neither a query nor a history was given"),
    "a history that the catalogue lacks": (
        "recommend",
        {"history": [77, 78]},
        "no candidate of the history, such as 77",
    ),
    "a history of other ids": ("recommend", {"history": ["Star 0"]}, "candidate ids are integers"),
    "a long history": ("recommend", {"query": 0, "history": [1] * 101}, "at most 100"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_in_words(name: str, tools: Tools) -> None:
    tool, arguments, told = WRONG[name]
    with pytest.raises(sl.ShortlistError, match=told):
        getattr(tools, tool)(**arguments)


def test_an_integer_is_text_where_ids_are_text(tmp_path: Path) -> None:
    data = sl.Dataset({"user": ["1", "1", "2"], "film": ["7", "8", "7"]}, "user", "film")
    sl.Recommender(sl.popularity(data), seen=data).save(tmp_path / "text.shortlist")
    answer = Tools(Loaded.read(tmp_path / "text.shortlist")).recommend(2)
    assert (answer["query"], [one["id"] for one in answer["items"]]) == ("2", ["8"])


def test_through_the_protocol(bundle: Path) -> None:
    """Every tool is listed as reading only, with the words on its arguments; an error is told, and not as a traceback."""
    mcp = pytest.importorskip("mcp", reason='pip install "shortlist[mcp]"')

    async def asked() -> None:
        async with mcp.Client(tool_server(Loaded.read(bundle))) as client:
            listed = (await client.list_tools()).tools
            assert [tool.name for tool in listed] == NAMES
            assert all(tool.annotations.read_only_hint for tool in listed)
            for tool in listed:
                assert tool.description == inspect.cleandoc(getattr(Tools, tool.name).__doc__)
            found = await client.call_tool("recommend", {"query": "0", "k": 3})
            assert len(found.structured_content["items"]) == 3
            for tool, arguments, told in WRONG.values():
                failed = await client.call_tool(tool, arguments)
                assert failed.is_error
                assert told in failed.content[0].text
                assert "Traceback" not in failed.content[0].text

    asyncio.run(asked())


def test_the_command_speaks_the_protocol(bundle: Path) -> None:
    """As an assistant starts it: a process of its own, over standard input and output."""
    mcp = pytest.importorskip("mcp", reason='pip install "shortlist[mcp]"')
    command = mcp.StdioServerParameters(
        command=sys.executable, args=["-m", "shortlist", "mcp", str(bundle)], env=dict(os.environ)
    )

    async def asked() -> None:
        async with mcp.Client(command) as client:
            assert "9 candidates (film)" in client.instructions
            found = await client.call_tool("about", {})
            assert found.structured_content["candidates"] == 9

    asyncio.run(asked())
