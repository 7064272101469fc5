"""ALS's own weight of what nobody chose: by density; the sweeps are tested in test_sweeps.py and tests/train/test_als.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shortlist.errors import ConfigError
from shortlist.loss import ALS, Chosen, objective, solve


def chosen_of(pairs, shape=(40, 50), weight: float = 1.0) -> Chosen:
    rows, columns = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    return Chosen.of(rows, columns, np.full(len(pairs), weight, np.float32), shape)


def test_the_weight_is_twice_the_density_of_what_occurs() -> None:
    # 20 rows and 30 columns occur, with 30 choices: 2 · 30 / 600; those that nobody chose do not dilute it
    pairs = [(one % 20, one) for one in range(30)]
    assert ALS().weight(chosen_of(pairs)) == pytest.approx(0.1)
    assert ALS().weight(chosen_of(pairs, (4000, 5000))) == pytest.approx(0.1)
    assert ALS().weight(chosen_of(pairs).turned()) == pytest.approx(0.1)  # from either side
    assert ALS().weight(chosen_of(pairs, weight=0.5)) == pytest.approx(0.05)
    assert ALS(unobserved=0.7).weight(chosen_of(pairs)) == 0.7


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=20))
def test_it_is_a_fifth_at_most_and_above_nothing(pairs) -> None:
    weight = ALS().weight(chosen_of(pairs))
    rows, columns = ({pair[side] for pair in pairs} for side in (0, 1))
    assert weight == pytest.approx(min(2 * len(pairs) / (len(rows) * len(columns)), 0.2))
    assert ALS().on(chosen_of(pairs)) == ALS(unobserved=weight)


def test_none_is_as_the_number_it_stands_for() -> None:
    pairs = [(one % 20, one * 7 % 30) for one in range(90)]
    chosen, other = chosen_of(pairs), torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    number = ALS(unobserved=ALS().weight(chosen))
    found = solve(chosen, other, ALS())
    torch.testing.assert_close(found, solve(chosen, other, number))
    assert objective(chosen, chosen.turned(), found, other, ALS()) == objective(
        chosen, chosen.turned(), found, other, number
    )
    assert not torch.allclose(found, solve(chosen, other, ALS(unobserved=0.9)))


@pytest.mark.parametrize("copies", [1, 4])
def test_vectors_do_not_vanish_in_a_larger_catalogue(copies: int) -> None:
    # the same table over and over in blocks: a constant weight of what nobody chose would shrink its vectors
    pairs = [
        (20 * block + one, 20 * block + (one * other) % 20)
        for block in range(copies)
        for one in range(20)
        for other in (1, 3)
    ]
    chosen = chosen_of(pairs, (20 * copies, 20 * copies))
    generator = torch.Generator().manual_seed(0)
    candidate = torch.randn(20 * copies, 8, generator=generator) * 0.1
    task = ALS().on(chosen)
    for _ in range(8):
        query = solve(chosen, candidate, task)
        candidate = solve(chosen.turned(), query, task)
    assert float(candidate.norm(dim=1).mean()) > 0.1
    assert objective(chosen, chosen.turned(), query, candidate, task) < 0.9


@pytest.mark.parametrize(
    "options", [{"unobserved": 0}, {"unobserved": True}, {"regularization": None}, {"exponent": 3}]
)
def test_options_that_cannot_be(options) -> None:
    with pytest.raises(ConfigError, match=f"ALS got {next(iter(options))}="):
        ALS(**options)
