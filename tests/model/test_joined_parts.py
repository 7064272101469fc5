"""The tower of a joined model: the parts' vectors one after another, each at its scale; by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.model.inputs import TowerInputs
from shortlist.model.joined import JoinedTower, part_name

READERS = pl.DataFrame({"reader": ["a", "b"], "age": [20.0, 40.0]})


def part(dim: int, *features: sl.StringLookup) -> sl.Tower:
    tower = sl.Tower(*(features or (sl.StringLookup("reader", ["a", "b"]),)), dim=dim)
    tower.build(tower.encode(READERS, "the readers"))
    return tower.eval()


def test_vectors_stand_one_after_another_at_their_scales() -> None:
    first, second = part(2), part(3)
    first.tables["reader:StringLookup"].weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]]))
    second.tables["reader:StringLookup"].weight.copy_(torch.tensor([[0.0] * 3, [1.0] * 3, [-1.0] * 3]))
    joined = JoinedTower([first, second], [2, 0.5]).eval()
    inputs = TowerInputs.of(joined.encode(READERS, "the readers"))
    assert joined(inputs).tolist() == [[2.0, 4.0, 0.5, 0.5, 0.5], [6.0, 8.0, -0.5, -0.5, -0.5]]
    assert (joined.dim, joined.width) == (5, 5)


def test_features_are_named_by_their_part() -> None:
    joined = JoinedTower([part(2), part(2)], [1, 1])
    assert list(joined.features) == ["0:reader:StringLookup", "1:reader:StringLookup"]
    assert part_name(1, "reader:StringLookup") == "1:reader:StringLookup"
    assert joined.columns == ("reader",)


def test_it_is_not_trained() -> None:
    with pytest.raises(sl.ConfigError, match="a joined model cannot be trained"):
        JoinedTower([part(2)], [1]).check_trainable()


def test_weights_stay_with_the_parts() -> None:
    one = part(2)
    joined = JoinedTower([one, part(2)], [1, 1])
    assert joined.parts[0] is one
    assert np.array_equal(
        joined.state_dict()["parts.0.tables.reader:StringLookup.weight"], one.tables["reader:StringLookup"].weight
    )
