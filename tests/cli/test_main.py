"""The command itself: mistakes end in a message and a code; help is quick; what is missing is named."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.typed import shortlist

MISSPELT = (
    ("recomend", "recommend"),
    ("tran", "train"),
    ("servee", "serve"),
    ("Evaluate", "evaluate"),
    ("compare_logged", "compare-logged"),
    ("import-tfr", "import-tfrs"),
)


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
        (("frobnicate",), 2, "No such command 'frobnicate'."),
        *(((wrong, "x"), 2, f"No such command {wrong!r}. Did you mean {right!r}?") for wrong, right in MISSPELT),
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


COMMANDS_ALONE = """
import importlib, sys
from shortlist.cli.main import COMMANDS
heavy = ("polars", "torch")
for name in COMMANDS:
    importlib.import_module(f"shortlist.cli.{name.replace('-', '_')}")
    print(name, *[package for package in heavy if package in sys.modules])
"""


def test_no_module_of_a_command_loads_torch_or_polars() -> None:
    """They are loaded once the options are read."""
    said = subprocess.run([sys.executable, "-c", COMMANDS_ALONE], capture_output=True, text=True, check=True).stdout
    lines = said.splitlines()
    assert len(lines) > 15
    assert [line for line in lines if " " in line] == []
