"""Bundles on the Hugging Face Hub: its own client, against a stand-in for its API on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.recommender.hub_server import Hub, running

import shortlist as sl

pytest.importorskip("huggingface_hub", reason='pip install "shortlist[hub]"')
REPO = "someone/films"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running() as one:
        monkeypatch.setenv("HF_ENDPOINT", one.address)
        monkeypatch.setenv("SHORTLIST_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
        yield one


def films(likes: str = "b") -> sl.Recommender:
    data = sl.Dataset({"user": ["u", "u", "v", "w"], "film": ["a", likes, "b", "c"]}, "user", "film")
    return sl.Recommender(sl.popularity(data), seen=data)


def test_pushed_and_loaded_again(hub: Hub, tmp_path: Path) -> None:
    address = films().push_to_hub(REPO)
    ((commit, files),) = hub.commits[REPO]
    assert address == f"{hub.address}/{REPO}/commit/{commit}"
    assert hub.private[REPO] is True
    assert "bundle/manifest.json" in files
    loaded = sl.Recommender.from_hub(REPO)
    assert loaded.recommend(["v"], k=2).to_dicts() == films().recommend(["v"], k=2).to_dicts()
    folder = tmp_path / "cache" / "hub" / "someone--films" / commit
    assert [one.name for one in folder.iterdir()] == ["bundle"]


def test_a_commit_is_fetched_once(hub: Hub) -> None:
    films().push_to_hub(REPO)
    sl.Recommender.from_hub(REPO)
    before = len(hub.requests)
    sl.Recommender.from_hub(REPO)
    assert hub.requests[before:] == [("GET", f"/api/models/{REPO}")]
    commit = hub.commits[REPO][0][0]
    sl.Recommender.from_hub(REPO, revision=commit)
    assert len(hub.requests) == before + 1


def test_a_second_push_replaces_the_bundle_and_the_first_can_be_loaded(hub: Hub) -> None:
    films().push_to_hub(REPO)
    first = hub.commits[REPO][0][0]
    hub.commits[REPO][0][1]["bundle/left.over"] = b"x"
    films(likes="c").push_to_hub(REPO)
    assert "bundle/left.over" not in hub.commits[REPO][1][1]
    del hub.commits[REPO][0][1]["bundle/left.over"]
    assert sl.Recommender.from_hub(REPO).recommend(["u"])[0].ids == ["b"]
    assert sl.Recommender.from_hub(REPO, revision=first).recommend(["u"])[0].ids == ["c"]


def test_the_card_says_how_to_load_it_and_what_is_in_it(hub: Hub) -> None:
    recommender = films()
    recommender.metadata = {"model": {"test": {"seen_out": {"top_10": 0.25}}}}
    recommender.push_to_hub(REPO)
    card = hub.commits[REPO][0][1]["README.md"].decode()
    assert 'sl.Recommender.from_hub("someone/films")' in card
    assert "| model | 0.2500 |" in card
    assert "the ids of all queries (`user`) and what each of them chose" in card
    assert "Recommends 3 candidates (`film`) to 3 queries (`user`)." in card
    assert "\n\n\n" not in card
    recommender.metadata = {}
    recommender.push_to_hub(REPO)
    assert "\n\n\n" not in hub.commits[REPO][1][1]["README.md"].decode()


def test_a_name_without_an_owner_belongs_to_the_one_who_is_logged_in(hub: Hub) -> None:
    """The Hub adds the owner when it makes the repository; all that follows needs the whole name."""
    address = films().push_to_hub("films")
    ((commit, files),) = hub.commits[REPO]
    assert address == f"{hub.address}/{REPO}/commit/{commit}"
    assert f'sl.Recommender.from_hub("{REPO}")' in files["README.md"].decode()


@pytest.mark.parametrize("token", [None, "secret"])
def test_a_name_without_an_owner_that_is_read_is_said_to_lack_it(hub: Hub, token: str | None) -> None:
    """The Hub answers 404, or 401 where nobody is logged in; neither says what is wrong with the name."""
    hub.token = token
    with pytest.raises(sl.BundleError, match=r"loading from 'films': the Hub answered 40[14]") as error:
        sl.Recommender.from_hub("films")
    assert error.value.hint == "a repository is written as owner/name, such as 'someone/films'; 'films' has no owner"
    with pytest.raises(sl.BundleError, match=r"loading from 'someone/films' at 'v2': the Hub answered 40[14]") as error:
        sl.Recommender.from_hub(REPO, revision="v2")
    assert "HF_TOKEN" in str(error.value.hint)


def test_an_address_in_the_place_of_a_name_is_refused_with_what_to_write(hub: Hub) -> None:
    with pytest.raises(sl.BundleError) as caught:
        sl.Recommender.from_hub("https://huggingface.co/someone/films")
    assert caught.value.hint == "a repository is written as owner/name, without an address"


def test_a_bundle_that_was_altered_is_refused(hub: Hub) -> None:
    films().push_to_hub(REPO)
    files = hub.commits[REPO][0][1]
    whole = files["bundle/candidates.parquet"]
    files["bundle/candidates.parquet"] += b"!"
    with pytest.raises(sl.BundleError, match=r"candidates\.parquet"):
        sl.Recommender.from_hub(REPO)
    files["bundle/candidates.parquet"] = whole
    sl.Recommender.from_hub(REPO)  # the damaged one was not kept


def test_errors_are_in_words(hub: Hub) -> None:
    with pytest.raises(sl.BundleError, match="404") as error:
        sl.Recommender.from_hub("someone/nothing")
    assert "private repository" in str(error.value.hint)
    with pytest.raises(sl.BundleError, match="owner/name"):
        sl.Recommender.from_hub("a/b/c")
    hub.commits["someone/else"] = [("1" * 40, {"README.md": b"text"})]
    with pytest.raises(sl.BundleError, match="has no folder 'bundle'"):
        sl.Recommender.from_hub("someone/else")
    hub.token = "secret"
    with pytest.raises(sl.BundleError, match="401") as error:
        films().push_to_hub(REPO)
    assert "HF_TOKEN" in str(error.value.hint)
    assert REPO not in hub.commits
    films().push_to_hub(REPO, token="secret")
    assert sl.Recommender.from_hub(REPO, token="secret").recommend(["u"])[0].ids == ["c"]


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(sl.BundleError, match="cannot be reached"):
        sl.Recommender.from_hub(REPO)
