"""A mixture's quotas in lists by rules: against a loop over places, and on every way to ask."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.recommender.test_many_sources import FILMS, MODEL, PEOPLE, TEMPERATURES, WEIGHTS, data

import shortlist as sl
from shortlist.cli import recommend
from shortlist.recommender import reranking

SOURCES = ("towers", "towers 2", "transitions", "popular", "new", "new 2")
YEARS = {film: 1990 + film * 5 % 12 // 3 for film in range(FILMS)}
QUOTAS = ((0, 0, 0, 0, 0.2, 0), (0.3, 0, 0.2, 0, 0, 0), (0, 0.1, 0, 0.15, 0, 0.25), (0, 0, 0.5, 0, 0, 0))


@cache
def served(quotas: tuple[float, ...] | None = None) -> sl.Recommender:
    """The mixture with quotas, or without any."""
    model = MODEL
    if quotas is not None:
        model = sl.Mixture(MODEL.sources, MODEL.histories, weights=WEIGHTS, temperatures=TEMPERATURES, quotas=quotas)
    made = sl.Recommender(model, sl.BruteForce(), data(), fallback=())
    made.upsert(pl.DataFrame({"film": [*YEARS], "year": [*YEARS.values()]}))
    return made


@cache
def scores(query: str) -> tuple[dict[int, float], list[dict[int, float]]]:
    """Of all films that the query may have: by all sources, and by each one that has a score for them."""
    (found,) = served().recommend([query], k=FILMS, explain=True)
    own: list[dict[int, float]] = [{} for _ in SOURCES]
    for item, reason in zip(found, found.reasons or (), strict=True):
        for number, part in enumerate(reason.parts):
            if number < 2 or part.score > 0:
                own[number][item.id] = part.score
    return dict(zip(found.ids, found.scores, strict=True)), own


def lifted(of: dict[int, float], boost: dict[str, float], k: int) -> dict[int, float]:
    """Scores with a boost in their own spans."""
    best = sorted(of.values(), reverse=True)[:k]
    span = (best[0] - best[-1] or 1.0) if best else 1.0
    met = {"film < 4": lambda film: film < 4, "film in (1, 6, 11)": lambda film: film in (1, 6, 11)}
    return {
        film: score + span * sum(factor for condition, factor in boost.items() if met[condition](film))
        for film, score in of.items()
    }


def by_loop(
    query: str, k: int, quotas: tuple[float, ...], diversify: float, boost: dict[str, float], at_most: int | None,
    pin: dict[int, int],
) -> list[int]:  # fmt: skip
    """The rules as the docstring of Rerank has them, one place at a time."""
    together, alone = scores(query)
    lanes = [(lifted(together, boost, k), 1 - sum(quotas))]
    lanes += [(lifted(own, boost, k), quota) for own, quota in zip(alone, quotas, strict=True) if quota]
    placed = {place: film for place, film in pin.items() if place <= k and film in together}
    orders = [sorted(of, key=lambda film: (-of[film], film)) for of, _ in lanes]
    orders[0] = [film for film in orders[0] if film not in placed.values()]
    vectors = served().served.vectors
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    gave: list[set[int]] = [set() for _ in lanes]
    reached = [0] * len(lanes)

    def fits(film: int) -> bool:
        return at_most is None or [YEARS[one] for one in placed.values()].count(YEARS[film]) < at_most

    def worth(number: int, film: int) -> float:
        of = [lanes[number][0][one] for one in orders[number]]
        relevance = (lanes[number][0][film] - min(of)) / (max(of) - min(of)) if max(of) > min(of) else 0.0
        near = max((float(units[film] @ units[one]) for one in placed.values()), default=0.0)
        return (1 - diversify) * relevance - diversify * near

    for place in range(1, k + 1):
        if place in placed:
            continue
        turns = []
        for number, (order, (_, share)) in enumerate(zip(orders, lanes, strict=True)):
            left = [film for film in order if film not in placed.values() and fits(film)]
            if not left:
                continue
            head = max(left, key=lambda film: round(worth(number, film), 6)) if diversify else left[0]
            ahead = order[: order.index(head)]
            counted = [film for at, film in placed.items() if at < place and (film in gave[number] or film in ahead)]
            reached[number] = max(reached[number], len(counted) + 1)
            turn = reached[number] / share
            turns.append((not (number and turn <= place), turn, -lanes[0][0][head], head, number))
        if not turns:
            break
        *_, film, number = min(turns)
        placed[place] = film
        gave[number].add(film)
    return [placed[place] for place in sorted(placed)]


RULES = st.fixed_dictionaries(
    {
        "diversify": st.sampled_from([0.0, 0.0, 0.3, 0.8]),
        "boost": st.dictionaries(
            st.sampled_from(["film < 4", "film in (1, 6, 11)"]), st.sampled_from([-1.7, 0.3, 1.1]), max_size=2
        ),
        "pin": st.dictionaries(st.integers(1, 8), st.integers(0, FILMS - 1), max_size=2).filter(
            lambda pin: len({*pin.values()}) == len(pin)
        ),
    }
)
ASKED = st.sampled_from([f"p{one}" for one in range(PEOPLE)])
MOST = st.sampled_from([None, None, 1, 2])


@settings(deadline=None)
@given(RULES, ASKED, st.integers(1, FILMS), st.sampled_from(QUOTAS), MOST)
def test_a_list_is_that_of_a_loop(
    rules: dict[str, Any], query: str, k: int, quotas: tuple[float, ...], most: int | None
) -> None:
    counted = {} if most is None else {"year": most}
    (found,) = served(quotas).recommend([query], k=k, rerank=sl.Rerank(at_most=counted, **rules))
    assert found.ids == by_loop(query, k, quotas, at_most=most, **rules)
    if not rules["pin"] and most is None:
        own = [lifted(one, rules["boost"], k) for one in scores(query)[1]]
        for of, quota in zip(own, quotas, strict=True):
            best = sorted(of, key=lambda film: (-of[film], film))
            for length in range(1, len(found) + 1):
                due = min(math.floor(quota * length), len(best))
                assert len({*found.ids[:length]} & {*best}) >= due
                assert rules["diversify"] or {*best[:due]} <= {*found.ids[:length]}


@settings(deadline=None, max_examples=30)
@given(ASKED, st.integers(1, FILMS), st.sampled_from(QUOTAS), st.sampled_from([None, "film > 2", "year >= 1992"]))
def test_rules_that_change_nothing_leave_the_list_as_it_is(
    query: str, k: int, quotas: tuple[float, ...], where: str | None
) -> None:
    recommender = served(quotas)
    (plain,) = recommender.recommend([query], k=k, where=where)
    for rules in ({}, {"boost": {"film >= 3": 0.0, "film < 0": 2.0}}, {"at_most": {"film": 1}}):
        (found,) = recommender.recommend([query], k=k, where=where, rerank=sl.Rerank(**rules))
        assert found.ids == plain.ids
        assert found.scores == pytest.approx(plain.scores, rel=1e-6)


@settings(deadline=None, max_examples=40)
@given(RULES, ASKED, st.integers(1, FILMS), st.sampled_from(QUOTAS), st.integers(1, 3))
def test_small_pools_give_the_same_lists_where_nothing_is_diversified(
    rules: dict[str, Any], query: str, k: int, quotas: tuple[float, ...], most: int
) -> None:
    """More is searched for where the first pool has too few, of all sources and of each one."""
    rules = rules | {"diversify": 0.0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reranking, "POOL", 2)
        patch.setattr(reranking, "POOL_OF_K", 1)
        (found,) = served(quotas).recommend([query], k=k, rerank=sl.Rerank(at_most={"year": most}, **rules))
    assert found.ids == by_loop(query, k, quotas, at_most=most, **rules)


def test_people_that_the_model_does_not_answer_have_no_quotas() -> None:
    recommender = sl.Recommender(served(QUOTAS[0]).served)
    recommender.cold_start = "popularity"
    rules = sl.Rerank(diversify=0.3)
    plain = sl.Recommender(served().served)
    plain.cold_start = "popularity"
    assert recommender.recommend(["nobody"], k=5, rerank=rules) == plain.recommend(["nobody"], k=5, rerank=rules)


def test_deleted_candidates_have_no_place_by_a_quota() -> None:
    recommender = sl.Recommender(served(QUOTAS[0]).served)
    (first,) = recommender.recommend(["p1"], k=5, rerank=sl.Rerank(boost={"film < 6": 0.5}))
    recommender.delete(first.ids[:2])
    (found,) = recommender.recommend(["p1"], k=5, rerank=sl.Rerank(boost={"film < 6": 0.5}))
    assert len(found) == 5
    assert not {*found.ids} & {*first.ids[:2]}


def test_the_command_line_and_a_loaded_bundle_answer_alike(tmp_path: Path) -> None:
    recommender = served(QUOTAS[2])
    bundle = tmp_path / "a.shortlist"
    recommender.save(bundle)
    rules = {"diversify": 0.4, "boost": {"film < 4": 0.8}}
    (expected,) = recommender.recommend(["p2"], k=6, rerank=sl.Rerank(**rules))
    (loaded,) = sl.Recommender.load(bundle).recommend(["p2"], k=6, rerank=sl.Rerank(**rules))
    options = ["--k", "6", "--diversify", "0.4", "--boost", "film < 4", "0.8", "--json"]
    reply = CliRunner().invoke(recommend.command, [str(bundle), "p2", *options])
    assert reply.exit_code == 0, reply.output
    listed = [item["id"] for item in json.loads(reply.stdout)[0]["items"]]
    assert listed == loaded.ids == expected.ids == by_loop("p2", 6, QUOTAS[2], at_most=None, pin={}, **rules)
