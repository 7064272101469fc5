"""A recipe's sections offer what the classes behind them offer, under the same names and with the same defaults."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

import shortlist as sl
from shortlist.train.recipes import ALSSection, HistorySection, LossSection


@pytest.mark.parametrize(("section", "behind"), [(LossSection, sl.Retrieval), (ALSSection, sl.ALS)])
def test_a_section_is_its_class(section: type[msgspec.Struct], behind: type) -> None:
    offered = {field.name: field.default for field in msgspec.structs.fields(section)}
    assert offered == {field.name: field.default for field in dataclasses.fields(behind)}


def test_a_history_in_a_recipe_is_a_history() -> None:
    section = HistorySection()
    history = sl.History(**msgspec.structs.asdict(section))
    plain = sl.History()
    assert {name: getattr(history, name) for name in msgspec.structs.asdict(section)} == {
        name: getattr(plain, name) for name in msgspec.structs.asdict(section)
    }
