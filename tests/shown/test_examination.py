"""Chances by place: by hand, the maximum of the likelihood, and near the truth where that is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

import shortlist as sl

TRUE = np.array([1.0, 0.6, 0.35, 0.2])


def shown_at_random(queries: int, times: int, seed: int) -> dict[str, np.ndarray]:
    """Each query's four candidates in ``times`` random orders; which are liked differs by query."""
    generator = np.random.default_rng(seed)
    liked = generator.random((queries, 4)) * 0.6
    orders = np.array([[generator.permutation(4) for _ in range(times)] for _ in range(queries)])  # place → candidate
    chance = np.take_along_axis(liked[:, None, :].repeat(times, 1), orders, 2) * TRUE
    shape = orders.shape
    return {
        "query": np.broadcast_to(np.arange(queries)[:, None, None], shape).ravel(),
        "candidate": orders.ravel(),
        "place": np.broadcast_to(np.arange(1, 5), shape).ravel(),
        "clicked": (generator.random(shape) < chance).ravel(),
    }


def test_two_places_by_hand():
    # one pair, four times at each place: clicked 4 times at the first and once at the second, so half as … a quarter
    shown = {"query": ["a"] * 8, "candidate": ["x"] * 8, "place": [1] * 4 + [2] * 4, "clicked": [1] * 4 + [1, 0, 0, 0]}
    result = sl.Examination.estimate(shown)
    assert result.chances == pytest.approx([1, 1 / 4])
    assert (result.pairs, result.clicks) == (1, 5)


def test_pairs_of_one_place_say_nothing():
    several = {
        "query": ["a"] * 8,
        "candidate": ["x"] * 8,
        "place": [1] * 4 + [2] * 4,
        "clicked": [1] * 4 + [1, 0, 0, 0],
    }
    more = {"query": ["b"] * 3, "candidate": ["x", "y", "z"], "place": [1, 2, 2], "clicked": [0, 1, 1]}
    both = {name: [*several[name], *more[name]] for name in several}
    assert sl.Examination.estimate(both) == sl.Examination.estimate(several)


def likelihood(chances: np.ndarray, shown: dict[str, np.ndarray]) -> float:
    """Of the places of each pair's clicks, given how many it has: a plain loop."""
    counts: dict[tuple[int, int], np.ndarray] = {}
    clicks: dict[tuple[int, int], np.ndarray] = {}
    for query, candidate, place, clicked in zip(*shown.values(), strict=True):
        counts.setdefault((query, candidate), np.zeros(4))[place - 1] += 1
        clicks.setdefault((query, candidate), np.zeros(4))[place - 1] += clicked
    total = 0.0
    for pair, number in counts.items():
        weights = number * chances
        total += sum(c * np.log(w / weights.sum()) for c, w in zip(clicks[pair], weights, strict=True) if c)
    return total


def test_no_other_chances_are_likelier():
    shown = shown_at_random(60, 3, seed=0)
    found = np.array(sl.Examination.estimate(shown).chances)
    best = likelihood(found, shown)
    for place in range(1, 4):
        for factor in (0.97, 1.03):
            moved = found.copy()
            moved[place] *= factor
            assert likelihood(moved, shown) < best


def test_near_the_truth_whatever_is_liked():
    estimates = np.array([sl.Examination.estimate(shown_at_random(400, 3, seed)).chances for seed in range(30)])
    error = estimates.mean(0) - TRUE
    assert (np.abs(error[1:]) < 4 * estimates.std(0)[1:] / 30**0.5).all()


def test_it_reads_well_and_is_plain():
    result = sl.Examination.estimate(shown_at_random(60, 3, seed=0))
    assert "shown at several places" in str(result)
    assert max(map(len, str(result).splitlines())) <= 80
    assert json.loads(json.dumps(result.to_dict()))["pairs"] == result.pairs


@pytest.mark.parametrize("chances", [[], [1.0, 0.0], [1.0, float("nan")], "high", None, [1.0, -1.0], 3])
def test_chances_are_numbers_above_nought(chances):
    with pytest.raises(sl.ConfigError, match="a number above 0 for each"):
        sl.Examination(chances)


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (([0, 0], [1, 2], [1, 2], [1, 1]), "more than one place"),
        (([0, 0], [1, 1], [1, 2], [0, 0]), "more than one place"),
        (([0, 0], [1, 1], [1, 2], [1, 0]), "places 2 cannot be compared"),
        (([0] * 4, [1, 1, 2, 2], [1, 2, 3, 4], [1] * 4), "places 3, 4 cannot be compared"),
        (([0, 0], [1, 1], [1, 3], [1, 1]), "places 2 cannot be compared"),
    ],
)
def test_what_cannot_be_compared_is_refused(shown, words):
    names = ("query", "candidate", "place", "clicked")
    with pytest.raises(sl.DataError, match=words):
        sl.Examination.estimate(dict(zip(names, shown, strict=True)))


ONE_SIDED = [  # pairs with what was shown and clicked by place: (shown, clicked)
    [{1: (5, 5), 2: (5, 0)}, {2: (5, 3), 3: (5, 2)}],  # place 2 has clicks, but none on what place 1 had too
    [{1: (5, 0), 2: (5, 5)}, {2: (5, 3), 3: (5, 2)}, {1: (5, 5)}],  # and place 1 none on what another place had
    [{1: (5, 2), 2: (5, 2)}, {2: (5, 5), 3: (5, 0)}, {3: (5, 4), 4: (5, 4)}],
    [{1: (5, 2), 2: (5, 2), 3: (5, 0)}, {3: (5, 1), 4: (5, 1)}],
]


def shown_of(pairs: list[dict[int, tuple[int, int]]]) -> dict[str, list[int]]:
    rows = [
        (0, number, place, int(one < clicked))
        for number, pair in enumerate(pairs)
        for place, (times, clicked) in pair.items()
        for one in range(times)
    ]
    return dict(zip(("query", "candidate", "place", "clicked"), map(list, zip(*rows, strict=True)), strict=True))


@pytest.mark.parametrize(("pairs", "lost"), [*zip(ONE_SIDED, ["2, 3", "2, 3", "3, 4", "3, 4"], strict=True)])
def test_clicks_of_one_side_alone_are_refused(pairs, lost):
    """The likelihood has no maximum: it rises as the chances of the lost places fall, or rise, without an end."""
    shown = {name: np.array(values) for name, values in shown_of(pairs).items()}
    deepest, down = max(shown["place"]), []
    for power in range(0, 12, 3):
        chances = np.array([10.0 ** (-power if str(place) in lost else 0) for place in range(1, 5)])
        down.append([likelihood(chances, shown), likelihood(1 / chances, shown)])
    assert any(np.all(np.diff(one) > -1e-9) and one[-1] > one[0] for one in np.array(down).T), deepest
    with pytest.raises(sl.DataError, match=f"places {lost} cannot be compared with the first: too few clicks"):
        sl.Examination.estimate(shown)


def test_clicks_of_both_sides_by_a_third_place_are_enough():
    # 1 over 2 by one pair, 2 over 3 by another, 3 over 1 by the last: no pair has both ways, and yet there is a maximum
    ring = [{1: (4, 4), 2: (4, 0)}, {2: (4, 4), 3: (4, 0)}, {3: (4, 4), 1: (4, 0)}]
    assert sl.Examination.estimate(shown_of(ring)).chances == pytest.approx([1, 1, 1])
