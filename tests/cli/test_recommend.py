"""``shortlist recommend``: lists, new ids, and which texts are ids."""

import json
from pathlib import Path

import pytest
from tests.cli.typed import shortlist


def test_recommend_from_what_was_chosen(bundle: Path, folder: Path) -> None:
    """Reader 999 is new; whoever chose b11 and b13 is of the odd camp, books 10 to 19."""
    done = shortlist("recommend", bundle, 999, "--k", 5, "--history", "b11", "--history", "b13", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    found = {item["id"] for item in answer["items"]}
    assert not answer["known"]
    assert found < {f"b{book}" for book in range(10, 20)} - {"b11", "b13"}


def test_recommend_prints_the_missing_book_first(bundle: Path, folder: Path) -> None:
    done = shortlist("recommend", bundle, 2, "--k", 3, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    assert answer["query"] == 2
    assert answer["known"] is True
    assert len(answer["items"]) == 3
    camp = {f"b{book}" for book in range(10)}
    assert answer["items"][0]["id"] in camp  # what an even reader has not chosen of the even readers' books


def test_recommend_marks_an_unknown_id(bundle: Path, folder: Path) -> None:
    done = shortlist("recommend", bundle, 999, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["known"] is False
    plain = shortlist("recommend", bundle, 999, cwd=folder)
    assert "unknown to the model: 999" in plain.stderr


@pytest.mark.parametrize(
    "text",
    [
        "5_863",
        "+5863",
        "٥",
        "--5863",
        "-",
        "--",
        "5.0",
        "0x10",
        "05",
        " 5",
        "5 ",
        "−5",
        "1e3",
        "",
        "²",
        "-0",
        "9" * 5000,
    ],
)
def test_an_integer_is_what_is_written_as_one(bundle: Path, folder: Path, text: str) -> None:
    """Readers are integers. Python's int() reads 5_863 as 5863 and ٥ as 5, which are other readers."""
    done = shortlist("recommend", bundle, "--", text, cwd=folder)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "ids are integers" in done.stderr
    assert "Traceback" not in done.stderr


def test_ids_that_look_like_options(bundle: Path, folder: Path) -> None:
    for text in ("-5", "--5863", "-x"):
        done = shortlist("recommend", bundle, text, cwd=folder)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"shortlist recommend BUNDLE -- {text}" in " ".join(done.stderr.replace("│", " ").split())
    done = shortlist("recommend", bundle, "--json", "--", "-5", "2", cwd=folder)
    assert [(one["query"], one["known"]) for one in json.loads(done.stdout)] == [(-5, False), (2, True)]


def test_reasons_of_a_list(bundle: Path, folder: Path) -> None:
    done = shortlist("recommend", bundle, 2, "--k", 3, "--explain", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    for item in answer["items"]:
        assert item["reason"]["parts"][0]["source"] == "towers"
    plain = shortlist("recommend", bundle, 2, "--k", 3, "--explain", cwd=folder)
    assert plain.stdout.count("towers 100%") == 3


def test_a_history_that_the_catalogue_does_not_have_is_said(bundle: Path, folder: Path) -> None:
    done = shortlist("recommend", bundle, 999, "--history", "b11", "--history", "zz", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "--history: the catalogue does not have zz; nothing follows from that" in done.stderr
