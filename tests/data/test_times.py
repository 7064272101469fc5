"""Times in text: each form by a moment worked out by hand; what can be read both ways is refused with both readings."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.four_ways import WAYS, read, rows

import shortlist as sl
from shortlist.data.times import dated

UTC = dt.timezone.utc


def times(texts: list[str], **options: Any) -> list[Any]:
    log = {"u": ["a"] * len(texts), "i": list(range(len(texts))), "t": texts}
    data = sl.Dataset(log, "u", "i", timestamp="t", reading=sl.Reading(**options))
    return data.interactions["t"].to_list()


READ: list[tuple[list[str], list[Any]]] = [
    (["2024-05-01", "2023-12-31"], [dt.datetime(2024, 5, 1), dt.datetime(2023, 12, 31)]),
    (["2024-05-01 08:26"], [dt.datetime(2024, 5, 1, 8, 26)]),
    (["2024-05-01T08:26:09", "2024-05-01"], [dt.datetime(2024, 5, 1, 8, 26, 9), dt.datetime(2024, 5, 1)]),
    (["2024-05-01 08:26:09.25"], [dt.datetime(2024, 5, 1, 8, 26, 9, 250_000)]),
    (["2024/5/1 8:26"], [dt.datetime(2024, 5, 1, 8, 26)]),
    (["2024.05.01"], [dt.datetime(2024, 5, 1)]),
    (["20240501", "20231231"], [dt.datetime(2024, 5, 1), dt.datetime(2023, 12, 31)]),
    (["2019-10-01 00:00:00 UTC"], [dt.datetime(2019, 10, 1, tzinfo=UTC)]),
    (["2019-10-01T00:00:00Z"], [dt.datetime(2019, 10, 1, tzinfo=UTC)]),
    (["2019-10-01T09:00:00+09:00"], [dt.datetime(2019, 10, 1, tzinfo=UTC)]),
    (["2019-10-01 09:00:00 +0900", "2019-10-01 00:00:00Z"], [dt.datetime(2019, 10, 1, tzinfo=UTC)] * 2),
    (["12/1/2010 8:26", "12/13/2010 8:26"], [dt.datetime(2010, 12, 1, 8, 26), dt.datetime(2010, 12, 13, 8, 26)]),
    (["1/12/2010 8:26", "13/12/2010 8:26"], [dt.datetime(2010, 12, 1, 8, 26), dt.datetime(2010, 12, 13, 8, 26)]),
    (["31.12.2024"], [dt.datetime(2024, 12, 31)]),
    (["05/05/2024", "1/1/2024"], [dt.datetime(2024, 5, 5), dt.datetime(2024, 1, 1)]),
    (
        ["12/13/2010 12:05 AM", "12/13/2010 1:05:06 PM"],
        [dt.datetime(2010, 12, 13, 0, 5), dt.datetime(2010, 12, 13, 13, 5, 6)],
    ),
    (["1-May-2024", "02 May 2024"], [dt.datetime(2024, 5, 1), dt.datetime(2024, 5, 2)]),
    (["May 1, 2024 3:04 PM"], [dt.datetime(2024, 5, 1, 15, 4)]),
    (["Wed, 01 May 2024 10:00:00 GMT"], [dt.datetime(2024, 5, 1, 10, tzinfo=UTC)]),
    (["10/Oct/2000:13:55:36 -0700"], [dt.datetime(2000, 10, 10, 20, 55, 36, tzinfo=UTC)]),
    (["1714521600", "0"], [1_714_521_600, 0]),
    (["1714521600000"], [1_714_521_600_000]),
    (["1.5", "2"], [1.5, 2.0]),
    (["20240501", "20241301"], [20_240_501, 20_241_301]),  # there is no month 13: numbers
]


@pytest.mark.parametrize(("texts", "moments"), READ)
def test_well_known_forms_are_read(texts: list[str], moments: list[Any]) -> None:
    assert times(texts) == moments


REFUSED: list[tuple[list[str], dict[str, Any], str]] = [
    (["05/01/2024"], {}, r"both ways: '05/01/2024' is 5 January 2024 \(day first\) or 1 May 2024 \(month first\)"),
    (["05/05/2024", "01.02.2024"], {}, r"both ways: '01\.02\.2024' is 1 February .* or 2 January"),
    (["5/13/2024", "13/5/2024"], {}, "could not be read as dates and times"),
    (["2024-05-01T10:00:00Z", "2024-05-01T10:00:00"], {}, "with a zone and times without"),
    (["yesterday"], {}, "could not be read as dates and times, such as 'yesterday'"),
    (["2024-02-30"], {}, "could not be read as dates and times"),
    (["13/5/2024"], {"dates": "month-first"}, "could not be read"),
    (["05/01/24"], {}, "could not be read"),
    (["2024-05-01"], {"time_format": "%d.%m.%Y"}, r"not written as '%d\.%m\.%Y': '2024-05-01'"),
]


@pytest.mark.parametrize(("texts", "options", "says"), REFUSED)
def test_what_is_not_clear_is_refused(texts: list[str], options: dict[str, Any], says: str) -> None:
    with pytest.raises(sl.DataError, match=says) as caught:
        times(texts, **options)
    assert caught.value.hint


def test_an_option_settles_what_reads_both_ways() -> None:
    assert times(["05/01/2024"], dates="day-first") == [dt.datetime(2024, 1, 5)]
    assert times(["05/01/2024"], dates="month-first") == [dt.datetime(2024, 5, 1)]
    assert times(["05/01/24"], time_format="%m/%d/%y") == [dt.datetime(2024, 5, 1)]


def test_how_times_were_read_is_said_where_it_was_settled() -> None:
    log = {"u": ["a", "a"], "i": [1, 2], "t": ["12/13/2010", "1/2/2011"]}
    assert sl.Dataset(log, "u", "i", timestamp="t").notes == ("'t' was read month first (such as '12/13/2010')",)


def test_pieces_of_a_large_file_are_read_by_one_form(tmp_path: Path) -> None:
    """What the last row settles holds for the first, in whatever piece it lies."""
    (tmp_path / "t.csv").write_text("u,i,t\na,1,05/01/2024\na,2,06/01/2024\na,3,06/13/2024\n")
    shards = sl.Shards.encode(
        tmp_path / "t.csv", tmp_path / "s", query="u", candidate="i", timestamp="t", block_rows=1, piece_rows=1
    )
    frame = shards.to_dataset().interactions.sort("i")
    assert frame["t"].to_list() == [dt.datetime(2024, 5, 1), dt.datetime(2024, 6, 1), dt.datetime(2024, 6, 13)]
    assert shards.notes == ("'t' was read month first (such as '05/01/2024')",)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2100, 1, 1)), min_size=1, max_size=5),
    st.sampled_from(
        ["%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m-%d-%Y", "%d.%m.%Y", "%Y-%m-%d %H:%M:%S.%f", "%d %b %Y"]
    ),
)
def test_a_time_is_never_read_as_another(moments: list[dt.datetime], form: str) -> None:
    """Whatever is written: it reads back, or it is refused."""
    texts = [moment.strftime(form) for moment in moments]
    expected = [dt.datetime.strptime(text, form) for text in texts]
    try:
        found = times(texts)
    except sl.DataError as error:
        assert "both ways" in error.message  # noqa: PT017
    else:
        assert found == expected
    assert times(texts, time_format=form) == expected


@pytest.mark.parametrize("way", WAYS)
def test_a_missing_time_is_refused(way: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("u,i,t\na,1,2024-05-01\nb,2,\n")
    with pytest.raises(sl.DataError, match="1 bad value"):
        read(way, tmp_path / "t.csv", {"timestamp": "t"}, {})


def test_text_becomes_the_type_of_a_column() -> None:
    texts = pl.Series("since", ["2024-05-01", None])
    assert dated(texts, pl.Date()).to_list() == [dt.date(2024, 5, 1), None]
    assert dated(texts, pl.Datetime("ms")).to_list() == [dt.datetime(2024, 5, 1), None]
    zoned = pl.Series("since", ["2024-05-01T09:00:00+09:00"])
    assert dated(zoned, pl.Datetime("us", "UTC")).to_list() == [dt.datetime(2024, 5, 1, tzinfo=UTC)]
    with pytest.raises(sl.DataError, match="both ways"):
        dated(pl.Series("since", ["05/01/2024"]), pl.Date())
    for values, kind in [
        (texts, pl.Datetime("us", "UTC")),
        (zoned, pl.Date()),
        (pl.Series("since", ["17"]), pl.Date()),
    ]:
        with pytest.raises(sl.DataError, match=r"'since' is text such as .* was expected"):
            dated(values, kind)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("days", [["01122024", "31012024"], ["11122024", "31012024"], ["12112024", "01312024"]])
def test_eight_digits_that_can_be_days_are_no_numbers(way: str, days: list[str], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("u,i,t\n" + "".join(f"a{n},b,{day}\n" for n, day in enumerate(days)))
    with pytest.raises(sl.DataError, match=r"eight digits in every row") as caught:
        rows(way, tmp_path / "t.csv", {"timestamp": "t"}, {})
    assert "--time-format %d%m%Y" in str(caught.value.hint)


@pytest.mark.parametrize("way", WAYS)
def test_eight_digits_that_are_no_days_are_numbers(way: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("u,i,t\na,b,86400000\nb,b,43200000\n")
    assert [row[2] for row in rows(way, tmp_path / "t.csv", {"timestamp": "t"}, {})] == [86_400_000, 43_200_000]


@pytest.mark.parametrize("way", WAYS)
def test_a_format_for_times_that_are_numbers_is_refused(way: str, tmp_path: Path) -> None:
    pl.DataFrame({"u": ["a"], "i": ["b"], "t": [1122024]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(sl.DataError, match="is for times that are text; the timestamp column 't' is of type Int64"):
        rows(way, tmp_path / "t.parquet", {"timestamp": "t"}, {"time_format": "%d%m%Y"})


@pytest.mark.parametrize("way", WAYS)
def test_a_few_values_that_are_no_times_can_be_left_out_as_the_hint_says(way: str, tmp_path: Path) -> None:
    pl.DataFrame({"u": ["a", "b", "c"], "i": ["x"] * 3, "t": ["2024-01-02", "NULL", "it's"]}).write_parquet(
        tmp_path / "t.parquet"
    )
    with pytest.raises(sl.DataError, match="but not 'NULL'") as caught:
        rows(way, tmp_path / "t.parquet", {"timestamp": "t"}, {})
    hint = str(caught.value.hint)
    condition = hint[hint.index('--where "') + len('--where "') : hint.index('", Events')]
    assert condition == "t not in ('NULL', 'it''s')"
    found = sl.Dataset(tmp_path / "t.parquet", "u", "i", "t", events=sl.Events(where=condition))
    assert found.interactions["u"].to_list() == ["a"]
