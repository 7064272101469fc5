"""README's code and commands run as they stand."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

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
def test_the_python_blocks_run(number: int, tmp_path: Path) -> None:
    code = blocks("python")[number]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "popularity" in done.stdout
    if number == 0:  # the printed lines that depend on no machine are those of the page
        (shown,) = blocks("text")
        for printed in (
            "  model                                 recall@10   ± s.e.  seconds",
            "seen items excluded",
            "popularity       0.0111   0.0889   0.4084",
        ):
            assert printed in done.stdout.splitlines()
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


class Interface:
    """In the place of hatchling's: only a build has hatchling."""


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("hatchling.builders.hooks.plugin.interface", "hatchling.metadata.plugin.interface"):
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
        for interface in ("BuildHookInterface", "MetadataHookInterface"):
            monkeypatch.setattr(sys.modules[name], interface, Interface, raising=False)
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.described


RELATIVE = re.compile(r"\]\((?!https?:|#)[^)]*\)|(?:src|srcset)=\"(?!https?:)[^\"]*\"")


def test_an_index_of_packages_shows_no_link_that_leads_nowhere(described: Any) -> None:
    assert len(RELATIVE.findall(README)) > 5
    text = described(README, None, "1.2.3")
    assert RELATIVE.findall(text) == []
    assert "<picture>" not in text
    assert "Quality and\nperformance have the protocols" in text
    address = "https://example.org/us/shortlist"
    text = described(README, f"{address}/", "1.2.3")
    assert RELATIVE.findall(text) == []
    assert f'src="{address}/raw/v1.2.3/docs/page-light.png"' in text
    assert f"[Quality]({address}/blob/v1.2.3/docs/quality.md)" in text
