"""What a step costs, counted and not timed: no batch × batch tensor, and nothing that grows with the vocabulary."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from shortlist.compiled import VARIABLE
from shortlist.features import Codes
from shortlist.loss import Retrieval
from shortlist.model import EmbeddingTable, EncodedDataset
from shortlist.train.batches import Interactions
from shortlist.train.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, Updater


class Allocations(TorchDispatchMode):
    """Sizes in bytes of what every operation gave back; a view counts as what it shows, not as what it lies in."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = {value.untyped_storage().data_ptr() for value in tree_flatten(args)[0] if torch.is_tensor(value)}
        for value in tree_flatten(result)[0]:
            if torch.is_tensor(value) and value.untyped_storage().data_ptr() not in inputs:
                self.sizes.append(value.untyped_storage().nbytes())
        return result


def step(
    vocabulary: int, chosen: np.ndarray[Any, Any], optimizer: Optimizer
) -> tuple[Allocations, torch.nn.ModuleList]:
    """One training step over pairs (row, row) of two tables of ``vocabulary`` rows; its allocations and the tables."""
    columns = {"id": Codes(np.arange(vocabulary, dtype=np.int32), vocabulary)}
    rows = chosen.astype(np.int32)
    encoded = EncodedDataset(columns, columns, rows, rows, None, np.bincount(rows, minlength=vocabulary))  # type: ignore[arg-type]
    interactions = Interactions(encoded, torch.device("cpu"))
    tables = torch.nn.ModuleList([EmbeddingTable(vocabulary, 8), EmbeddingTable(vocabulary, 8)])
    updater = Updater(optimizer, tables)
    everything = torch.arange(len(rows))
    with Allocations() as allocations:
        batch = interactions.batch(everything)
        query = tables[0](batch.query_rows, distinct=True)
        candidate = tables[1](batch.candidate_rows, distinct=True)
        Retrieval()(query, candidate, batch.pair_query, batch.pair_candidate).backward()
        updater.step()
    return allocations, tables


@pytest.mark.parametrize("kernel", ["0", "1"])
def test_no_batch_by_batch_tensor_is_ever_allocated(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, kernel)
    batch = 4096
    allocations, _ = step(batch, np.arange(batch), Adagrad())
    assert max(allocations.sizes) < batch * batch * 4 / 2  # float32; the block holds an eighth of it
    if kernel == "0":
        assert max(allocations.sizes) >= 4 * 2**20  # so that the counting is seen to count the block


def test_the_bytes_of_a_step_do_not_depend_on_the_vocabulary() -> None:
    chosen = np.arange(0, 2000, 10)
    for optimizer in (Adagrad(), Adam(), AdamW(), SGD()):
        small, _ = step(2_000, chosen, optimizer)
        large, _ = step(500_000, chosen, optimizer)
        assert sum(small.sizes) == sum(large.sizes)


def test_only_the_rows_of_the_batch_change() -> None:
    chosen = np.array([3, 5, 3])
    torch.manual_seed(0)
    before = EmbeddingTable(1000, 8).weight.clone()
    torch.manual_seed(0)
    _, tables = step(1000, chosen, Adagrad())
    assert (tables[0].weight != before).any(1).nonzero().flatten().tolist() == [3, 5]
