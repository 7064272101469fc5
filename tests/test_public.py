"""What is public stays as it was promised, and is written down."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from difflib import unified_diff
from typing import Any

import pytest
from tests.public import PROMISED, public

import shortlist as sl


def test_what_is_public_is_what_was_promised() -> None:
    promised, found = PROMISED.read_text(encoding="utf-8").splitlines(), public()
    changes = "\n".join(unified_diff(promised, found, "promised", "found", lineterm="", n=0))
    assert not changes, f"{changes}\nIf this is meant: python -m tests.public, and a line in CHANGELOG.md"


def test_a_changed_default_would_be_seen() -> None:
    promised = PROMISED.read_text(encoding="utf-8")
    assert re.search(r"^sl\.Retrieval\(.*temperature=1\.0, ", promised, flags=re.MULTILINE)
    assert "sl.Recommender.recommend(queries, k=10, " in promised
    assert re.search(r"^shortlist recommend BUNDLE .*--k", promised, flags=re.MULTILINE)
    assert "POST /v1/recommend" in promised


EXPLAINED = sorted(
    name
    for name in sl.__all__
    if callable(value := getattr(sl, name)) and not (inspect.isclass(value) and issubclass(value, Exception))
)


@pytest.mark.parametrize("name", EXPLAINED)
def test_every_parameter_of_a_public_name_is_explained(name: str) -> None:
    value: Any = getattr(sl, name)
    explained = inspect.getdoc(value) or ""
    for other in re.findall(r"as in (\w+)", explained):  # "``dim`` as in StringLookup"
        explained += inspect.getdoc(getattr(sl, other, None)) or ""
    parameters = [name for name in inspect.signature(value).parameters if not name.startswith("_")]
    missing = [one for one in parameters if not re.search(rf"\b{one}\b", explained)]
    assert not missing, f"{name} does not say what {', '.join(missing)} mean"


def test_completion_offers_commands_and_their_options() -> None:
    def offered(words: str, position: int) -> list[str]:
        asked = {"_SHORTLIST_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(position)}
        program = "from shortlist.cli.main import cli; cli(prog_name='shortlist')"
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False, env={**os.environ, **asked}
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert offered("shortlist rec", 1) == ["recommend", "recommend-all"]
    assert "--k" in offered("shortlist recommend --", 2)
