"""Every result is a frame of Polars and pandas and an Arrow stream, and a small table of HTML in a notebook."""

from __future__ import annotations

import inspect
import sys
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.congruence.results import HOSTILE, SHOWN, TABULAR, dataset, frame, recommender

import shortlist as sl
from shortlist.display import Framed, Tabular
from shortlist.errors import MissingExtraError
from shortlist.language import columns
from shortlist.train.epochs import Epoch

LENGTHS = {
    "Recommendations": 4,  # two lists of two
    "TrainingHistory": 2,
    "Evaluation": 7,  # two figures of the model twice and of popularity once, and one of a group
    "Comparison": 1,
    "Preference": 1,
    "OffPolicyEvaluation": 4,  # as shown, and three estimators
    "Interleaved": 3,
    "Choice": 2,
    "Tuning": 2,
    "TunedRecommender": 2,
    "CrossValidation": 4,
}


@pytest.mark.parametrize("name", TABULAR)
def test_a_result_is_a_frame_in_every_library(name: str) -> None:
    result, polars = TABULAR[name](), frame(name)
    assert isinstance(result, Framed)
    assert len(polars) == LENGTHS[name]
    if not isinstance(result, tuple):  # which libraries take for a list of columns
        assert isinstance(result, Tabular)
        assert pl.DataFrame(pa.table(result)).equals(polars)
        assert duckdb.sql("select count(*) from result").fetchall() == [(LENGTHS[name],)]
        if name != "Recommendations":  # a sequence, which Polars takes for rows: docs/guides/frames.md
            assert pl.DataFrame(result).equals(polars)
    pandas = result.to_pandas()
    assert isinstance(pandas, pd.DataFrame)
    assert list(pandas.columns) == polars.columns
    assert pandas.shape == polars.shape


def test_a_dataset_has_the_frame_of_its_interactions() -> None:
    data = dataset()
    assert data.to_frame() is data.interactions
    assert list(data.to_pandas()["at"]) == [1, 2, 3, 4]


def test_no_result_was_forgotten() -> None:
    """Each public class that has ``to_frame`` is one of these."""
    public = [getattr(sl, name) for name in sl.__all__]
    framed = {one for one in public if inspect.isclass(one) and hasattr(one, "to_frame")}
    assert framed - {sl.Dataset} <= {type(make()) for make in TABULAR.values()}
    assert all(issubclass(one, Framed) for one in framed)


def test_an_evaluation_has_a_row_for_each_figure() -> None:
    rows = frame("Evaluation").rows()
    assert rows[0] == ("model", "seen_in", None, None, 8, 4, "top_1", 0.25, None, None)
    assert rows[1] == ("model", "seen_in", None, None, 8, 4, "top_10", 0.5, 0.375, 0.625)
    assert rows[-1] == ("model", "seen_in", "country", HOSTILE, 2, 1, "top_10", 1.0, 0.5, 1.0)


def test_the_rows_of_the_others() -> None:
    assert frame("Comparison").row(0) == ("top_10", 0.25, 0.5, 0.25, 0.125, 0.375, 0.01, 40, True)
    assert frame("Preference").row(0) == (HOSTILE, "b", 3, 9, 2, 0.714, 0.55, 0.85, 0.02, 12, True)
    assert frame("OffPolicyEvaluation").row(0) == ("shown", 0.5, 0.4, 0.6, None, None, None, None)
    assert frame("OffPolicyEvaluation").row(3) == ("dr", 0.75, 0.5, 1.0, 0.25, 0.125, 0.375, True)
    # one half of 400: the root of 400 · 0.25 / 400² is 0.025
    assert frame("Choice").row(0) == (HOSTILE, "towers", 0.5, pytest.approx(0.025, rel=0.01), 2.0, True, None, None)
    assert frame("Choice").row(1)[2:7] == (None, None, 0.0, False, "takes about 3 s; 1 s were left")
    assert frame("Tuning").row(1) == ("scann", 1, '{"leaves": 20}', 0.96, 0.95, 0.25, True)


def test_a_result_is_a_table_to_read_from() -> None:
    shown = TABULAR["Recommendations"]()
    assert sl.Dataset(shown, "who", "film").candidates["film"].to_list() == [HOSTILE, "a"]
    assert sl.Dataset(shown.to_pandas(), "who", "film").interactions.equals(
        sl.Dataset(shown, "who", "film").interactions
    )


@pytest.mark.parametrize("package", ["pandas", "pyarrow"])
def test_a_missing_package_is_named_with_what_installs_it(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as caught:
        TABULAR["Comparison"]().to_pandas()
    assert str(caught.value) == (
        f"Comparison.to_pandas() needs the package {package!r}, which is not installed.\n"
        'hint: pip install "shortlist[pandas]"'
    )


class Tags(HTMLParser):
    """The elements and the text of some HTML."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.names: list[str] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("name", SHOWN)
def test_notebooks_show_a_small_table_in_which_every_text_is_escaped(name: str) -> None:
    text = SHOWN[name]()._repr_html_()
    found = Tags(text)
    assert found.open == []
    assert set(found.names) <= {"div", "table", "thead", "tbody", "tr", "th", "td"}
    assert found.names.count("tr") <= 3 * 21
    assert "color:" not in text, "colours are the notebook's, light or dark"
    if name in ("Recommendations", "Interleaved", "Preference", "Choice", "Tuning", "TunedRecommender", "Dataset"):
        assert any(HOSTILE in one for one in found.texts)


@pytest.mark.parametrize("name", SHOWN)
def test_at_the_prompt_a_result_is_one_line(name: str) -> None:
    text = repr(SHOWN[name]())
    assert text.startswith(f"{name.partition(' ')[0]}(")
    assert "\n" not in text
    assert len(text) <= 200


@pytest.mark.parametrize("name", SHOWN)
def test_printed_a_result_fits_a_terminal(name: str) -> None:
    """Those that are printed as their repr, and a comparison, are one sentence; a word of the user's own may be longer than a line."""
    result = SHOWN[name]()
    text = str(result)
    if text != repr(result) and name != "Comparison":
        assert max(map(columns, text.replace(HOSTILE, "x").splitlines())) <= 80


def test_reprs_say_what_matters() -> None:
    epoch = Epoch(1, loss=4.5, chance=4.6, seconds=2.0, examples=3000)
    assert repr(sl.TrainingHistory((epoch,), best=1)) == (
        "TrainingHistory(1 epoch · loss 4.5000 (chance 4.6000) · the model holds epoch 1)"
    )
    evaluation = TABULAR["Evaluation"]()
    assert repr(evaluation) == "Evaluation(8 test pairs · top-10: model 0.7500 · seen items excluded)"
    popular = {name: {"seen_out": {"top_10": 0.1 * place}} for place, name in enumerate("abcde")}
    beside = replace(evaluation, figures={**evaluation.figures, **popular})
    assert "model 0.7500, e 0.4000, d 0.3000, c 0.2000 · " in repr(beside)  # the best three of the others
    assert repr(TABULAR["Interleaved"]()) == "Interleaved(1 list · 3 places)"


def test_the_settings_that_keep_the_promise_come_first_and_are_short() -> None:
    found = Tags(SHOWN["Tuning"]()._repr_html_())
    assert found.texts[1:8] == ["backend", "build", "settings", "recall", "lower", "milliseconds", "keeps"]
    assert "leaves 20" in found.texts


def test_recipes_side_by_side_are_shown_by_their_means() -> None:
    """As printed; ``to_frame`` has a row for each split."""
    result = TABULAR["CrossValidation"]()
    found = Tags(result._repr_html_())
    assert found.names.count("tr") == 1 + len(result.summary())
    assert found.texts[-1] == str(result).splitlines()[-1]


def test_what_was_not_tried_is_below_the_table_of_a_choice() -> None:
    found = Tags(SHOWN["Choice"]()._repr_html_())
    assert found.names.count("tr") == 2
    assert any(one.startswith("not tried: ") and "takes about 3 s; 1 s were left" in one for one in found.texts)


def test_similar_candidates_have_the_ids_asked_about_in_a_column_of_their_own() -> None:
    found = Tags(recommender().similar(["a"], k=1)._repr_html_())
    assert found.texts[1:4] == ["similar_to", "rank", "film"]


def test_titles_are_shown_where_the_catalogue_has_them() -> None:
    found = Tags(SHOWN["Recommendations"]()._repr_html_())
    assert found.texts[1:8] == ["who", "rank", "film", "title", "score", "source", "because"]
    assert found.texts[8:12] == ["ann", "1", "a", "Fargo"]
    assert "<b>Heat</b>" in found.texts


def test_the_last_epochs_are_shown() -> None:
    epochs = tuple(Epoch(number, 1.0, 2.0, 0.5, 10) for number in range(1, 51))
    found = Tags(sl.TrainingHistory(epochs, best=50)._repr_html_())
    assert found.names.count("tr") == 21
    assert "50" in found.texts
    assert "30" not in found.texts
    assert found.texts[-2:] == ["the last 20 of 50 epochs", "the model holds epoch 50"]


def test_a_large_answer_costs_no_more_than_the_rows_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = recommender().recommend(["ann"] * 500, k=2, exclude_seen=False)
    taken: list[int] = []
    take = type(asked._candidates).take

    def counted(ids: Any, rows: Any) -> Any:
        taken.append(len(rows))
        return take(ids, rows)

    monkeypatch.setattr(type(asked._candidates), "take", counted)
    found = Tags(asked._repr_html_())
    assert taken == [20]
    assert found.names.count("tr") == 21
    assert found.texts[-1] == "the first 20 of 1,000 items"
