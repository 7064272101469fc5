"""Which column names a candidate to people."""

import polars as pl
import pytest

from shortlist.data.titles import title_column


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"item": ["7"], "Title": ["Fargo"], "name": ["x"]}, "Title"),
        ({"movie_title": ["Fargo"]}, "movie_title"),
        ({"item": ["7"], "title": [1], "label": ["x"]}, "label"),
        ({"item": ["7"], "subtitle": ["x"]}, None),
        ({"item": ["7"], "Full_Name": ["x"], "label": ["y"]}, "label"),
        ({"item_id": [7], "Full_Name": ["x"]}, "Full_Name"),
        ({"item_id": [7], "full_name": [8]}, None),
        ({"상품번호": ["P1"], "상품명": ["두부"], "분류명": ["식품"]}, "상품명"),
        ({"영화": [7], "영화 제목": ["괴물"], "감독": ["봉준호"]}, "영화 제목"),
        ({"id": [7], "상품_이름": ["두부"]}, "상품_이름"),
        ({"상품": ["P1"], "이름": ["두부"]}, "이름"),
        ({"id": ["P1"], "분류명": ["식품"], "고객명": ["김"]}, None),
        ({"id": ["P1"], "item title": ["Fargo"], " name ": ["x"]}, " name "),
    ],
)
def test_the_first_text_column_that_is_called_so(columns: dict[str, list[object]], found: str | None) -> None:
    assert title_column(pl.DataFrame(columns)) == found
