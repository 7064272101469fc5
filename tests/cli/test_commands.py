"""The commands as a person types them."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from tests.cli.typed import shortlist


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty readers in two camps: even readers chose books 0 to 9, odd readers 10 to 19, each all but one."""
    place = tmp_path_factory.mktemp("cli")
    rows = [
        {"reader": reader, "book": f"b{book}", "at": reader * 10 + book}
        for reader in range(40)
        for book in range(10 * (reader % 2), 10 * (reader % 2) + 10)
        if book % 10 != reader % 7
    ]
    pl.DataFrame(rows).write_csv(place / "choices.csv")
    pl.DataFrame({"reader": [0, 1], "book": ["b0", "b11"]}).write_csv(place / "test.csv")
    return place


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Path:
    done = shortlist(
        "train", "choices.csv", "--query", "reader", "--candidate", "book", "--out", "my.shortlist",
        "--set", "fit.epochs=30", "--set", "fit.batch_size=64", "--json", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["bundle"] == "my.shortlist"
    assert len(result["training"]) == 30
    assert set(result["evaluation"]["model"]) == {"seen_in", "seen_out"}
    assert "held out 36 interactions" in done.stderr
    return folder / "my.shortlist"


def test_recommend_from_what_was_chosen(bundle: Path, folder: Path) -> None:
    """Reader 999 is new; whoever chose b11 and b13 is of the odd camp, books 10 to 19."""
    done = shortlist("recommend", bundle, 999, "--k", 5, "--chosen", "b11", "--chosen", "b13", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    found = {item["id"] for item in answer["items"]}
    assert not answer["known"]
    assert found < {f"b{book}" for book in range(10, 20)} - {"b11", "b13"}


BOTH = """
[model]
dim = 8
[fit]
epochs = 3
[[joined]]
weight = 0.7
[joined.als]
"""


def test_train_solves_and_joins(bundle: Path, folder: Path) -> None:
    """Sweeps are no steps to be few; of two models the lines are those of the first."""
    asked = ("train", "choices.csv", "--query", "reader", "--candidate", "book", "--test", "0")
    done = shortlist(*asked, "--recipe", "als", "--set", "fit.epochs=4", "--out", "als.shortlist", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "epoch 4/4" in done.stderr
    assert "(chance 1.0000)" in done.stderr
    assert "training steps" not in done.stderr
    (folder / "both.toml").write_text(BOTH, encoding="utf-8")
    done = shortlist(*asked, "--recipe", "both.toml", "--out", "both.shortlist", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "2 models are trained one after another and joined; these lines belong to the first" in done.stderr
    assert done.stderr.count("epoch 3/3") == 1
    for name in ("als", "both"):
        done = shortlist("recommend", f"{name}.shortlist", 0, "--k", 1, "--json", cwd=folder)
        assert json.loads(done.stdout)[0]["items"][0]["id"] == "b0"


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


def test_evaluate_reports_both_scorers(bundle: Path, folder: Path) -> None:
    done = shortlist("evaluate", bundle, "test.csv", "--k", "1,20", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["pairs"] == 2
    assert result["candidates"] == 20
    assert result["model"]["seen_in"]["top_20"] == 1.0
    assert result["popularity"]["seen_in"]["top_20"] == 1.0


def test_evaluate_beside_baselines_in_segments_with_intervals(bundle: Path, folder: Path) -> None:
    """Pairs are not of training: each reader's one missing book, and at a time after all of training."""
    missing = [{"reader": r, "book": f"b{10 * (r % 2) + r % 7}", "at": 1000, "shop": "ab"[r % 2]} for r in range(40)]
    pl.DataFrame(missing).write_csv(folder / "missing.csv")
    options = ("missing.csv", "--k", "1,5", "--metrics", "top,ndcg,auc", "--baselines", "popularity,recent,ease")
    timed = ("--train", "choices.csv", "--timestamp", "at", "--segments", "shop,warm_cold")
    done = shortlist("evaluate", bundle, *options, *timed, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {"model", "popularity", "recent", "ease"} <= result.keys()
    low, high = result["intervals"]["model"]["seen_out"]["top_5"]
    assert low <= result["model"]["seen_out"]["top_5"] <= high
    assert result["model"]["seen_out"]["top_1"] == 1.0  # the one left of its camp
    assert {(one["name"], one["group"], one["pairs"]) for one in result["segments"]} == {
        ("shop", "a", 20), ("shop", "b", 20), ("warm_cold", "warm query, warm candidate", 40),
    }  # fmt: skip
    assert [one["scorer"] for one in result["comparisons"]] == ["popularity", "recent", "ease"]
    assert result["comparisons"][0]["real"]
    assert "future in training" not in done.stderr

    plain = shortlist("evaluate", bundle, *options, *timed, cwd=folder)
    assert "by shop (top-5, seen items excluded)" in plain.stdout
    assert "model is better than popularity: top-5" in plain.stdout


def test_evaluate_says_what_a_split_leaks_and_refuses_what_is_no_test(bundle: Path, folder: Path) -> None:
    pl.DataFrame({"reader": [0, 1], "book": ["b0", "b11"], "at": [5, 1000]}).write_csv(folder / "early.csv")
    timed = ("--train", "choices.csv", "--timestamp", "at", "--baselines", "none", "--json")
    done = shortlist("evaluate", bundle, "early.csv", *timed, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "future_in_training" in [one["name"] for one in json.loads(done.stdout)["findings"]]
    assert "warning: future in training" in done.stderr
    refused = shortlist("evaluate", bundle, "choices.csv", *timed, cwd=folder)
    assert refused.returncode == 1
    assert "this would measure memory" in refused.stderr
    assert refused.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("recommend", "nowhere.shortlist", "1"), 1, "nowhere.shortlist"),
        (("recommend", "my.shortlist", "seven"), 1, "'seven' was given"),
        (("recommend", "my.shortlist"), 2, "Missing argument"),
        (("recommend", "my.shortlist", "1", "--k", "0"), 1, "at least 1"),
        (("evaluate", "my.shortlist", "test.csv", "--k", "ten"), 1, "whole numbers"),
        (("evaluate", "my.shortlist", "test.csv", "--metrics", "ndgc"), 1, "did you mean 'ndcg'"),
        (("evaluate", "my.shortlist", "test.csv", "--baselines", "eased"), 1, "did you mean 'ease'"),
        (("evaluate", "my.shortlist", "test.csv", "--segments", "shelf"), 1, "no segment 'shelf'"),
        (
            ("train", "choices.csv", "--query", "raeder", "--candidate", "book", "--out", "x"),
            1,
            "did you mean 'reader'",
        ),
        (("train", "none.csv", "--query", "a", "--candidate", "b", "--out", "x"), 1, "none.csv"),
        (
            ("train", "choices.csv", "--query", "reader", "--candidate", "book", "--out", "my.shortlist"),
            1,
            "--overwrite",
        ),
        (
            ("train", "choices.csv", "--query", "reader", "--candidate", "book", "--out", "x", "--recipe", "tutorail"),
            1,
            "did you mean 'tutorial'",
        ),
        (("frobnicate",), 2, "frobnicate"),
    ],
)
def test_a_mistake_ends_in_a_message_and_a_code(
    bundle: Path, folder: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = shortlist(*arguments, cwd=folder)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (folder / "x").exists()


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


def test_in_a_process_of_its_own(bundle: Path, folder: Path) -> None:
    for arguments in (("recommend", bundle, 2, "--json"), ("recommend", bundle, "seven")):
        command = [sys.executable, "-m", "shortlist", *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
        here = shortlist(*arguments, cwd=folder)
        assert (done.returncode, done.stdout, done.stderr) == (here.returncode, here.stdout, here.stderr)


def test_no_arguments_show_five_commands_and_an_example(folder: Path) -> None:
    done = shortlist(cwd=folder)
    assert done.returncode == 0
    for name in ("demo", "train", "evaluate", "recommend"):
        assert f"shortlist {name}" in done.stdout


def test_help_imports_neither_torch_nor_polars(folder: Path) -> None:
    code = (
        "import sys; sys.argv = ['shortlist', '--help']\n"
        "from shortlist.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'polars', 'numpy'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=folder)


@pytest.mark.parametrize("words", ["train choices.csv --query reader --candidate book --out x.shortlist", "demo"])
def test_without_torch_a_command_says_what_to_type(folder: Path, words: str) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        f"sys.argv = ['shortlist', *{words.split()!r}]\n"
        "from shortlist.cli.main import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: this command needs the package 'torch', which is not installed.",
        'hint: pip install "shortlist[train]"',
    ]
