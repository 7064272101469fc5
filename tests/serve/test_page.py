"""The page of the server in a real browser: what a person sees and can do, at phone and desktop width."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest
from docs.messages import messages
from tests.accessibility import VIEWS, needs_axe, violations
from tests.browser import browser, watched  # noqa: F401 - the first is a fixture

import shortlist as sl
from shortlist.language.particles import chosen_particles
from shortlist.report.verdict import SCORERS
from shortlist.serve import Settings

expect = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install playwright").expect

NASTY = "</script><img src=x onerror=alert(1)> & <b>film 7</b>"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 users, 60 films of three genres, found through ScaNN."""
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
    return bundle


@pytest.fixture(scope="module")
def address(bundle: Path) -> Iterator[str]:
    """The server of that bundle."""
    yield from served(bundle)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A served mixture of every kind of source, with Korean columns and titles."""
    rows = [
        {"고객": "19" if n == 19 else f"손님{n}", "상품": f"P{(n + 3 * step) % 30}", "때": step}
        for n in range(20)
        for step in range(8)
    ]
    goods = {
        "상품": [f"P{n}" for n in range(30)],
        "상품명": [f"{'두부' if n % 2 else '김'} {n}호" for n in range(30)],
        "분류": [["식품", "의류", "도서"][n % 3] for n in range(30)],
        "출시": list(range(30)),
    }
    data = sl.Dataset(rows, "고객", "상품", timestamp="때", candidates=goods)
    towers = sl.TwoTower(sl.Tower(sl.StringLookup("고객"), dim=4), sl.Tower(sl.StringLookup("상품"), dim=4))
    sl.fit(towers, data, epochs=2, batch_size=32)
    counted = (sl.Transitions(), sl.Cooccurrence(), sl.EASE(neighbours=20), sl.OwnHistory(), sl.Popular(), sl.Recent())
    sources = [towers, *(one.fit(data) for one in counted), sl.Newest("출시").fit(data)]
    model = sl.Mixture(sources, data, weights=[1 / len(sources)] * len(sources), temperatures=0.1)
    folder = tmp_path_factory.mktemp("mixture") / "shop.shortlist"
    sl.Recommender(model, seen=data).save(folder)
    yield from served(folder)


def served(bundle: Path) -> Iterator[str]:
    """The address of a server over the bundle, until the generator ends."""
    command = [
        sys.executable,
        "-m",
        "shortlist",
        "serve",
        str(bundle),
        "--port",
        "0",
        "--no-log",
    ]  # a full pipe stops it
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
HASHED_USERS = [2**63 + number for number in range(12)]
HASHED_ITEMS = [2**64 - 1 - number for number in range(24)]


@pytest.fixture(scope="module")
def long_numbers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A served bundle whose ids, and a column, are integers past 2^53."""
    yield from served(bundle_of(BIG_USERS, BIG_ITEMS, tmp_path_factory.mktemp("long") / "long.shortlist"))


@pytest.fixture(scope="module")
def unsigned_numbers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A served bundle whose ids are past 2^63, as hashes are."""
    yield from served(bundle_of(HASHED_USERS, HASHED_ITEMS, tmp_path_factory.mktemp("long") / "hashed.shortlist"))


def bundle_of(users: list[int], items: list[int], bundle: Path) -> Path:
    """A bundle, at this path, of these users and items, who chose some of them."""
    pairs = [(user, item) for u, user in enumerate(users) for i, item in enumerate(items) if (u * i) % 5 == 1]
    data = sl.Dataset(
        pl.DataFrame(pairs, schema=["user", "item"], orient="row"),
        "user",
        "item",
        candidates={"item": items, "sku": [item if item >= 2**63 else -item for item in items]},
    )
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=4), sl.Tower(sl.IntegerLookup("item"), dim=4))
    sl.fit(model, data, epochs=1, batch_size=16)
    sl.Recommender(model, index=sl.BruteForce(), seen=data).save(bundle)
    return bundle


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
            "조건의 1번째 글자에서 시작하는 이름의 열이 없습니다(후보). (조건) 도움말: 혹시 'year'인가요?"
        )
        page.locator("#where").fill("")
        expect(page.locator("#problem")).to_be_hidden()
        page.locator(".items .title").first.click()
        expect(page.locator("dialog[open]")).to_contain_text("모델에서 가장 가까운 것")
        shown = re.sub(r"\b[0-9a-f]{6,}\b", "", page.inner_text("body"))  # without fingerprints
        english = set(re.findall(r"[A-Za-z]{3,}", shown))
        assert english <= {"shortlist", "film", "films", "user", "genre", "year", "SQL", "curl", "Comedy", "Drama", "Western",
                           "ScaNN", "evaluate", "img", "src", "onerror", "alert", "script", "Enter", "Esc"}, english  # fmt: skip
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


@pytest.mark.parametrize("status", [200, 503])
def test_the_first_list_is_waited_for_in_words(browser, address, status):  # noqa: F811
    """A tower is loaded by the first request that needs it; the page is not empty until then."""
    held: list[Any] = []

    def answer(route: Any) -> None:
        route.continue_() if status == 200 else route.fulfill(status=status, body="{}")

    with watched(browser, "about:blank", offline=False) as (page, _):
        page.route("**/v1/recommend", lambda route: held.append(route))
        page.goto(f"{address}?lang=ko#visitor=1")
        expect(page.locator("#lists")).to_have_text(
            "첫 목록을 기다리고 있습니다. 모델의 첫 응답은 몇 초 걸릴 수 있습니다."
        )
        page.route("**/v1/recommend", answer)  # the words may be seen before the request is: later ones are answered
        for one in held:
            answer(one)
        expect(page.locator("#waiting")).to_have_count(0)
        expect(page.locator("#problem")).to_be_visible(visible=status != 200)


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


@pytest.mark.parametrize("typed", ["19", '"19"', "손님3"])
def test_an_id_typed_into_the_address_needs_no_quotes(browser, mixture, typed):  # noqa: F811
    with watched(browser, f"{mixture}#user={quote(typed)}", offline=False) as (page, watch):
        settled(page)
        assert rows(page)
        assert page.get_by_role("combobox").first.input_value() == typed.strip('"')
        expect(page.locator("#problem")).to_be_hidden()
    assert watch.errors == []


def test_what_ranked_is_named_in_words(browser, mixture):  # noqa: F811
    rows = [{"name": name, "values": {"top-10": 0.5}} for name in SCORERS if name != "index"]

    def with_figures(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"metrics": [{"title": "Test rows", "rows": rows}]})

    with watched(browser, "about:blank", offline=False) as (page, watch):
        page.route("**/v1/card", with_figures)
        page.goto(f"{mixture}?lang=ko")
        settled(page)
        named = page.locator("#card tbody th").all_inner_texts()
    assert len(named) == len(rows)
    assert not {*named} & {"model", "popularity", "recent", "transitions", "cooccurrence", "ease", "ials"}
    assert watch.errors == []


def test_an_id_that_cannot_be_shows_nobody_elses_list(browser, address):  # noqa: F811
    with watched(browser, f"{address}#user=somebody", offline=False) as (page, _):
        expect(page.locator("#problem")).to_be_visible()
        assert not rows(page)


@pytest.mark.parametrize(
    ("server", "users", "items", "sign"),
    [("long_numbers", BIG_USERS, BIG_ITEMS, "-"), ("unsigned_numbers", HASHED_USERS, HASHED_ITEMS, "")],
)
def test_long_integers_are_the_ids_they_are(browser, request, server, users, items, sign):  # noqa: F811
    """Everywhere that an id goes through JavaScript: the card, the search, lists, neighbours, history, address and curl."""
    address = request.getfixturevalue(server)
    with watched(browser, address, offline=False) as (page, watch):
        sent: list[str] = []
        page.on("request", lambda one: sent.append(one.post_data) if one.method == "POST" else None)
        page.on("request", lambda one: sent.append(one.url) if "/v1/history" in one.url else None)
        maps: list[str] = []
        page.on("response", lambda one: maps.append(f"{one.status} {one.url}") if "/v1/map" in one.url else None)
        page.goto(f"{address}#user={users[3]}")
        page.reload()
        settled(page)
        assert f"user={users[3]}" in page.url
        assert sent[0].endswith(f"query={users[3]}")
        assert f'"id":{users[3]}' in sent[1]
        assert "Training had no interaction" not in page.inner_text("body")
        shown = rows(page)
        assert set(map(int, shown)) <= set(items)
        notes = page.locator(".list small").all_inner_texts()
        assert [f"{sign}{one}" in note for one, note in zip(shown, notes, strict=True)] == [True] * len(shown)
        page.locator(".items .title").first.click()
        page.wait_for_selector("dialog[open] .items li")
        assert f'"candidates":[{shown[0]}]' in sent[-1]
        page.locator("dialog").get_by_text("Add to a visitor's history").click()
        expect(page.locator("#history .past li")).to_have_count(1)
        page.wait_for_load_state("networkidle")
        assert f'"history":[{shown[0]}]' in sent[-1]
    assert set(maps) == {f"200 {address}v1/map"}  # none of its columns groups anything
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


SOURCES = {
    "similar tastes": "비슷한 취향",
    "chosen together": "함께 고르는 것",
    "chosen next": "이어서 고르는 것",
    "chosen together (EASE)": "함께 고르는 것(EASE)",
    "chosen before": "전에 고른 것",
    "popular": "인기순",
    "popular lately": "요즘 인기순",
    "newly added": "새로 나온 것",
}


@pytest.mark.parametrize("language", ["en", "ko"])
def test_reasons_are_in_a_shoppers_words(browser, mixture, language):  # noqa: F811
    with watched(browser, f"{mixture}?lang={language}#seen=in&k=30", offline=False) as (page, watch):
        settled(page)
        assert all(re.fullmatch(r"(김|두부) \d+호", title) for title in rows(page))
        said = page.locator(".because").all_inner_texts()
        names = {part.rpartition(" ")[0] for one in said for part in one.split(", ") if part.endswith("%")}
        assert names <= {*(SOURCES if language == "en" else SOURCES.values())}
        assert len(names) >= 6
        assert any(("because of 김" in one or "because of 두부" in one) == (language == "en") for one in said)
        assert (language == "ko") == any(re.search(r"전에 고른 (김|두부) \d+호.* 때문", one) for one in said)
        page.locator("#where").focus()
        assert page.locator("#where").get_attribute("placeholder") in {
            f"분류 = '{one}'" for one in ("식품", "의류", "도서")
        }
    assert watch.errors == []


def test_every_source_has_a_shoppers_word(browser, address):  # noqa: F811
    from shortlist.train.sections import AddedSection

    kinds = get_args(get_type_hints(AddedSection)["kind"])
    assert len(kinds) == len(SOURCES)
    with watched(browser, f"{address}?lang=ko", offline=False) as (page, _):
        named = page.evaluate(
            "async (kinds) => { const { sourceName } = await import('/lists.js'); return kinds.map(sourceName); }",
            [*kinds, "towers 2", "popularity", "a source of one's own"],
        )
    assert named == [*(SOURCES[one] for one in SOURCES), "비슷한 취향 2", "인기순", "a source of one's own"]


def test_the_page_chooses_particles_as_commands_do(browser, address):  # noqa: F811
    both = ("이(가)", "을(를)", "은(는)", "과(와)", "(으)로", "(이)라는", "(이)라고")
    texts = [f"{word}{one} (있음)" for word in ("김", "두부", "물", "'물'", "3", "7", "9%", "film") for one in both]
    with watched(browser, f"{address}?lang=ko", offline=False) as (page, _):
        script = """async (texts) => {
            const { translated } = await import('/words.js');
            return texts.map((text) => translated(text));
        }"""
        assert page.evaluate(script, texts) == [chosen_particles(one) for one in texts]


def focused(page: Any) -> Any:
    """What has the keyboard: its tag, id, text, and whether one sees that it has."""
    return page.evaluate(
        """() => {
            const one = document.activeElement;
            const ring = getComputedStyle(one.type === 'radio' ? one.nextElementSibling : one);
            const box = one.getBoundingClientRect();
            return {
                tag: one.tagName, id: one.id, text: one.innerText?.trim() ?? "",
                seen: ring.outlineStyle !== 'none' && parseFloat(ring.outlineWidth) >= 1 || one.classList.contains('skip'),
                within: one.closest('dialog') ? 'dialog' : one.closest('.panel')?.className ?? '', place: [box.x, box.y],
                after: window.lastFocused ? !!(window.lastFocused.compareDocumentPosition(one) & 4) : true,
                last: (window.lastFocused = one) && null,
            };
        }"""
    )


@pytest.mark.parametrize("width", [390, 1280])
def test_the_keyboard_goes_through_the_whole_page(browser, address, width):  # noqa: F811
    with watched(browser, f"{address}#user=3&k=3", width, offline=False) as (page, watch):
        settled(page)
        page.get_by_text("Rules for the list").click()
        page.evaluate("document.activeElement.blur()")
        page.locator("body").evaluate(
            "(body) => { body.tabIndex = -1; body.focus(); body.removeAttribute('tabindex'); }"
        )
        page.evaluate("() => { window.lastFocused = null; }")
        passed = []
        while (page.keyboard.press("Tab") or True) and (one := focused(page))["tag"] != "BODY" and len(passed) < 60:
            passed.append(one)
            if one["tag"] == "A" and len(passed) > 1:
                break
        assert [one for one in passed if not one["seen"]] == []
        assert [one for one in passed[1:] if not one["after"] and one["tag"] != "A"] == []
        ids = [one["id"] for one in passed if one["id"]]
        assert len(ids) > 2, passed
        fields = [
            "exclude-seen",
            "k",
            "where",
            "diversify",
            "at-most",
            "at-most-column",
            "boost",
            "boost-factor",
            "rarer",
        ]
        assert ids == [ids[0], *fields, "colour"]
        assert passed[0]["text"] == "Skip to the recommendations"
        assert {"CANVAS", "SUMMARY"} <= {one["tag"] for one in passed}
        assert len(passed) < 60  # it ends
    assert watch.errors == []


def test_skipping_to_the_list_keeps_the_address(browser, address):  # noqa: F811
    with watched(browser, f"{address}#user=3&k=4", offline=False) as (page, _):
        settled(page)
        before = page.url
        page.keyboard.press("Tab")
        assert focused(page)["text"] == "Skip to the recommendations"
        page.keyboard.press("Enter")
        assert focused(page)["id"] == "results"
        page.keyboard.press("Tab")
        assert focused(page)["within"] == "panel results"
        assert page.url == before


def test_another_address_in_the_same_tab_is_followed(browser, address):  # noqa: F811
    with watched(browser, f"{address}#user=3&k=4", offline=False) as (page, _):
        settled(page)
        page.evaluate("location.hash = 'user=5&k=6&seen=in&where=genre+%3D+%27Drama%27'")
        expect(page.locator(".list").first.locator("li")).to_have_count(6)
        assert page.get_by_role("combobox").first.input_value() == "5"
        assert page.locator("#where").input_value() == "genre = 'Drama'"
        assert not page.locator("#exclude-seen").is_checked()


def test_enter_takes_what_is_typed_not_what_was_shown(browser, address):  # noqa: F811
    with watched(browser, f"{address}#user=3", offline=False) as (page, watch):
        settled(page)
        field = page.get_by_role("combobox").first
        field.focus()
        expect(page.locator("[role=option]")).to_have_count(11)  # 3 and 30 to 39
        page.keyboard.insert_text("1")
        page.keyboard.press("Enter")  # before the options of "1" are there
        expect(page).to_have_url(re.compile("user=1(&|$)"))
        expect(page.locator("[role=listbox]")).to_be_hidden()
        assert field.input_value() == "1"
        page.keyboard.press("Enter")  # opens, and takes nothing
        expect(page.locator("[role=option]").first).to_be_visible()
        expect(page.locator("#said")).to_have_text(re.compile("11 found"))
        page.keyboard.press("ArrowUp")
        assert page.locator("[role=option]").last.get_attribute("aria-selected") == "true"
        page.keyboard.press("Escape")
        expect(page.locator("[role=listbox]")).to_be_hidden()
        field.fill("19")
        field.dispatch_event("keydown", {"key": "Enter", "isComposing": True})  # ends a syllable of an input method
        expect(page.locator("[role=option] span")).to_have_text(["19"])
        assert "user=1" in page.url
        field.fill("no such one")
        expect(page.locator("#said")).to_have_text("nothing like that")
        page.keyboard.press("Enter")
        assert "user=1" in page.url
    assert watch.errors == []


def test_the_keyboard_keeps_its_place(browser, address):  # noqa: F811
    with watched(browser, f"{address}#visitor=1&k=5", offline=False) as (page, watch):
        settled(page)
        wanted = page.locator(".list").first.locator(".title").nth(2)
        title = wanted.inner_text()
        wanted.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog[open] .items li")
        assert focused(page)["within"] == "dialog"
        for _ in range(3):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")  # a neighbour of it
        expect(page.locator("#neighbours-title")).not_to_have_text(title)
        page.wait_for_selector("dialog[open] .items li")
        assert focused(page)["text"] == "Close"
        page.keyboard.press("Escape")
        assert focused(page)["text"] == title
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Add to a visitor's history").press("Enter")
        expect(page.locator("#history")).to_contain_text(title)
        expect(page.locator(".list").first.locator(".title", has_text=re.compile(f"^{title}$"))).to_have_count(0)
        assert focused(page)["within"] == "panel results"  # what took its place in the list
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Add to a visitor's history").press("Enter")
        expect(page.locator("#history li")).to_have_count(2)
        page.locator("#history .plain").first.press("Enter")
        expect(page.locator("#history li")).to_have_count(1)
        assert focused(page)["text"] == "✕"
        page.keyboard.press("Enter")
        expect(page.locator("#history li")).to_have_count(0)
        assert focused(page)["id"] == "history"
    assert watch.errors == []


def test_the_map_is_walked_by_keyboard(browser, address):  # noqa: F811
    with watched(browser, f"{address}#user=3", offline=False) as (page, watch):
        settled(page)
        page.locator("#colour").focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert focused(page)["tag"] == "CANVAS"
        page.keyboard.press("ArrowRight")
        expect(page.locator(".tip")).to_contain_text("recommended")
        seen = {page.locator(".tip").inner_text()}
        for key in ("ArrowLeft", "ArrowUp", "ArrowDown", "ArrowRight", "+", "+", "ArrowLeft", "ArrowLeft"):
            page.keyboard.press(key)
            seen.add(page.locator(".tip").inner_text())
            box, spot = page.locator("canvas").bounding_box(), page.locator(".tip").bounding_box()
            assert box["y"] - 40 <= spot["y"] <= box["y"] + box["height"] + 40
        assert len(seen) > 2
        expect(page.locator("#said")).to_have_text(page.locator(".tip").inner_text())
        title = page.locator(".tip").inner_text().split(" · ")[0]
        page.keyboard.press("Enter")
        expect(page.locator("#neighbours-title")).to_have_text(title)
        page.keyboard.press("Escape")
        assert focused(page)["tag"] == "CANVAS"
        page.keyboard.press("Escape")
        expect(page.locator(".tip")).to_be_hidden()
        page.keyboard.press("Tab")
        assert focused(page)["tag"] != "CANVAS"
    assert watch.errors == []


def test_a_wheel_over_the_whole_map_scrolls_the_page(browser, address):  # noqa: F811
    with watched(browser, f"{address}#user=3", offline=False) as (page, _):
        settled(page)
        script = """(canvas) => [200, -200, 200].map((deltaY) =>
            !canvas.dispatchEvent(new WheelEvent('wheel', { deltaY, cancelable: true })))"""
        assert page.locator("canvas").evaluate(script) == [False, True, True]  # only what zooms is the map's own


def test_changes_are_said_in_a_few_words(browser, address):  # noqa: F811
    with watched(browser, f"{address}#user=3&k=4", offline=False) as (page, _):
        settled(page)
        expect(page.locator("#said")).to_have_text(f"4 recommended, the first is {rows(page)[0]}")
        assert page.locator("#said").get_attribute("role") == "status"
        assert page.locator("#lists").get_attribute("aria-live") is None  # the whole list is not read out
        page.locator("#where").fill("year > 2100")
        expect(page.locator("#said")).to_have_text("Nothing passes the condition, or all that does was chosen before.")


def test_numbers_that_cannot_be_are_refused_in_words(browser, address):  # noqa: F811
    with watched(browser, f"{address}#user=3&k=4", offline=False) as (page, _):
        settled(page)
        page.get_by_text("Rules for the list").click()
        for name, wrong, said in (
            ("k", "500", "How many: a number from 1 to 100 is needed."),
            ("at-most", "0", "At most: a number from 1 to 100 is needed."),
            (
                "rarer",
                "-3",
                "A fifth of the places for those chosen fewer times than: a number from 1 to 1000000 is needed.",
            ),
        ):
            before = page.locator(f"#{name}").input_value()
            page.locator(f"#{name}").fill(wrong)
            expect(page.locator("#problem")).to_have_text(said)
            page.locator(f"#{name}").fill(before)
            expect(page.locator("#problem")).to_be_hidden()
        page.locator("#boost").fill("year >")
        expect(page.locator("#problem")).to_contain_text("(Lift where)")


def test_reasons_wait_for_the_titles_of_the_history(browser, mixture):  # noqa: F811
    with watched(browser, mixture, offline=False) as (page, _):
        settled(page)
        held: list[Any] = []
        page.route("**/v1/history*", lambda route: held.append(route))
        with page.expect_response("**/v1/recommend"):
            page.reload(wait_until="commit")
        assert len(held) == 1
        assert page.locator(".because").count() == 0
        held[0].continue_()
        expect(page.locator(".because").first).to_be_visible()
        assert not re.search(r"\bP\d", " ".join(page.locator(".because").all_inner_texts()))


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_field_has_room(browser, mixture, width, language):  # noqa: F811
    with watched(browser, f"{mixture}?lang={language}", width, offline=False) as (page, _):
        settled(page)
        page.locator("#rules summary").click()
        boxes = {
            one.get_attribute("id"): one.bounding_box() for one in page.locator(".ask .field :is(input, select)").all()
        }
        assert len(boxes) == 8
        assert [name for name, box in boxes.items() if box["width"] < 60] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_pinned_one_keeps_its_title(browser, mixture):  # noqa: F811
    rule = quote(json.dumps({"pin": [{"place": 1, "id": "P5"}]}))
    with watched(browser, f"{mixture}#seen=in&rules={rule}", offline=False) as (page, _):
        settled(page)
        expect(page.locator("#pins")).to_contain_text("1. 두부 5호")


def test_a_server_that_is_gone_is_said_at_every_control(browser, bundle):  # noqa: F811
    server = served(bundle)
    gone = "The service cannot be reached. Is `shortlist serve` still running?"
    with watched(browser, f"{next(server)}#user=3", offline=False) as (page, _):
        settled(page)
        server.close()
        problem = page.locator("#problem")
        for act in (
            lambda: page.locator("#exclude-seen").uncheck(),
            lambda: page.get_by_role("combobox").first.focus(),
            lambda: page.locator("#colour").select_option(""),
            lambda: page.locator("canvas").press("Enter") or page.locator("canvas").press("Enter"),
        ):
            page.evaluate("document.getElementById('problem').hidden = true")
            act()
            expect(problem).to_be_visible()
            expect(problem).to_have_text(gone)
        assert page.locator("#colour").input_value() == "genre"  # the map is still coloured by it
        expect(page.locator(".legend")).to_contain_text("Comedy")
        expect(page.locator("[role=listbox]")).to_be_hidden()  # not "nothing like that"
        page.locator(".items .title").first.click()
        expect(page.locator("dialog [role=alert]")).to_have_text(gone)
