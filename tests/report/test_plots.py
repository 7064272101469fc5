"""Charts of a history and an evaluation: what they draw, in a notebook, in a file, and by altair where it is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.browser import browser, watched  # noqa: F401
from tests.congruence.results import evaluation, history

import shortlist as sl

MIME = "application/vnd.vegalite.v5+json"


@pytest.fixture(autouse=True)
def _without_altair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)


def test_a_history_is_two_charts_below_each_other() -> None:
    spec = history().plot().to_dict()
    assert spec["$schema"].endswith("/v5.json")
    loss, metrics = spec["vconcat"]
    assert [row["nats"] for row in loss["data"]["values"]] == [2.0, 3.0, 1.5, 3.0]
    assert [(row["epoch"], row["metric"], row["value"]) for row in metrics["data"]["values"]] == [(2, "top-10", 0.25)]
    assert {loss["width"], metrics["width"]} == {480}
    without = sl.TrainingHistory(history().epochs[:1], 1).plot().to_dict()
    assert "vconcat" not in without
    assert without["mark"]["type"] == "line"


def test_an_evaluation_is_drawn_by_k() -> None:
    spec = evaluation().plot().to_dict()
    rows = [(row["scorer"], row["seen"], row["k"], row["value"], row["low"]) for row in spec["data"]["values"]]
    assert rows == [
        ("this model", "left out", 1, 0.5, None), ("this model", "left out", 10, 0.75, None),
        ("this model", "left in", 1, 0.25, None), ("this model", "left in", 10, 0.5, 0.375),
        ("popularity", "left in", 1, 0.125, None), ("popularity", "left in", 10, 0.25, None),
    ]  # fmt: skip
    one = sl.Evaluation({"model": {"seen_in": {"hit_rate_5": 0.5, "auc": 0.75}}}, 8, 4, 3, 0, 0, 1.0).plot().to_dict()
    assert [row["metric"] for row in one["data"]["values"]] == ["hit rate"]
    assert one["layer"][0]["mark"]["type"] == "rule"  # places at one k, no line over k


def test_an_evaluation_without_k_is_refused() -> None:
    figures = {"model": {"seen_in": {"auc": 0.75, "top_1": float("nan")}}}
    with pytest.raises(sl.ConfigError, match="no metric at k"):
        sl.Evaluation(figures, 8, 4, 3, 0, 0, 1.0).plot()


def test_a_notebook_is_given_the_specification() -> None:
    chart = history().plot()
    bundle = chart._repr_mimebundle_()
    assert bundle[MIME] == chart.to_dict()
    json.dumps(bundle[MIME], allow_nan=False)
    assert bundle["text/plain"] == repr(chart)


def test_altair_has_the_chart_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    altair: Any = ModuleType("altair")
    altair.Chart = type("Chart", (), {"from_dict": staticmethod(lambda spec: ("altair", spec))})
    monkeypatch.setitem(sys.modules, "altair", altair)
    kind, spec = evaluation().plot()
    assert kind == "altair"
    assert spec["$schema"].endswith("/v5.json")
    assert spec["width"] == 480  # a picture has no place to fill


def test_a_picture_says_what_the_lists_have_picked_and_has_one_legend() -> None:
    spec = evaluation().plot().to_dict()
    assert spec["title"]["text"] == {"expr": 'metric_is + " · seen items: " + seen_is'}
    drawn = [spec, *history().plot().to_dict()["vconcat"]]
    for part in drawn:
        for layer in part.get("layer", [part]):
            ways = [layer["encoding"][name] for name in ("color", "strokeDash") if name in layer["encoding"]]
            legends = [one.get("legend", {}) for one in ways if "field" in one]
            assert sum(one is not None for one in legends) == 1
            assert part is not spec or legends[0]["symbolOpacity"] == 1


def test_a_file_is_a_page_or_the_specification(tmp_path: Path) -> None:
    chart = evaluation().plot()
    chart.save(tmp_path / "e.json")
    assert json.loads((tmp_path / "e.json").read_text()) == chart.to_dict()
    with pytest.raises(sl.ConfigError, match=r"ends in \.html or \.json"):
        chart.save(tmp_path / "e.png")
    with pytest.raises(sl.ConfigError, match="could not be written"):
        chart.save(tmp_path / "no" / "e.html")
    assert [path.name for path in tmp_path.iterdir()] == ["e.json"]


def test_the_page_draws_its_charts_without_a_network(browser: Any, tmp_path: Path) -> None:  # noqa: F811
    history().plot().save(tmp_path / "h.html")
    with watched(browser, (tmp_path / "h.html").as_uri(), width=390) as (page, watch):
        page.wait_for_selector("body[data-drawn='2']")
        assert page.locator(".chart svg").count() == 2
        assert page.locator(".chart svg").first.locator(".role-legend-label text").all_text_contents() == [
            "loss",
            "chance",
        ]
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert (watch.errors, watch.requests) == ([], [])
