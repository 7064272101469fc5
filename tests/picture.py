"""The picture of README.md: the server's page over a real bundle, in a real browser, light and dark.

``python -m tests.picture BUNDLE QUERY`` writes ``docs/page-light.png`` and ``docs/page-dark.png``. The pictures in the
repository show the bundle of ``shortlist demo --recipe als --out demo.shortlist``, which is what README's first program chooses.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from tests.browser import chromium_path

DOCS = Path(__file__).parents[1] / "docs"
WIDTH, HEIGHT = 1180, 760


def pictures(bundle: Path, query: str, folder: Path = DOCS) -> list[Path]:
    """Write both pictures of the page of ``bundle`` with the list for ``query``; return where they are."""
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "shortlist", "serve", str(bundle), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    written = []
    try:
        assert server.stderr is not None
        address = next(
            found.group() for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+/", line))
        )
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
                page.goto(f"{address}#k=10&seen=out&user={quote(json.dumps(query))}")
                page.get_by_text("Copy as curl").wait_for()
                page.wait_for_load_state("networkidle")
                # The time of a first request, or of one next to others, says nothing about the rest.
                for _ in range(10):
                    with page.expect_response(re.compile("/v1/recommend")):
                        page.locator("#exclude-seen").dispatch_event("change")
                    page.wait_for_load_state("networkidle")
                written.append(folder / f"page-{scheme}.png")
                page.screenshot(path=str(written[-1]))
            browser.close()
    finally:
        server.terminate()
        server.wait(60)
    return written


if __name__ == "__main__":
    pictures(Path(sys.argv[1]), sys.argv[2])
