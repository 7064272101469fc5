"""The two parts of a split and its report, worked by hand."""

from __future__ import annotations

import pytest

import shortlist as sl
from shortlist.data.split import Split, SplitReport


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (
            SplitReport("random", 1800, 200, 3, 1),
            "split random: 1,800 train, 200 test · test rows with an unseen query 3, an unseen candidate 1",
        ),
        (
            SplitReport("by time", 8, 2, 0, 0, cut=17, tied=2),
            "split by time: 8 train, 2 test · test rows with an unseen query 0, an unseen candidate 0 · cut at 17 · "
            "2 rows tied at the cut",
        ),
        (
            SplitReport("last", 8, 2, 0, 0, tied=1, whole=5),
            "split last: 8 train, 2 test · test rows with an unseen query 0, an unseen candidate 0 · "
            "1 query tied at the cut · 5 queries whole in train",
        ),
        (
            SplitReport("held-out queries", 8, 2, 2, 0, whole=0, held_out=2, given_rows=3),
            "split held-out queries: 8 train, 2 test · test rows with an unseen query 2, an unseen candidate 0 · "
            "2 queries held out, 3 of their interactions given · 0 queries whole in train",
        ),
    ],
)
def test_the_report_says_what_there_is_to_say(report: SplitReport, says: str) -> None:
    assert str(report) == says


def test_a_split_unpacks_and_knows_what_was_seen() -> None:
    data = sl.Dataset({"u": [1, 1, 2, 2], "i": [5, 6, 5, 6]}, "u", "i")
    train, given, test = (data.with_interactions(data.interactions[rows]) for rows in ([0, 1], [2], [3]))
    report = SplitReport("held-out queries", 2, 1, 1, 0)
    split = Split(train, test, report)
    assert list(split) == [train, test]
    assert split.seen is train
    assert repr(split) == f"Split({report})"
    assert Split(train, test, report, given).seen.interactions["u"].to_list() == [1, 1, 2]
