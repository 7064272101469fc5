"""recommend, similar, score, embed: what they answer, and what they say to what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from tests.recommender import test_stage_files as staged

import shortlist as sl
from shortlist.recommender.pipeline import recommend
from shortlist.serve import Settings, answers
from shortlist.serve.settings import Limits


def ids(results: list[Any]) -> list[list[str]]:
    return [[item["id"] for item in one["items"]] for one in results]


def test_known_and_unknown_queries_are_answered_and_marked(client: Any) -> None:
    reply = client.post("/v1/recommend", {"queries": [{"id": "ann"}, {"id": "bob"}, {"id": "eve"}, {}], "k": 2})
    assert reply.status_code == 200
    body = reply.json()
    assert ids(body["results"]) == [["c", "d"], ["d", "a"], ["b", "a"], ["b", "a"]]  # eve and nobody: by popularity
    assert [one["known"] for one in body["results"]] == [True, True, False, False]
    assert body["results"][0] == {
        "id": "ann", "known": True,
        "items": [{"id": "c", "score": 1.0}, {"id": "d", "score": 0.5}],
    }  # fmt: skip
    assert body["bundle"] == client.app.service.loaded.bundle
    assert body["took_ms"] > 0
    assert len(reply.headers["x-request-id"]) > 8


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"exclude_seen": False}, ["a", "b", "c", "d"]),
        ({"exclude_seen": False, "k": 1}, ["a"]),
        ({"allow": ["d", "c", "nowhere"]}, ["c", "d"]),
        ({"deny": ["c"]}, ["d"]),
        ({"where": "stock > 0"}, ["c", "d"]),
        ({"where": "kind = 'x'"}, ["c"]),
        ({"where": "kind = 'x'", "exclude_seen": False, "deny": ["c"]}, ["a"]),
        ({"exact": True}, ["c", "d"]),
    ],
)
def test_filters(client: Any, changes: dict[str, Any], expected: list[str]) -> None:
    body = client.post("/v1/recommend", {"queries": [{"id": "ann"}], **changes}).json()
    assert ids(body["results"]) == [expected]


def test_each_query_has_its_own_exclusions(client: Any) -> None:
    queries = [{"id": "ann", "exclude": ["c"]}, {"id": "ann"}, {"id": "cat", "exclude": ["a", "d"]}]
    body = client.post("/v1/recommend", {"queries": queries}).json()
    assert ids(body["results"]) == [["d"], ["c", "d"], ["c"]]


def test_a_history_changes_the_list_and_is_left_out_of_it(client: Any) -> None:
    """A visitor's vector is folded in from what they picked: as ``Recommender.recommend(history=…)`` has it."""
    expected = recommend(client.app.service.loaded.served, [None], history=[["c"]])[0]
    (found,) = client.post("/v1/recommend", {"queries": [{"history": ["c"]}]}).json()["results"]
    assert [item["id"] for item in found["items"]] == expected.ids
    assert "c" not in expected.ids
    assert found["known"] is False
    kept = client.post("/v1/recommend", {"queries": [{"history": ["c"]}], "exclude_seen": False}).json()["results"]
    assert "c" in ids(kept)[0]
    several = [{"history": ["c"]}, {"id": "ann"}, {"history": []}]
    assert ids(client.post("/v1/recommend", {"queries": several}).json()["results"])[1] == ["c", "d"]
    vectors = client.post("/v1/embed", {"queries": [{"history": ["c"]}, {}]}).json()["vectors"]
    assert vectors[0] != vectors[1] == [-1.0, 0.0]


def test_columns_come_with_the_items(client: Any) -> None:
    body = client.post("/v1/recommend", {"queries": [{"id": "ann"}], "columns": ["full_name", "stock"]}).json()
    assert [item["columns"] for item in body["results"][0]["items"]] == [
        {"full_name": None, "stock": 5},
        {"full_name": "Delta", "stock": 7},
    ]


def test_requests_that_arrive_together_get_what_each_gets_alone(client: Any) -> None:
    bodies = [{"queries": [{"id": name}], "k": k} for name in ("ann", "bob", "cat", "eve") for k in (1, 3)] * 5
    alone = [client.post("/v1/recommend", body).json()["results"] for body in bodies]
    before = client.app.service.metrics.registry.get_sample_value("shortlist_batch_queries_count")
    replies = client.together([("/v1/recommend", body) for body in bodies])
    after = client.app.service.metrics.registry.get_sample_value("shortlist_batch_queries_count")
    assert [reply.json()["results"] for reply in replies] == alone
    assert after - before < len(bodies)


def test_one_that_does_not_fit_spoils_no_other(clients: Callable[..., Any]) -> None:
    client = clients(recommender=aged())
    good = {"queries": [{"id": "ann", "features": {"age": 30}}]}
    bad = {"queries": [{"id": "ann", "features": {"age": "old"}}]}
    replies = client.together([("/v1/recommend", body) for body in (good, bad, good)])
    assert [reply.status_code for reply in replies] == [200, 422, 200]
    assert replies[1].json()["field"] == "$.queries[0].features.age"
    assert "old" not in replies[1].text


def aged() -> sl.Recommender:
    """A query tower that also reads an age; untrained."""
    train = sl.Dataset(
        {"who": ["ann", "bob"], "what": ["a", "b"]}, "who", "what", queries={"who": ["ann", "bob"], "age": [30, 40]}
    )
    model = sl.TwoTower(
        sl.Tower(sl.StringLookup("who"), sl.Normalization("age"), dim=2), sl.Tower(sl.StringLookup("what"), dim=2)
    )
    model.prepare(train)
    return sl.Recommender(model.eval(), seen=train)


def test_similar(client: Any) -> None:
    body = client.post("/v1/similar", {"candidates": ["a", "c"], "k": 2, "columns": ["kind"]}).json()
    assert ids(body["results"]) == [["b", "c"], ["d", "b"]]
    assert [item["score"] for item in body["results"][0]["items"]] == [12.0, 4.0]
    assert client.post("/v1/similar", {"candidates": ["a"], "where": "kind = 'y'"}).json()["results"][0]["items"][0][
        "id"
    ] == "b"  # fmt: skip


def test_score(client: Any) -> None:
    body = client.post("/v1/score", {"queries": [{"id": "ann"}, {"id": "eve"}], "candidates": ["d", "x", "a"]}).json()
    assert [one["scores"] for one in body["results"]] == [[0.5, None, 4.0], [-0.5, None, -4.0]]
    assert [one["known"] for one in body["results"]] == [True, False]


def mixture() -> sl.Recommender:
    """Six users who like films of their own parity; nobody chose film 10."""
    log = [(user, film) for user in range(6) for film in range(10) if (user + film) % 2 == 0 and film != user]
    frame = pl.DataFrame(log, schema=["user", "film"], orient="row")
    data = sl.Dataset(frame, "user", "film", candidates={"film": list(range(11))})
    model = sl.Mixture([sl.popularity(data), sl.Cooccurrence().fit(data)], data, weights=[0.1, 0.9])
    return sl.Recommender(model, index=sl.BruteForce(), seen=data, cold_start="unknown")


@pytest.mark.parametrize("options", [{}, {"exclude_seen": False}])
def test_the_score_of_a_mixture_is_that_of_its_list(clients: Callable[..., Any], options: dict[str, Any]) -> None:
    """It was the dot product of the towers alone, in another order than the list."""
    client = clients(recommender=mixture())
    queries = [{"id": 0}, {"id": 1, "exclude": [3]}, {"id": 99, "history": [5]}, {"id": 98}]
    lists = client.post("/v1/recommend", {"queries": queries, "k": 11, **options}).json()["results"]
    body = {"queries": queries, "candidates": [404, *range(11)], **options}
    scored = client.post("/v1/score", body).json()["results"]
    for found, of_query in zip(lists, scored, strict=True):
        scores = dict(zip(body["candidates"], of_query["scores"], strict=True))
        assert scores.pop(404) is None
        assert all(score <= 1 for score in scores.values())
        by_model = [item for item in found["items"] if "source" not in item]
        assert len(by_model) > 1
        assert [scores[item["id"]] for item in by_model] == [item["score"] for item in by_model]


def test_embed(client: Any) -> None:
    body = client.post("/v1/embed", {"queries": [{"id": "cat"}, {"id": None}]}).json()
    assert body["vectors"] == [[1.0, 1.0], [-1.0, 0.0]]
    assert body["dim"] == 2
    assert client.post("/v1/embed", {"candidates": ["c", "x"]}).json()["vectors"] == [[1.0, 4.0], None]


def test_under_refuse_an_unknown_query_is_a_404(clients: Callable[..., Any], bundles: Any) -> None:
    recommender = sl.Recommender.load(bundles / "one")
    recommender.cold_start = "refuse"
    client = clients(recommender=recommender)
    assert client.post("/v1/recommend", {"queries": [{"id": "eve"}]}).status_code == 404
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}]}).status_code == 200


def test_limits_are_settings(clients: Callable[..., Any]) -> None:
    client = clients(Settings(limits=Limits(k=3, queries=1, body=100)))
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}], "k": 4}).json()["field"] == "$.k"
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}] * 2, "k": 2}).json()["field"] == "$.queries"
    assert client.post("/v1/recommend", {"queries": [{"id": "a" * 100}]}).status_code == 413


@pytest.mark.parametrize(("path", "asked"), [("recommend", {"queries": [{}]}), ("similar", {"candidates": ["a"]})])
def test_columns_have_a_bound_and_come_once(clients: Callable[..., Any], path: str, asked: dict[str, Any]) -> None:
    """Two candidates of a list with three columns each are six values; the catalogue has four candidates."""
    client = clients(Settings(limits=Limits(cells=6, wait_seconds=100.0)))

    def status(**more: Any) -> tuple[int, str | None]:
        reply = client.post(f"/v1/{path}", {**asked, **more})
        return reply.status_code, reply.json().get("field")

    assert status(k=2, columns=["what", "kind", "stock"]) == (200, None)
    assert status(k=3, columns=["what", "kind", "stock"]) == (422, "$.columns")
    assert status(k=1000, columns=["kind"]) == (200, None)
    assert status(k=1, columns=["kind", "stock", "kind"]) == (422, "$.columns[2]")
    assert status(k=1, columns=["kind"] * 84_000) == (422, "$.columns")
    assert status(k=1, columns=[f"c{number}" for number in range(101)]) == (422, "$.columns")


def test_long_replies_are_not_written_on_the_event_loop(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """256 lists of four items with four columns are 5,120 values, the items included; one list is 20."""
    from threading import get_ident

    from shortlist.serve.loaded import Loaded

    threads: list[int] = []
    values_of = Loaded.values_of

    def watched(self: Loaded, *arguments: Any) -> Any:
        threads.append(get_ident())
        return values_of(self, *arguments)

    monkeypatch.setattr(Loaded, "values_of", watched)
    body = {"k": 4, "exclude_seen": False, "columns": ["what", "kind", "stock", "full_name"]}
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}], **body}).status_code == 200
    assert threads == [get_ident()]
    threads.clear()
    reply = client.post("/v1/recommend", {"queries": [{"id": "ann"}] * 256, **body})
    assert len(reply.json()["results"]) == 256
    assert len(threads) == 256
    assert get_ident() not in threads


@pytest.mark.parametrize(
    ("path", "queries", "pauses"),
    [
        ("/v1/recommend", [{"id": "ann"}] * 256, 2),  # a query counts for twenty values of two thousand
        ("/v1/embed", [{"id": "ann"}] * 256, 2),
        ("/v1/recommend", [{"id": "ann", "exclude": ["c"] * 5000}] * 20, 19),  # of a long one each
        ("/v1/score", [{"id": "ann", "exclude": ["c"] * 900}] * 20, 6),
    ],
)
def test_reading_queries_lets_the_loop_go_first_now_and_then(
    client: Any, monkeypatch: pytest.MonkeyPatch, path: str, queries: list[Any], pauses: int
) -> None:
    """In the thread; pauses between pieces of the text are not counted here."""
    counted: list[int] = []
    plain = answers.read_queries

    def noted(*given: Any) -> Any:
        return plain(*given[:4], lambda: counted.append(1))

    monkeypatch.setattr(answers, "read_queries", noted)
    body = {"queries": queries} | ({"candidates": ["c"]} if path == "/v1/score" else {})
    assert client.post(path, body).status_code == 200
    assert len(counted) == pauses


@pytest.mark.parametrize("k", [4, 100_001, 2**63, 2**70])
def test_the_most_that_k_may_be_is_one_number_everywhere(clients: Callable[..., Any], k: int) -> None:
    client = clients(Settings(limits=Limits(k=3, ruled_k=2)))
    for path, body in (("/v1/recommend", {"queries": [{"id": "ann"}]}), ("/v1/similar", {"candidates": ["a"]})):
        reply = client.post(path, {**body, "k": k}).json()
        assert (reply["status"], reply["field"], reply["detail"]) == (422, "$.k", "at most 3 was expected.")
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert {schemas[name]["properties"]["k"]["maximum"] for name in ("RecommendRequest", "SimilarRequest")} == {3}


@pytest.mark.parametrize("rules", [{}, {"seed": 5}, {"diversify": 0}, {"boost": [], "pin": []}])
def test_rules_that_rule_nothing_have_no_limit(clients: Callable[..., Any], rules: dict[str, Any]) -> None:
    client = clients(Settings(limits=Limits(k=3, ruled_k=2)))
    body = {"queries": [{"id": "ann"}], "k": 3}
    assert (
        client.post("/v1/recommend", {**body, "rerank": rules}).json()["results"]
        == (client.post("/v1/recommend", body).json()["results"])
    )


@pytest.mark.parametrize("path", ["recommend", "similar", "score", "embed", "models/one:predict"])
def test_a_parameter_of_a_post_is_refused(client: Any, path: str) -> None:
    """``POST /v1/recommend?k=5`` gave ten items."""
    reply = client.post(f"/v1/{path}?k=5", {"queries": [{"id": "ann"}]}).json()
    assert (reply["status"], reply["field"], reply["hint"]) == (422, "?", "parameters: none")


def test_under_refuse_a_history_is_answered_that_a_tower_reads(clients: Callable[..., Any]) -> None:
    """As one that is folded in is; a history without a candidate of the catalogue says nothing."""
    log = {"who": ["ann", "ann", "bob"], "what": ["a", "b", "b"], "at": [1, 2, 3]}
    train = sl.Dataset(log, "who", "what", timestamp="at")
    for feature in (sl.History(length=4), sl.StringLookup("who")):
        model = sl.TwoTower(sl.Tower(feature, dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
        model.prepare(train)
        client = clients(recommender=sl.Recommender(model.eval(), seen=train, cold_start="refuse"))
        for one in ("eve", None):
            told = client.post("/v1/recommend", {"queries": [{"id": one, "history": ["zz", "a"]}]})
            assert (told.status_code, [item["id"] for item in told.json()["results"][0]["items"]]) == (200, ["b"])
            for history in ([], ["zz"]):
                assert client.post("/v1/recommend", {"queries": [{"id": one, "history": history}]}).status_code == 404
    model = sl.TwoTower(sl.Tower(sl.History(length=4), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
    model.prepare(train)
    client = clients(recommender=sl.Recommender(model.eval(), seen=train, cold_start="refuse"))
    for past, status in ((["a"], [200]), (["zz"], [404]), (None, [404]), (7, [404, 422]), ([[1]], [404, 422])):
        query = {"id": "eve", "features": {"history": past}}
        assert client.post("/v1/recommend", {"queries": [query]}).status_code in status, past


@pytest.mark.parametrize("bundle", ["towers", "mixture"])
@pytest.mark.parametrize(("candidates", "expected"), [([], []), ([404], [None])])
def test_scores_of_no_candidate_the_catalogue_has(
    clients: Callable[..., Any], bundle: str, candidates: list[int], expected: list[None]
) -> None:
    """However many queries ask: more than fit into one turn were a 500."""
    client = clients(recommender=mixture() if bundle == "mixture" else None)
    given = candidates if bundle == "mixture" else [str(one) for one in candidates]
    for count in (1, 2, 256):
        queries = [{"id": 0 if bundle == "mixture" else "ann"}] * count
        reply = client.post("/v1/score", {"queries": queries, "candidates": given})
        assert reply.status_code == 200, reply.text
        assert [one["scores"] for one in reply.json()["results"]] == [expected] * count


@pytest.mark.parametrize("second_stage", [True, False])
@pytest.mark.parametrize(
    ("features", "fits"),
    [
        ({"age": 60}, True), ({"age": None}, True), ({"land": "kr"}, True), ({"land": "elsewhere", "age": 18}, True),
        ({"age": "old"}, False), ({"age": 60.5}, False), ({"age": True}, False), ({"age": [60]}, False),
        ({"land": 3}, False), ({"land": ["kr"]}, False), ({"land": False}, False),
        ({"age": 60, "land": 1.5}, False), ({"born": 1990}, False), ({"born": "1990-01-01"}, False),
    ],
)  # fmt: skip
def test_columns_that_only_a_list_or_a_second_stage_reads_are_checked_before_anything_is_queued(
    clients: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    second_stage: bool,
    features: dict[str, Any],
    fits: bool,
) -> None:
    model = staged.MODEL if second_stage else staged.MODEL.with_stage(None, staged.data())
    client = clients(recommender=sl.Recommender(model, sl.BruteForce(), staged.data(), cold_start="unknown"))
    fits = fits or (not second_stage and "land" not in features)  # which nothing reads then
    body = {"queries": [{"id": "p0"}, {"id": "p1", "features": features}, {"features": features}], "k": 3}
    if not fits:
        monkeypatch.setattr(client.app.service.batcher, "ask", lambda *_, **__: pytest.fail("it was queued"))
    for route, more in (("recommend", {}), ("score", {"candidates": [1, 2]})):
        reply = client.post(
            f"/v1/{route}", {**body, **more} if route == "recommend" else {"queries": body["queries"], **more}
        )
        assert reply.status_code == (200 if fits else 422), reply.text
        if not fits:
            wrong = [name for name in features if not (name == "age" and len(features) > 1)]
            assert reply.json()["field"] == f"$.queries[1].features.{wrong[0]}"
            assert "the feature has another type than in training" in reply.json()["detail"]


def test_events_and_changes_at_once_reach_a_second_stage(clients: Callable[..., Any]) -> None:
    """The history grows: lists are those of ``recommend`` with it."""
    recommender = sl.Recommender(staged.MODEL, sl.BruteForce(), staged.data(), cold_start="unknown", fallback=())
    client = clients(recommender=recommender)
    asked = {"queries": [{"id": "p0", "history": [9, 2]}, {"id": "new", "history": [4]}], "k": 6}
    reply = client.post("/v1/recommend", asked).json()
    expected = recommender.recommend(["p0", "new"], k=6, history=[[9, 2], [4]])
    assert [[item["id"] for item in one["items"]] for one in reply["results"]] == [one.ids for one in expected]
    assert [item["score"] for item in reply["results"][0]["items"]] == pytest.approx(expected[0].scores)
