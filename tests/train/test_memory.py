"""A run whose tables do not fit is refused before they are made."""

from __future__ import annotations

import pytest
import torch
from tests.train.processes import CANDIDATES, QUERIES, choices

import shortlist as sl
from shortlist.train import memory
from shortlist.train.memory import check_memory
from shortlist.train.processes import Alone


class Fourth(Alone):
    """One of four processes."""

    rank, size, first = 3, 4, False


def towers(dim: int = 6, **options: object) -> sl.TwoTower:
    return sl.TwoTower(
        sl.Tower(sl.IntegerLookup("reader"), dim=dim, **options), sl.Tower(sl.Hashing("book", 50), dim=dim, **options)
    )


NEED = (QUERIES + 1 + 51) * 6 * 4  # bytes of both tables


@pytest.mark.parametrize(
    ("options", "optimizer", "need"),
    [
        ({}, sl.Adagrad(), 2 * NEED),
        ({}, sl.SGD(), NEED),
        ({}, sl.RowwiseAdagrad(), NEED + NEED // 6),
        ({"table_dtype": "bfloat16"}, sl.Adagrad(), NEED // 2 + NEED),
    ],
)
def test_tables_and_state_count(
    options: dict[str, object], optimizer: object, need: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(choices().queries) == QUERIES
    assert len(choices().candidates) <= CANDIDATES
    there_is = need

    def check(processes: Alone, model: sl.TwoTower) -> None:
        check_memory(model, choices(), optimizer, processes, torch.device("cpu"))  # type: ignore[arg-type]

    monkeypatch.setattr(memory, "available_memory", lambda: there_is)
    check(Alone(), towers(**options))
    there_is = need - 1
    kept = r"needs at least \d+\.\d kB of memory on this machine: .* and \d+\.\d kB are available"
    with pytest.raises(sl.ConfigError, match=kept):
        check(Alone(), towers(**options))
    there_is = -(-need // 4)
    check(Fourth(), towers(**options))
    there_is = need // 4 - 1
    with pytest.raises(sl.ConfigError, match="as its part among 4 processes"):
        check(Fourth(), towers(**options))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    there_is = need // 2
    check(Fourth(), towers(**options))
    there_is = need // 2 - 1
    with pytest.raises(sl.ConfigError, match="on this machine"):
        check(Fourth(), towers(**options))


def test_tables_in_files_do_not_count(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(memory, "available_memory", lambda: 0)
    check_memory(towers(table_folder=str(tmp_path)), choices(), sl.Adagrad(), Alone(), torch.device("cpu"))
    with pytest.raises(sl.ConfigError, match="training needs at least"):
        sl.fit(towers(), choices(), epochs=1)


def test_ids_that_are_too_rare_have_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reader 1 has two interactions, reader 2 has one: one row each for the unknown, for reader 1 and for both books."""
    data = sl.Dataset({"reader": [1, 1, 2], "book": [5, 6, 5]}, "reader", "book")
    model = sl.TwoTower(
        sl.Tower(sl.IntegerLookup("reader", min_count=2), dim=1), sl.Tower(sl.IntegerLookup("book"), dim=1)
    )
    monkeypatch.setattr(memory, "available_memory", lambda: 4 * (2 + 3))
    check_memory(model, data, sl.SGD(), Alone(), torch.device("cpu"))
    monkeypatch.setattr(memory, "available_memory", lambda: 4 * (2 + 3) - 1)
    with pytest.raises(sl.ConfigError):
        check_memory(model, data, sl.SGD(), Alone(), torch.device("cpu"))
