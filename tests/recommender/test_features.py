"""Towers that read more than the id: stored features, a request's own, context, and modules of one's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor, nn

import shortlist as sl
from shortlist.errors import BundleError, ConfigError, DataError


class Sum(nn.Module):
    """The sum of the embedded features."""

    def forward(self, embedded: Mapping[str, Tensor]) -> Tensor:
        return torch.stack(list(embedded.values())).sum(0)


def put(tower: sl.Tower, kind: str, values: Mapping[Any, tuple[float, float]]) -> None:
    """Give the table of one feature its vectors; None is the unknown row, whatever is left out is zero."""
    table, feature = tower.tables[kind], tower.features[kind]
    table.weight.zero_()
    for value, vector in values.items():
        code = 0 if value is None else int(feature.encode(pl.Series([value])).values[0])
        table.weight[code] = torch.tensor(vector)


@pytest.fixture
def sided() -> tuple[sl.TwoTower, sl.Dataset]:
    """A query is the sum of its id's vector and its town's: the first number is the score of a, the second of b.

    ann (1, 0) of Rome (0, 4); bob (2, 0) of Oslo (0, 1); dan of Rome never chose. Unknown id (0, 0), no town (8, 0).
    """
    train = sl.Dataset(
        {"who": ["ann", "bob"], "what": ["a", "b"]},
        "who",
        "what",
        queries={"who": ["ann", "bob", "dan"], "town": ["Rome", "Oslo", "Rome"], "note": ["x", "y", "z"]},
    )
    model = sl.TwoTower(
        sl.Tower(sl.StringLookup("who"), sl.StringLookup("town"), dim=2, module=Sum()),
        sl.Tower(sl.StringLookup("what"), dim=2),
    )
    model.prepare(train)
    put(model.query, "who:StringLookup", {"ann": (1, 0), "bob": (2, 0)})
    put(model.query, "town:StringLookup", {"Rome": (0, 4), "Oslo": (0, 1), None: (8, 0)})
    put(model.candidate, "what:StringLookup", {"a": (1, 0), "b": (0, 1)})
    return model.eval(), train


def scores(recommender: sl.Recommender, queries: Any) -> list[dict[Any, float]]:
    return [dict(zip(one.ids, one.scores, strict=True)) for one in recommender.recommend(queries, exclude_seen=False)]


def test_an_id_alone_uses_its_stored_features(sided: tuple[sl.TwoTower, sl.Dataset]) -> None:
    recommender = sl.Recommender(sided[0], seen=sided[1])
    assert scores(recommender, ["ann", "bob", "dan", "eve"]) == [
        {"a": 1, "b": 4},
        {"a": 2, "b": 1},
        {"a": 0, "b": 4},  # never trained: of dan only the town counts
        {"a": 8, "b": 0},
    ]
    assert recommender.recommend(["ann", "dan", "eve"]).known == [True, False, False]


def test_a_requests_own_features_stand_in_place_of_the_stored(sided: tuple[sl.TwoTower, sl.Dataset]) -> None:
    recommender = sl.Recommender(sided[0])
    asked = {"who": ["ann", "eve", None, "bob"], "town": ["Oslo", "Rome", "Oslo", None]}
    expected = [{"a": 1, "b": 1}, {"a": 0, "b": 4}, {"a": 0, "b": 1}, {"a": 10, "b": 0}]
    assert scores(recommender, asked) == expected
    assert scores(recommender, pl.DataFrame(asked)) == expected
    assert recommender.recommend(asked).known == [True, False, False, True]


def test_what_a_record_does_not_have_is_looked_up(sided: tuple[sl.TwoTower, sl.Dataset]) -> None:
    recommender = sl.Recommender(sided[0])
    asked = [{"who": "ann", "town": "Oslo"}, {"who": "bob"}, {"who": "ann", "town": None}, {"who": "eve"}]
    assert scores(recommender, asked) == [{"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 9, "b": 0}, {"a": 8, "b": 0}]


def test_columns_that_the_tower_does_not_read_change_nothing(sided: tuple[sl.TwoTower, sl.Dataset]) -> None:
    recommender = sl.Recommender(sided[0])
    assert scores(recommender, {"who": ["ann"], "note": ["new"]}) == [{"a": 1, "b": 4}]
    with pytest.raises(DataError, match="did you mean 'town'"):
        recommender.recommend({"who": ["ann"], "towm": ["Oslo"]})
    with pytest.raises(DataError, match="2 values for 1"):
        recommender.recommend({"who": ["ann"], "town": ["Oslo", "Rome"]})
    with pytest.raises(DataError):
        recommender.recommend({"who": ["ann"], "town": [7]})
    with pytest.raises(DataError, match="a list"):
        recommender.recommend({"who": ["ann"], "town": "Rome"})
    with pytest.raises(DataError, match="Int64"):
        recommender.recommend([{"who": "ann", "town": 7}, {"who": "bob"}])


def test_a_module_of_ones_own_through_a_bundle(sided: tuple[sl.TwoTower, sl.Dataset], tmp_path: Path) -> None:
    fresh = sl.Recommender(sided[0])
    fresh.save(tmp_path / "b")
    loaded = sl.Recommender.load(tmp_path / "b")
    asked = ["ann", "bob", "dan", "eve"]
    assert loaded.recommend(asked) == fresh.recommend(asked)  # known queries need no module
    with pytest.raises(BundleError, match="never store code"):
        loaded.recommend({"who": ["ann"], "town": ["Oslo"]})
    loaded = sl.Recommender.load(tmp_path / "b", modules={"query": Sum()})
    assert scores(loaded, {"who": ["ann"], "town": ["Oslo"]}) == [{"a": 1, "b": 1}]


def test_side_features_need_torch_only_when_a_request_brings_them(
    sided: tuple[sl.TwoTower, sl.Dataset], tmp_path: Path
) -> None:
    sl.Recommender(sided[0]).save(tmp_path / "b")
    code = (
        "import sys, shortlist as sl\n"
        "loaded = sl.Recommender.load(sys.argv[1])\n"
        "loaded.recommend(['ann', 'dan', 'eve'])\n"
        "loaded.recommend({'who': ['ann'], 'note': ['n']})\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "b")], check=False).returncode == 0


@pytest.fixture
def contextual() -> tuple[sl.TwoTower, sl.Dataset]:
    """The query tower also reads the hour, which only an interaction has. am (4, 0), pm (0, 4), no hour (0, 0)."""
    train = sl.Dataset({"who": ["ann", "bob"], "what": ["a", "b"], "hour": ["am", "pm"]}, "who", "what")
    model = sl.TwoTower(
        sl.Tower(sl.StringLookup("who"), sl.StringLookup("hour"), dim=2, module=Sum()),
        sl.Tower(sl.StringLookup("what"), dim=2),
    )
    model.prepare(train)
    put(model.query, "who:StringLookup", {"ann": (1, 0), "bob": (2, 1)})
    put(model.query, "hour:StringLookup", {"am": (4, 0), "pm": (0, 4)})
    put(model.candidate, "what:StringLookup", {"a": (1, 0), "b": (0, 1)})
    return model.eval(), train


def test_context_comes_with_the_request(contextual: tuple[sl.TwoTower, sl.Dataset], tmp_path: Path) -> None:
    fresh = sl.Recommender(contextual[0], seen=contextual[1])
    fresh.save(tmp_path / "b")
    for recommender in (fresh, sl.Recommender.load(tmp_path / "b", {"query": Sum()})):
        asked = {"who": ["ann", "ann", "eve"], "hour": ["am", "pm", "pm"]}
        assert scores(recommender, asked) == [{"a": 5, "b": 0}, {"a": 1, "b": 4}, {"a": 0, "b": 4}]
        assert scores(recommender, ["bob"]) == [{"a": 2, "b": 1}]
        with pytest.raises(ConfigError, match="only a request has"):
            recommender.ann_overlap()


def test_every_kind_of_weight_comes_back(train: sl.Dataset, tmp_path: Path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("third", torch.ones(3, dtype=torch.bfloat16) / 3)
            self.register_buffer("count", torch.tensor(2**40))
            self.register_buffer("mask", torch.tensor([True, False]))
            self.register_buffer("nothing", torch.zeros(0, 2))

        def forward(self, embedded: Mapping[str, Tensor]) -> Tensor:
            return next(iter(embedded.values()))

    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2, module=Odd()), sl.Tower(sl.StringLookup("what"), dim=2))
    model.prepare(train)
    model.query.layers.third.mul_(5)  # type: ignore[union-attr,operator]
    model.query.layers.count.add_(1)  # type: ignore[union-attr,operator]
    sl.Recommender(model).save(tmp_path / "b")
    again = sl.Recommender.load(tmp_path / "b", {"query": Odd()}).model
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_columns_named_like_the_bundles_own(tmp_path: Path) -> None:
    train = sl.Dataset(
        {"known": ["x", "y"], "training_count": [1, 2]},
        "known",
        "training_count",
        candidates={"training_count": [1, 2], "training_count_": ["p", "q"]},
    )
    model = sl.TwoTower(sl.Tower(sl.StringLookup("known"), dim=2), sl.Tower(sl.IntegerLookup("training_count"), dim=2))
    model.prepare(train)
    fresh = sl.Recommender(model, seen=train)
    fresh.save(tmp_path / "b")
    loaded = sl.Recommender.load(tmp_path / "b")
    assert loaded.recommend(["x", "y"]) == fresh.recommend(["x", "y"])
    assert loaded.model.catalogue.candidates.equals(train.candidates)
