"""Batches: every interaction once an epoch, sequences whole."""

from __future__ import annotations

from itertools import chain

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from shortlist.features import Codes
from shortlist.model import EncodedDataset
from shortlist.train.batches import READ_AHEAD, Interactions


def interactions(sequences: list[int] | None, count: int) -> Interactions:
    rows = np.arange(count)
    codes = {"id": Codes(np.zeros(count, np.int32), 1)}
    owners = None if sequences is None else np.array(sequences)
    encoded = EncodedDataset(codes, codes, rows, rows.astype(np.int32), None, np.ones(count, np.int64), owners)
    return Interactions(encoded, torch.device("cpu"))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(1, 12), st.integers(0, 3))
def test_sequences_stay_whole_and_come_once(sequences: list[int], size: int, seed: int) -> None:
    batches = [batch.tolist() for batch in interactions(sequences, len(sequences)).batches(seed, 1, size)]
    assert sorted(chain.from_iterable(batches)) == list(range(len(sequences)))
    owners = [{sequences[each] for each in batch} for batch in batches]
    assert sum(map(len, owners)) == len(set(sequences))  # no sequence in two batches
    longest = max(sequences.count(owner) for owner in sequences)
    assert all(0 < len(batch) < size + longest for batch in batches)


@given(st.integers(1, 40), st.integers(1, 12))
def test_independent_interactions_fill_their_batches(count: int, size: int) -> None:
    batches = [batch.tolist() for batch in interactions(None, count).batches(0, 1, size)]
    assert sorted(chain.from_iterable(batches)) == list(range(count))
    assert all(len(batch) == size for batch in batches[:-1])


def test_a_batch_read_ahead_is_the_batch_of_the_same_interactions() -> None:
    rows = np.arange(READ_AHEAD + 5) % 7
    codes = {"id": Codes(np.arange(7, dtype=np.int32), 7)}
    encoded = EncodedDataset(codes, codes, rows, (rows % 3).astype(np.int32), None, np.ones(7, np.int64))
    ahead, alone = (Interactions(encoded, torch.device("cpu")) for _ in range(2))
    seen = 0
    for chosen in ahead.batches(3, 1, 50_000):  # two are read together, then the last
        for one, other in zip(ahead.batch(chosen)[:4], alone.batch(chosen)[:4], strict=True):
            assert torch.equal(one, other)
        seen += len(chosen)
    assert seen == len(rows)
    assert ahead.batch(torch.tensor([8])).query_rows.tolist() == [1]  # after the epoch too


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return torch.cat(list(interactions([0, 0, 1, 2, 3, 4, 4, 5], 8).batches(seed, epoch, 3))).tolist()

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (1, 2)}) > 1
