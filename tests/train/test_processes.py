"""One process alone has nothing to ask; what several cannot train as one would is refused."""

from __future__ import annotations

import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.model import TowerInputs
from shortlist.train.processes import Alone, check_divisible

ALONE = Alone()


def towers(*layers: torch.nn.Module) -> sl.TwoTower:
    module = torch.nn.Sequential(*layers) if layers else None
    query = sl.Tower(sl.StringLookup("who", ["a", "b"]), dim=2, module=module)
    return sl.TwoTower(query, sl.Tower(sl.StringLookup("what"), dim=2))


def test_alone_everything_is_ones_own() -> None:
    values = torch.tensor([1.0, 2.0])
    with ALONE as processes:
        assert (processes.rank, processes.size, processes.first) == (0, 1, True)
        processes.agree({"seed": 1})
        assert processes.of_first(lambda: True)
        assert processes.first_then_others(lambda: "done") == "done"
        assert processes.concatenated(values) is values
        assert processes.united(values, 2) is values
        assert processes.part.of(values) is values
        assert processes.gathered({"of": [1, None]}) == [{"of": [1, None]}]
        processes.add(values)
        assert values.tolist() == [1.0, 2.0]
        assert not processes.raised_elsewhere(sl.TrainingError("stopped"))


def test_alone_vectors_are_the_towers() -> None:
    tower = towers().query
    table = pl.DataFrame({"who": ["a", "b"]})
    tower.build(tower.encode(table, "the table"))
    tower.eval()
    inputs = TowerInputs.of(tower.encode(table, "the table"))
    rows = torch.tensor([1, 0, 1])
    assert torch.equal(ALONE.vectors(tower, inputs, rows), tower(inputs)[rows])


def test_an_error_inside_goes_on() -> None:
    with pytest.raises(sl.DataError, match="came"), ALONE:
        raise sl.DataError("came")


def test_negatives_of_single_queries_stay_in_one_process() -> None:
    check_divisible(sl.Retrieval(), towers(), None)
    with pytest.raises(sl.ConfigError, match="mined= cannot be used with several processes"):
        check_divisible(sl.Retrieval(mined=2), towers(), None)
    with pytest.raises(sl.ConfigError, match="impressions= cannot be used with several processes"):
        check_divisible(sl.Retrieval(), towers(), object())


def test_layers_that_look_at_a_whole_batch_are_refused() -> None:
    with pytest.raises(sl.ConfigError, match="BatchNorm1d needs the whole batch"):
        check_divisible(sl.Retrieval(), towers(torch.nn.BatchNorm1d(2)), None)
    check_divisible(sl.Retrieval(), towers(torch.nn.LayerNorm(2)), None)
