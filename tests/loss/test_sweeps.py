"""Sweeps of three steps of conjugate gradients, next to the exact solution of each row."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.loss.exact_als import exact_rows, exact_sweeps

from shortlist.errors import TrainingError
from shortlist.loss import ALS, Chosen, Sweeps, objective, solve


def clustered(rows: int, columns: int, most: float, seed: int) -> Chosen:
    """Choices of a few tastes: the chance of a pair is up to ``most``, and falls with the column's number."""
    generator = np.random.default_rng(seed)
    taste = generator.random((rows, 4)) ** 4 @ generator.random((4, columns)) ** 4
    popular = 1 / (1 + np.arange(columns) / 10)
    row, column = np.nonzero(generator.random((rows, columns)) < most * taste * popular)
    return Chosen.of(row, column, generator.integers(1, 4, len(row)).astype(np.float32), (rows, columns))


tasks = st.builds(ALS, st.none() | st.floats(0.01, 1), st.floats(0.01, 1), st.sampled_from([0, 0.75, 1.0]))


@given(task=tasks, seed=st.integers(0, 100), most=st.sampled_from([0.2, 3.0]))
def test_many_steps_reach_the_exact_solution_and_few_from_there_stay(task: ALS, seed: int, most: float) -> None:
    chosen = clustered(30, 25, most, seed)
    other = torch.randn(25, 6, generator=torch.Generator().manual_seed(seed))
    wanted = torch.from_numpy(exact_rows(chosen, other.double().numpy(), task)).float()
    found = solve(chosen, other, task, steps=20)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(solve(chosen, other, task, start=found), wanted, rtol=1e-3, atol=1e-4)


def test_a_row_of_as_few_choices_as_steps_is_exact_at_once() -> None:
    chosen = Chosen.of(np.array([0, 0, 1]), np.array([0, 3, 2]), np.ones(3, np.float32), (2, 5))
    other = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    wanted = torch.from_numpy(exact_rows(chosen, other.double().numpy(), ALS(0.1))).float()
    torch.testing.assert_close(solve(chosen, other, ALS(0.1), steps=3), wanted, rtol=1e-3, atol=1e-5)
    assert not torch.allclose(solve(chosen, other, ALS(0.1), steps=1), wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("most", [0.3, 2.0])
@pytest.mark.parametrize("dim", [8, 32])
def test_after_the_default_sweeps_the_objective_is_as_low_as_by_exact_ones(most: float, dim: int) -> None:
    chosen = clustered(300, 200, most, seed=1)
    task, turned = ALS().on(chosen), chosen.turned()
    start = torch.randn(200, dim, generator=torch.Generator().manual_seed(2)) * (0.1 / dim**0.5)
    exact = [torch.from_numpy(side).float() for side in exact_sweeps(chosen, start.double().numpy(), task, 5)]
    sweeps = Sweeps(chosen, task, dim, torch.Generator().manual_seed(2))
    losses = [sweeps.sweep() for _ in range(5)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1.002 * objective(chosen, turned, *exact, task)
    assert losses[-1] == pytest.approx(objective(chosen, turned, sweeps.query, sweeps.candidate, task), rel=1e-5)
    assert losses[0] > 1.1 * losses[-1]  # so that the comparison can fail


def test_rows_without_a_choice_stay_at_nothing() -> None:
    chosen = Chosen.of(np.array([0, 2]), np.array([1, 3]), np.ones(2, np.float32), (4, 5))
    sweeps = Sweeps(chosen, ALS(), 3, torch.Generator().manual_seed(0))
    for _ in range(3):
        assert np.isfinite(sweeps.sweep())
    assert sweeps.query.any(1).tolist() == [True, False, True, False]
    assert sweeps.candidate.any(1).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("heavy", [1e30, 3e38])
def test_weights_too_far_apart_are_an_error_in_words(heavy: float) -> None:
    generator = np.random.default_rng(0)
    rows, columns = generator.integers(0, 200, 3000), generator.integers(0, 100, 3000)
    weights = np.where(generator.random(3000) < 0.02, heavy, 1.0).astype(np.float32)
    sweeps = Sweeps(Chosen.of(rows, columns, weights, (200, 100)), ALS(), 16, torch.Generator().manual_seed(0))
    with pytest.raises(TrainingError, match=r"weights from 1 to [13]e\+3[08]: numbers are no longer finite"):
        [sweeps.sweep() for _ in range(5)]


def test_weights_of_a_pair_that_float32_cannot_add_are_an_error_in_words() -> None:
    rows, weights = np.array([0, 0, 1]), np.array([3e38, 3e38, 1.0], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen = Chosen.of(rows, np.array([0, 0, 1]), weights, (2, 2))
    with pytest.raises(TrainingError, match=r"add up to more than 3\.4e38, the most that float32 holds"):
        Sweeps(chosen, ALS(), 2, torch.Generator().manual_seed(0)).sweep()
