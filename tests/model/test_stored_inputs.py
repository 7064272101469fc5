"""Windows and numbers in files: what is read of them for a batch."""

from __future__ import annotations

import torch

from shortlist.model.stored_inputs import StoredNumbers, StoredSequences

CPU = torch.device("cpu")


def test_numbers_are_read_as_whole_numbers() -> None:
    stored = StoredNumbers(torch.tensor([5, 6, 7], dtype=torch.int32), CPU)
    assert stored[torch.tensor([2, 0])].tolist() == stored.index_select(0, torch.tensor([2, 0])).tolist() == [7, 5]
    assert stored[torch.tensor([1])].dtype == torch.long


def test_windows_of_a_batch_are_cut_out_and_share_what_they_shared() -> None:
    """Windows of the codes 10 to 19: rows 0 and 2 begin at place 3, row 1 is empty, row 3 leaves out place 8."""
    start, stop = torch.tensor([3, 5, 3, 7]), torch.tensor([6, 5, 4, 10])
    stored = StoredSequences(torch.arange(10, 20, dtype=torch.int32), start, stop, torch.tensor([-1, -1, -1, 8]), CPU)
    taken = stored.take(torch.tensor([3, 0, 1, 2]))
    assert taken.left_out is not None
    read = [taken.codes[low:high].tolist() for low, high in zip(taken.start.tolist(), taken.stop.tolist(), strict=True)]
    assert read == [[17, 18, 19], [13, 14, 15], [], [13]]
    assert len(taken.codes) == 6
    assert taken.start[1] == taken.start[3]
    assert taken.codes[taken.left_out[0]] == 18
    assert taken.left_out[1:].tolist() == [-1, -1, -1]
