"""Draws have the probabilities they say, and the streaming estimate finds the true frequency."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shortlist.loss import Draws, StreamingFrequency


@pytest.mark.parametrize(
    ("power", "wanted"), [(0.0, [1 / 4] * 4), (1.0, [0, 1 / 14, 4 / 14, 9 / 14]), (0.5, [0, 1 / 6, 2 / 6, 3 / 6])]
)
def test_draws_follow_their_probability(power, wanted) -> None:
    draws = Draws(np.array([0, 1, 4, 9]), power, seed=3)
    np.testing.assert_allclose(draws.probability, wanted)
    drawn = torch.cat([draws.draw(step, 5000) for step in range(8)])
    seen = torch.bincount(drawn, minlength=4).double() / len(drawn)
    # 40,000 draws: a standard deviation of 0.0025 at most
    np.testing.assert_allclose(seen.numpy(), wanted, atol=0.0125)


def test_a_draw_is_a_function_of_seed_and_step() -> None:
    first, again = (Draws(np.array([3, 5, 2]), 1.0, seed=1) for _ in range(2))
    assert torch.equal(first.draw(7, 50), again.draw(7, 50))
    assert not torch.equal(first.draw(7, 50), first.draw(8, 50))
    assert not torch.equal(first.draw(7, 50), Draws(np.array([3, 5, 2]), 1.0, seed=2).draw(7, 50))


def test_the_streaming_estimate_by_hand() -> None:
    """Candidate 0 in steps 1, 3, 4 at rate 1/2: gap 1, then (1 + 2) / 2, then (1.5 + 1) / 2 = 1.25."""
    frequency = StreamingFrequency(3, rate=0.5)
    zero, one = torch.tensor([0]), torch.tensor([1])
    assert frequency.observe(zero).tolist() == [1.0]
    frequency.observe(one)  # first seen at step 2: gap 2
    assert frequency.observe(zero).tolist() == pytest.approx([1 / 1.5])
    assert frequency.observe(zero).tolist() == pytest.approx([1 / 1.25])
    assert frequency(torch.tensor([0, 1, 2])).tolist() == pytest.approx([1 / 1.25, 1 / 2, 1 / 5])


def test_the_streaming_estimate_finds_the_frequency() -> None:
    generator = np.random.default_rng(0)
    chance = np.array([0.05, 0.2, 0.8])
    frequency = StreamingFrequency(3, rate=0.01)
    for _ in range(3000):
        frequency.observe(torch.from_numpy(np.flatnonzero(generator.random(3) < chance)))
    np.testing.assert_allclose(frequency(torch.arange(3)).numpy(), chance, rtol=0.25)
