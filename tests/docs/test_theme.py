"""The theme's own words are in the language of the page: a small site is built with this project's theme."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("index.md", "two.md", "ko/index.md", "ko/guides/two.md", "korea.md")


def test_korean_pages_have_a_korean_theme(tmp_path: Path) -> None:
    pytest.importorskip("zensical", reason="no zensical here: make docs installs it")
    for name in PAGES:
        page = tmp_path / "docs" / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("# One\n\n## Two\n\nText.\n", encoding="utf-8")
    settings = re.search(r"^theme:\n(?: .*\n)+", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert settings is not None
    theme = settings[0].replace("custom_dir: docs/theme", f"custom_dir: {ROOT / 'docs' / 'theme'}")
    (tmp_path / "mkdocs.yml").write_text(f"site_name: x\n{theme}plugins: [search]\n", encoding="utf-8")
    build = [sys.executable, "-m", "zensical", "build", "--clean"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    for name in PAGES:
        place = name.removesuffix("index.md").removesuffix(".md")
        html = (tmp_path / "site" / place / "index.html").read_text(encoding="utf-8")
        korean = name.startswith("ko/")
        assert ('<html lang="ko"' in html, '<html lang="en"' in html) == (korean, not korean), name
        assert ("검색어와 일치하는 문서가 없습니다" in html, "No matching documents" in html) == (korean, not korean), (
            name
        )
        assert ("목차" in html) == korean, name
