"""The page of the server in a real browser: what a person sees and can do, at phone and desktop width."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from docs.messages import messages
from tests.accessibility import VIEWS, needs_axe, violations
from tests.browser import browser, watched  # noqa: F401 - the first is a fixture

import shortlist as sl
from shortlist.serve import Settings

expect = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install playwright").expect

NASTY = "</script><img src=x onerror=alert(1)> & <b>film 7</b>"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A served bundle: 40 users, 60 films of three genres, found through ScaNN."""
    generator = np.random.default_rng(0)
    user = np.arange(40).repeat(9)
    film = generator.integers(0, 20, len(user)) * 3 + user % 3
    films = {
        "film": [NASTY if number == 7 else f"film {number}" for number in range(60)],
        "genre": [["Comedy", "Drama", "Western"][number % 3] for number in range(60)],
        "year": list(range(1960, 2020)),
    }
    data = sl.Dataset(
        pl.DataFrame({"user": user, "film": [films["film"][number] for number in film]}).unique(maintain_order=True),
        "user",
        "film",
        candidates=films,
    )
    query = sl.Tower(sl.IntegerLookup("user"), dim=8)
    model = sl.TwoTower(query, sl.Tower(sl.StringLookup("film"), dim=8))
    sl.fit(model, data, optimizer=sl.Adagrad(0.3), epochs=20, batch_size=64)
    bundle = tmp_path_factory.mktemp("page") / "films.shortlist"
    sl.Recommender(model, index=sl.ScaNN(), seen=data).save(bundle)
    yield from served(bundle)


def served(bundle: Path) -> Iterator[str]:
    """The address of a server over the bundle, until the generator ends."""
    command = [sys.executable, "-m", "shortlist", "serve", str(bundle), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        for line in server.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
                yield found.group()
                break
        else:
            pytest.fail("the server did not say where it listens")
    finally:
        server.terminate()
        server.wait(120)


BIG_USERS = [844197938335842304 + number for number in range(1, 13)]  # as social networks number their posts
BIG_ITEMS = [9007199254740993 + number for number in range(24)]  # a JavaScript number holds every other one of them


@pytest.fixture(scope="module")
def long_numbers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A served bundle whose ids, and a column, are integers past 2^53."""
    pairs = [(user, item) for u, user in enumerate(BIG_USERS) for i, item in enumerate(BIG_ITEMS) if (u * i) % 5 == 1]
    data = sl.Dataset(
        pl.DataFrame(pairs, schema=["user", "item"], orient="row"),
        "user",
        "item",
        candidates={"item": BIG_ITEMS, "sku": [-one for one in BIG_ITEMS]},
    )
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=4), sl.Tower(sl.IntegerLookup("item"), dim=4))
    sl.fit(model, data, epochs=1, batch_size=16)
    bundle = tmp_path_factory.mktemp("long") / "long.shortlist"
    sl.Recommender(model, index=sl.BruteForce(), seen=data).save(bundle)
    yield from served(bundle)


@pytest.mark.parametrize(
    ("path", "header", "language"),
    [
        ("/", "", "en"),
        ("/", "ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("/", "fr,en;q=0.5", "en"),
        ("/?lang=ko", "en", "ko"),
        ("/?lang=en", "ko", "en"),
        ("/?lang=../ko", "ko", "ko"),
        ("/?lang=%00&lang=ko&x=1", "", "ko"),
    ],
)
def test_the_page_is_in_the_readers_language(client: Any, path: str, header: str, language: str) -> None:
    reply = client.get(path, headers={"accept-language": header})
    assert reply.status_code == 200
    assert f'<html lang="{language}"' in reply.text
    assert ("누구에게 추천할까요?" in reply.text) == (language == "ko")
    assert ("Who is it for?" in reply.text) == (language == "en")
    assert reply.headers["vary"] == "accept-language"


def test_the_pages_own_words(clients: Any) -> None:
    assert 'data-items="items" data-people="people"' in clients().get("/").text
    assert 'data-items="아이템" data-people="사람"' in clients().get("/?lang=ko").text
    named = clients(Settings(items='"films" <b>', people="users"))
    for language in ("en", "ko"):
        text = named.get("/", params={"lang": language}).text
        assert 'data-items="&quot;films&quot; &lt;b&gt;" data-people="users"' in text
    with pytest.raises(sl.ConfigError, match="people is ' '"):
        Settings(people=" ")


def test_the_scripts_have_the_words_of_each_language(client: Any) -> None:
    words = client.get("/words.ko.json").json()
    assert words["messages"]["Whole map"] == "전체 지도"
    assert words["messages"]["the server is overloaded."] == "서버에 요청이 너무 많습니다."
    assert "columns: {0}" in words["by_text"]
    assert not set(words["by_text"]) & {"{items}", "{people}"}  # these would fit every text
    assert client.get("/words.en.json").status_code == 404


def test_nothing_says_candidates_to_a_shopper() -> None:
    shown = [text for text, parts in messages().items() if "page" in parts]
    assert len(shown) > 80
    assert [text for text in shown if re.search(r"candidate|quer(?:y|ies)", text, flags=re.IGNORECASE)] == []


def test_korean_in_the_browser(browser, address):  # noqa: F811
    with watched(browser, f"{address}?lang=ko#user=3", 390, offline=False) as (page, watch):
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator(".list header h3").first.inner_text() == "정확한 검색"
        expect(page.locator("#map-note")).to_contain_text("벡터가 가장 크게 갈리는 두 방향")
        assert page.locator("#card dt").all_inner_texts()[:3] == ["번들", "만든 때", "사람"]
        page.locator("#where").fill("yeer > 3")
        expect(page.locator("#problem")).to_contain_text(
            "조건의 1번째 글자에서 시작하는 이름의 열이 없습니다(후보). ($.where) 도움말: 혹시 'year'인가요?"
        )
        page.locator("#where").fill("")
        expect(page.locator("#problem")).to_be_hidden()
        page.locator(".items .title").first.click()
        expect(page.locator("dialog[open]")).to_contain_text("모델에서 가장 가까운 것")
        shown = re.sub(r"\b[0-9a-f]{6,}\b", "", page.inner_text("body"))  # without fingerprints
        english = set(re.findall(r"[A-Za-z]{3,}", shown))
        assert english <= {"shortlist", "film", "films", "user", "genre", "year", "SQL", "curl", "Comedy", "Drama", "Western",
                           "ScaNN", "evaluate", "img", "src", "onerror", "alert", "script"}, english  # fmt: skip
    errors = [one for one in watch.errors if "422" not in one]
    assert errors == []


def test_no_column_is_empty_beside_a_long_page(browser, address):  # noqa: F811
    with watched(browser, f"{address}#user=3", offline=False) as (page, _):
        settled(page)
        asked = page.locator(".ask").bounding_box()
        assert asked["height"] <= 900
        page.locator("#map").scroll_into_view_if_needed()
        assert page.locator(".ask").bounding_box()["y"] >= 0  # it stays in view


def rows(page: Any, number: int = 0) -> list[str]:
    """The titles of one list."""
    return page.locator(".list").nth(number).locator(".items .title").all_inner_texts()


def settled(page: Any) -> None:
    page.wait_for_selector("#lists .items li, #lists .empty")
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_renders_without_errors_and_fits(browser, address, width, scheme):  # noqa: F811
    with watched(browser, address, width, scheme, offline=False) as (page, watch):
        settled(page)
        assert len(rows(page)) == 10
        assert page.locator(".list header").all_inner_texts()[1].startswith("ScaNN")
        assert "of the exact list's 10" in page.locator("#lists .note").last.inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#card dt").all_inner_texts()[:3] == ["bundle", "made", "people"]
        assert page.locator(".legend li").count() == 2 + 3
    assert (watch.errors, watch.requests) == ([], [])


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_everyone_can_use_it(browser, address, width, scheme):  # noqa: F811
    needs_axe()
    with watched(browser, address, width, scheme, offline=False, free=True) as (page, _):
        settled(page)
        assert violations(page) == []


def test_a_user_is_found_by_keyboard(browser, address):  # noqa: F811
    with watched(browser, f"{address}#user=3", offline=False) as (page, watch):
        settled(page)
        before = rows(page)
        field = page.get_by_role("combobox").first
        field.fill("1")
        expect(page.locator("[role=option] span")).to_have_text([re.compile("^1")] * 11)  # 1 and 10 to 19
        field.press("ArrowDown")
        assert page.locator("[role=option]").first.get_attribute("aria-selected") == "true"
        field.press("Enter")
        expect(page.locator(".list").first.locator(".items .title")).not_to_have_text(before)
        expect(page).to_have_url(re.compile("user=1"))
        expect(page.locator("#history .past li").nth(3)).to_be_attached()
    assert watch.errors == []


def test_seen_items_and_conditions(browser, address):  # noqa: F811
    with watched(browser, f"{address}#user=3", offline=False) as (page, _):
        settled(page)
        chosen = set(page.locator("#history .title").all_inner_texts())
        assert not chosen & set(rows(page))
        page.locator("#exclude-seen").uncheck()
        expect(page.locator("#lists")).to_contain_text(re.compile("|".join(map(re.escape, chosen))))
        page.locator("#where").fill("year >= 2010 and genre = 'Drama'")
        expect(page.locator(".list").first.locator("li")).to_have_count(3)
        assert all("Drama" in note for note in page.locator(".list").first.locator("small").all_inner_texts())
        page.locator("#where").fill("yeer > 3")
        page.wait_for_selector("#problem:not([hidden])")
        assert "year" in page.locator("#problem").inner_text()


def test_an_item_shows_its_neighbours_and_markup_stays_text(browser, address):  # noqa: F811
    with watched(browser, f"{address}#user=1", offline=False) as (page, watch):
        settled(page)
        page.locator(".items .title").first.click()
        page.wait_for_selector("dialog[open] .items li")
        assert page.locator("dialog .items li").count() == 10
        page.keyboard.press("Escape")
        expect(page.locator("dialog[open]")).to_have_count(0)
        page.locator("#k").fill("60")
        page.locator("#exclude-seen").uncheck()
        expect(page.locator(".list").first.locator("li")).to_have_count(60)
        assert NASTY in rows(page)
        assert page.locator("img[src=x]").count() == 0
    assert watch.errors == []


def test_the_map_answers_to_the_pointer(browser, address):  # noqa: F811
    with watched(browser, f"{address}#user=1", offline=False) as (page, watch):
        settled(page)
        canvas = page.locator("canvas")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        seen = ""
        for step in range(400):
            page.mouse.move(
                box["x"] + box["width"] * (step % 20 + 0.5) / 20, box["y"] + box["height"] * (step // 20 + 0.5) / 20
            )
            if page.locator(".tip").is_visible():
                seen = page.locator(".tip").inner_text()
                page.mouse.down()
                page.mouse.up()
                break
        assert "film" in seen
        page.wait_for_selector("dialog[open] .items li")
    assert watch.errors == []


def test_a_visitor_builds_a_history(browser, address):  # noqa: F811
    with watched(browser, f"{address}#visitor=1", offline=False) as (page, watch):
        page.wait_for_selector("#lists .items li")
        assert "Nothing picked yet" in page.locator("#lists").inner_text()
        field = page.get_by_role("combobox").first
        for name in ("film 30", "film 33", "film 36"):
            field.fill(name)
            expect(page.locator("[role=option] span")).to_have_text([name])
            field.press("Enter")
            expect(page.locator("#history")).to_contain_text(name)
        notes = page.locator(".list").first.locator("small")
        expect(notes).to_contain_text(["Comedy"] * 5)  # films 30, 33 and 36 are comedies
        expect(page.locator(".list").first.locator(".title", has_text=re.compile(r"film 3[036]\b"))).to_have_count(0)
        expect(page.locator(".because").first).to_contain_text(re.compile(r"because of film 3[036]\b"))
        page.get_by_role("button", name="Remove film 30").click()
        expect(page.locator("#history li")).to_have_count(2)
    assert watch.errors == []


def test_the_address_holds_what_one_sees(browser, address):  # noqa: F811
    state = f"{address}#k=5&seen=in&user={json.dumps(2)}"
    with watched(browser, state, offline=False) as (page, _):
        settled(page)
        assert len(rows(page)) == 5
        assert not page.locator("#exclude-seen").is_checked()
        assert page.get_by_role("combobox").first.input_value() == "2"


def test_long_integers_are_the_ids_they_are(browser, long_numbers):  # noqa: F811
    """Everywhere that an id goes through JavaScript: the card, the search, lists, neighbours, history, address and curl."""
    with watched(browser, long_numbers, offline=False) as (page, watch):
        sent: list[str] = []
        page.on("request", lambda one: sent.append(one.post_data) if one.method == "POST" else None)
        page.on("request", lambda one: sent.append(one.url) if "/v1/history" in one.url else None)
        maps: list[str] = []
        page.on("response", lambda one: maps.append(f"{one.status} {one.url}") if "/v1/map" in one.url else None)
        page.goto(f"{long_numbers}#user={BIG_USERS[3]}")
        page.reload()
        settled(page)
        assert f"user={BIG_USERS[3]}" in page.url
        assert sent[0].endswith(f"query={BIG_USERS[3]}")
        assert f'"id":{BIG_USERS[3]}' in sent[1]
        assert "Training had no interaction" not in page.inner_text("body")
        shown = rows(page)
        assert set(map(int, shown)) <= set(BIG_ITEMS)
        notes = page.locator(".list small").all_inner_texts()
        assert [f"-{one}" in note for one, note in zip(shown, notes, strict=True)] == [True] * len(shown)
        page.locator(".items .title").first.click()
        page.wait_for_selector("dialog[open] .items li")
        assert f'"candidates":[{shown[0]}]' in sent[-1]
        page.locator("dialog").get_by_text("Add to a visitor's history").click()
        expect(page.locator("#history .past li")).to_have_count(1)
        page.wait_for_load_state("networkidle")
        assert f'"history":[{shown[0]}]' in sent[-1]
    assert set(maps) == {f"200 {long_numbers}v1/map"}  # none of its columns groups anything
    assert watch.errors == []


def test_json_is_read_and_written_without_loss(browser, long_numbers):  # noqa: F811
    with watched(browser, long_numbers, offline=False) as (page, _):
        script = (
            "async (text) => { const { parse, stringify } = await import('/json.js'); return stringify(parse(text)); }"
        )
        for text in (
            '{"a":[9007199254740993,-9223372036854775808,18446744073709551615],"b":1.5,"c":"9007199254740993"}',
            '{"9007199254740993":"\\"9007199254740993","__proto__":9007199254740993}',
            '[0,-1,9007199254740991,1e-7,null,true,"int-1-2-3-4:5","\\\\"]',
        ):
            assert page.evaluate(script, text) == text


def test_rules_change_the_list_and_are_in_the_address(browser, address):  # noqa: F811
    with watched(browser, f"{address}#user=1&k=6&seen=in", offline=False) as (page, watch):
        settled(page)
        page.get_by_text("Rules for the list").click()
        page.locator("#at-most-column").select_option("genre")
        page.locator("#at-most").fill("2")
        first = page.locator(".list").first.locator(".items li")
        expect(first.filter(has_text="Drama")).to_have_count(2)
        expect(first).to_have_count(6)
        wanted = rows(page)[4]
        page.locator(".list").first.locator(".items .title").nth(4).click()
        page.get_by_role("button", name="Pin to the top").click()
        expect(first.first).to_contain_text(wanted)
        expect(first.first.locator(".tag")).to_have_text("pinned")
        kept = page.url
    with watched(browser, kept, offline=False) as (page, again):
        settled(page)
        assert rows(page)[0] == wanted
        assert page.locator("#at-most").input_value() == "2"
    assert watch.errors == again.errors == []


def test_a_visitors_list_says_because_of_what(browser, address):  # noqa: F811
    with watched(browser, f"{address}#visitor=1", offline=False) as (page, watch):
        page.wait_for_selector("#lists .items li")
        field = page.get_by_role("combobox").first
        field.fill("film 30")
        expect(page.locator("[role=option] span")).to_have_text(["film 30"])
        field.press("Enter")
        expect(page.locator(".because").first).to_have_text("because of film 30")
    assert watch.errors == []
