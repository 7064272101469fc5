"""README's code and commands run as they stand."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import polars as pl
import pytest
from docs.readme import figures, line, page
from tests.cli.typed import shortlist

from shortlist.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("number", [0, 1])
def test_the_python_blocks_run(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, as the pages' code: torch is imported here."""
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks("python")[number], f"README, block {number}", "exec"), {"__name__": "__main__"})
    said = capsys.readouterr().out
    assert "popularity" in said
    if number == 0:  # the printed lines that depend on no machine are those of the page
        (shown,) = blocks("text")
        for printed in (
            "  model                                 recall@10   ± s.e.  seconds",
            "seen items excluded",
            "popularity       0.0111   0.0889   0.4084",
        ):
            assert printed in said.splitlines()
            assert printed in shown.splitlines()
    assert (tmp_path / "movielens.shortlist" / "manifest.json").is_file()


def test_the_shortlist_commands_run(tmp_path: Path) -> None:
    rows = {
        "user_id": [user for user in range(40, 90) for _ in range(5)],
        "movie_id": [(user + step) % 12 for user in range(40, 90) for step in range(5)],
        "timestamp": [1_000 * user + step for user in range(40, 90) for step in range(5)],
    }
    pl.DataFrame(rows).write_csv(tmp_path / "ratings.csv")
    pl.DataFrame({"user_id": [42], "movie_id": [5]}).write_csv(tmp_path / "test.csv")
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("shortlist ")]
    assert len(commands) == 5
    for command in commands:
        _, *words = shlex.split(command)
        done = shortlist(*words, cwd=tmp_path)
        assert done.returncode == 0, (command, done.stderr)


def test_the_figures_are_those_of_the_results() -> None:
    assert page(README) == README, "python docs/readme.py"
    assert sum(line.startswith("| ") for line in figures().splitlines()) == 6


def test_a_row_has_its_best_value_bold() -> None:
    assert line("a", [0.1, 0.25, None], " in 3 s") == "| a | 0.100 in 3 s | **0.250** |  |"


@pytest.mark.parametrize("target", ["demo", "test", "slow", "check", "docs", "packages"])
def test_the_make_commands_are_there(target: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr


def test_the_tree_is_the_tree() -> None:
    tree = re.search(r"```\nsrc/shortlist/\n(.*?)```", README, flags=re.DOTALL)
    assert tree is not None
    named = set(re.findall(r"^  (\w+)/", tree.group(1), flags=re.MULTILINE))
    package = ROOT / "src" / "shortlist"
    assert named == {path.name for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"}


def test_the_tree_names_every_command() -> None:
    named = re.search(r"^  cli/ +(.*)$", README, flags=re.MULTILINE)
    assert named is not None
    assert set(named.group(1).split()) == set(COMMANDS)


def test_what_it_points_to_is_there() -> None:
    pictures = re.findall(r'(?:src|srcset)="([^"]+)"', README)
    for target in (
        pictures + re.findall(r"\]\((?!https?:)([^)#]+)", README) + re.findall(r"`((?:docs/)?[\w-]+\.md)`", README)
    ):
        assert (ROOT / target).exists(), target
