"""The log of changes: it comes back, a cut end is taken away, anything altered is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.errors import BundleError, ConfigError
from shortlist.serve.journal import Journal


def record(number: int) -> dict[str, Any]:
    return {"op": "change", "at": float(number), "upsert": [], "delete": [f"i{number}"], "expire": []}


def test_the_log_comes_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([record(1), record(2)])
    journal.append([record(3)])
    with pytest.raises(ConfigError, match="another server"):
        Journal(tmp_path)
    journal.close()
    again = Journal(tmp_path)
    assert again.records == [record(1), record(2), record(3)]
    again.rewrite([record(3)])
    again.append([record(4)])
    again.close()
    last = Journal(tmp_path)
    assert last.records == [record(3), record(4)]
    last.close()


@settings(max_examples=60)
@given(data=st.data())
def test_a_log_cut_anywhere_keeps_what_was_whole_and_an_altered_one_is_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("log")
    journal = Journal(folder)
    ends = [0]
    for number in range(4):
        journal.append([record(number)])
        ends.append(journal.path.stat().st_size)
    journal.close()
    content = journal.path.read_bytes()
    if data.draw(st.booleans()):
        cut = data.draw(st.integers(0, len(content)))
        journal.path.write_bytes(content[:cut])
        again = Journal(folder)
        whole = sum(end <= cut for end in ends) - 1
        assert again.records == [record(number) for number in range(whole)]
        again.append([record(9)])
        again.close()
        last = Journal(folder)
        assert last.records == [*(record(number) for number in range(whole)), record(9)]
        last.close()
    else:
        at = data.draw(st.integers(0, ends[3] - 1))
        bit = 1 << data.draw(st.integers(0, 7))
        journal.path.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        with pytest.raises(BundleError, match="was altered"):
            Journal(folder)
