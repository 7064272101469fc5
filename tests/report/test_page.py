"""The page: whole, alone, and closed to titles that would break out; drawn by a real browser."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.accessibility import VIEWS, needs_axe, violations
from tests.browser import browser, watched  # noqa: F401
from tests.report.conftest import COMMENT, EVIL

import shortlist as sl
from shortlist.report import render, write

CHARTS = ["loss", "epochs", "at_k", "baselines", "segments", "bias", "map"]


class Page(HTMLParser):
    """The elements, links and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.ids: set[str] = set()
        self.anchors: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._inside = tag
        values = dict(attrs)
        self.ids |= {values["id"]} if values.get("id") else set()
        link = values.get("src") or values.get("href") or ""
        (self.anchors if link.startswith("#") else self.fetched).extend([link] if link else [])

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        (self.scripts if self._inside == "script" else self.texts).append(data)


@pytest.fixture(scope="module")
def text(recommender: sl.Recommender, split: tuple[sl.Dataset, sl.Dataset]) -> str:
    return render(recommender, split[1], name=EVIL, baselines=["popularity"])


def test_the_page_stands_alone(text: str) -> None:
    page = Page(text)
    assert page.fetched == ["data:,"]  # the icon: none
    assert len(text.encode()) < 2_000_000
    assert set(page.anchors) <= {f"#{one}" for one in page.ids}
    assert page.tags.count("h1") == 1
    assert text.index("Verdict:") < text.index("<section")
    for library in ("vega", "vega-lite", "vega-embed"):
        assert f"{library}\nCopyright" in text
    assert "{{" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def test_every_chart_has_its_table(text: str) -> None:
    for name in CHARTS:
        after = text.split(f'<div class=chart data-chart="{name}"></div>')
        assert len(after) == 2, name
        assert after[1].startswith("<details><summary>"), name
        assert "<table>" in after[1].split("</details>")[0], name


def test_titles_stay_text(text: str, recommender: sl.Recommender) -> None:
    page = Page(text)
    assert page.tags.count("script") == 5  # the data, three libraries, the page's own
    specs = json.loads(page.scripts[0])
    assert list(specs) == CHARTS
    assert {EVIL, COMMENT} <= {point["title"] for point in specs["map"]["data"]["values"]}
    assert EVIL in page.texts  # in a table or a list, as text
    assert EVIL not in text


def test_figures_are_those_of_the_evaluation(text: str, recommender: sl.Recommender, split: Any) -> None:
    train, test = split
    evaluation = sl.evaluate(recommender.model, test, seen=train, ks=(5,))
    specs = json.loads(Page(text).scripts[0])
    for scorer, name in (("this model", "model"), ("popularity", "popularity")):
        for seen, half in (("left out", "seen_out"), ("left in", "seen_in")):
            (row,) = [
                row
                for row in specs["at_k"]["data"]["values"]
                if (row["scorer"], row["seen"], row["metric"], row["k"]) == (scorer, seen, "top-k accuracy", 5)
            ]
            assert row["value"] == evaluation[name][half]["top_5"]
            assert row["low"] <= row["value"] <= row["high"]
    losses = [row["nats"] for row in specs["loss"]["data"]["values"] if row["series"] == "loss"]
    assert losses == [row["loss"] for row in recommender.metadata["training"]]


def test_a_bundle_keeps_what_its_report_needs(recommender: sl.Recommender, tmp_path: Path, text: str) -> None:
    recommender.save(tmp_path / "b.shortlist", metadata=recommender.metadata)
    loaded = sl.Recommender.load(tmp_path / "b.shortlist")
    size = write(loaded, tmp_path / "r.html", name="b")
    again = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert size == (tmp_path / "r.html").stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.shortlist", "r.html"]
    first, second = (json.loads(Page(one).scripts[0]) for one in (text, again))
    assert first == second
    assert "kept from training" in again


def test_a_model_without_any_record(recommender: sl.Recommender) -> None:
    bare = sl.Recommender(recommender.model, index=sl.BruteForce())
    page = render(bare)
    assert "Not measured" in page
    assert "does not say how its model was trained" in page
    assert list(json.loads(Page(page).scripts[0])) == ["bias", "map"]


def test_a_counted_model_says_so_and_is_named(recommender: sl.Recommender) -> None:
    bare = sl.Recommender(recommender.model, index=sl.BruteForce())
    choice = {"chosen": "EASE & more", "contenders": [{}, {}, {}]}
    bare.metadata = {"training": [], "recipe": {"towers": "popularity"}, "choice": choice}
    page = render(bare)
    assert "The model was counted or solved, so there are no epochs to show." in page
    assert "<th scope=row>Model</th><td>EASE &amp; more, the best of 3 that were tried</td>" in page


def test_korean(recommender: sl.Recommender, split: Any) -> None:
    text = render(recommender, split[1], name="b", baselines=["popularity"], language="ko")
    assert '<html lang="ko"' in text
    page = Page(text)
    assert list(json.loads(page.scripts[0])) == CHARTS
    said = re.sub(r"<(script|style).*?</\1>|<!--.*?-->", " ", text, flags=re.DOTALL)
    recipe = said.index("레시피: model")  # its keys and values are names
    english = [
        one.strip()
        for one in re.findall(r">([^<>]*[A-Za-z]{3}[^<>]*)<", said[:recipe])
        if not re.search("[가-힣]", one)
    ]
    names = r"top-\d+|(Book \d+(, )?)+|(country|title|genres):? .*|Drama|Comedy|reader|book|20 \(book\)|[0-9a-f]{16}|.*(window\.evil|&amp;).*"
    assert [one for one in english if not re.fullmatch(names, one, flags=re.DOTALL)] == []
    assert render(recommender, split[1], name="b", baselines=["popularity"]).startswith(
        '<!doctype html>\n<html lang="en"'
    )
    with pytest.raises(sl.ConfigError, match="there is no language 'xx'"):
        render(recommender, language="xx")


def test_findings_are_told_first(recommender: sl.Recommender) -> None:
    bare = sl.Recommender(recommender.model, index=sl.BruteForce())
    bare.metadata = {"training": [{"epoch": 1, "loss": 3.0, "chance": 3.0, "seconds": 1.0}]}
    page = render(bare)
    assert "The model has learned nothing" in page
    assert page.index("loss at chance") < page.index("<section")
    assert "What to do: train longer" in page


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_browser_draws_it(browser: Any, text: str, tmp_path: Path, width: int, scheme: str) -> None:  # noqa: F811
    (tmp_path / "r.html").write_text(text, encoding="utf-8")
    with watched(browser, (tmp_path / "r.html").as_uri(), width, scheme) as (page, watch):
        page.wait_for_selector(f"body[data-drawn='{len(CHARTS)}']")
        assert page.locator(".chart svg, .chart canvas").count() == len(CHARTS)
        assert page.locator(".failed").count() == 0
        assert page.evaluate("window.evil") is None
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        heights = page.locator("[data-chart=segments] svg").bounding_box()["height"]
        page.locator("[data-chart=segments] select").select_option("country")
        page.wait_for_function(
            "before => document.querySelector('[data-chart=segments] svg').getBoundingClientRect().height !== before",
            arg=heights,
        )
        page.locator("[data-chart=map] select").select_option("Drama")
        page.emulate_media(color_scheme="light" if scheme == "dark" else "dark")
        page.wait_for_function("document.querySelectorAll('.chart svg, .chart canvas').length === 7")
        assert watch.errors == []
        assert watch.requests == []


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_everyone_can_read_it(browser: Any, text: str, tmp_path: Path, width: int, scheme: str) -> None:  # noqa: F811
    needs_axe()
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    with watched(browser, (tmp_path / "report.html").as_uri(), width, scheme, free=True) as (page, _):
        page.wait_for_load_state("networkidle")
        assert violations(page) == []


def test_the_watch_sees_an_error_and_a_request(browser: Any, tmp_path: Path) -> None:  # noqa: F811
    """The test above can fail."""
    bad = "<script>console.error('no')</script><img src='https://example.org/x.png'>"
    bad += "<script>throw Error('thrown')</script>"
    (tmp_path / "bad.html").write_text(bad, encoding="utf-8")
    with watched(browser, (tmp_path / "bad.html").as_uri()) as (_, watch):
        assert "no" in watch.errors
        assert any("thrown" in error for error in watch.errors)
        assert watch.requests == ["https://example.org/x.png"]


def title_under_the_mouse(page: Any) -> str:
    """The first title that shows when the mouse goes over the map."""
    canvas = page.locator("[data-chart=map] canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for step in range(200):
        page.mouse.move(box["x"] + box["width"] * (0.2 + 0.003 * step), box["y"] + box["height"] * 0.6)
        tip = page.locator("#vg-tooltip-element.visible")
        if tip.count():
            return str(tip.locator("h2").inner_text())
    raise AssertionError("no title on hover")


def test_movielens_renders_without_an_error(browser: Any, tmp_path: Path) -> None:  # noqa: F811
    data = sl.datasets.movielens("100k")
    train, test = sl.split_random(data, test=0.2, seed=42)
    plan = sl.recipes.load("factorization")
    model, history = plan.train(train, validation=test)
    recommender = sl.Recommender(model, index=sl.BruteForce(), seen=train)
    recommender.metadata = {"recipe": plan.to_dict(), "training": history.to_frame().to_dicts()}
    size = write(recommender, tmp_path / "movielens.html", test, name="movielens", baselines=["popularity"])
    assert size < 2_000_000
    with watched(browser, (tmp_path / "movielens.html").as_uri()) as (page, watch):
        page.wait_for_selector(f"body[data-drawn='{len(CHARTS)}']")
        assert page.locator("h1").inner_text() == "Ahead of popularity"
        assert page.locator(".chart svg, .chart canvas").count() == len(CHARTS)
        assert title_under_the_mouse(page) in data.candidates["movie_title"].to_list()
        assert watch.errors == []
        assert watch.requests == []
