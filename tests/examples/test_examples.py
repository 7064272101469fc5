"""Every example runs as it stands, in a folder of its own, and says what it promises."""

from __future__ import annotations

import importlib.util
import re
import runpy
from pathlib import Path

import pytest

VECTORS = Path(__file__).parents[2] / "docs" / "guides" / "vectors.md"
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
NEEDS = {"08_milvus": "milvus_lite", "10_your_own_loop": "lightning"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_runs(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = NEEDS.get(example.stem)
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed here")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(example), run_name="__main__")
    printed = capsys.readouterr().out.strip()
    assert printed
    if example.stem == "12_text_vectors":  # whose figures are on a page
        shown = dict(
            re.findall(r"^\| (\d+) numbers of text \| (0\.\d+) \|", VECTORS.read_text("utf-8"), flags=re.MULTILINE)
        )
        found = dict(re.findall(r"^(\d+) numbers of text: (0\.\d+)", printed, flags=re.MULTILINE))
        assert {width: float(one) for width, one in found.items()} == pytest.approx(
            {width: float(one) for width, one in shown.items()}, abs=0.03
        )


def test_they_are_numbered_from_one_on() -> None:
    assert [int(example.stem[:2]) for example in EXAMPLES] == list(range(1, 13))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_is_short_and_says_what_it_shows(example: Path) -> None:
    text = example.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 80
    assert text.startswith('"""')
