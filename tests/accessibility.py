"""axe-core over a page: contrast, names, landmarks, keyboard.

``violations(page)`` for a test; ``python -m tests.accessibility site`` for pages of the documentation, after ``make docs``. ``make
clients`` brings axe-core; without it tests skip, and the program says so.
"""

from __future__ import annotations

import functools
import http.server
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.browser import chromium_path

AXE = Path(sys.prefix) / "node" / "node_modules" / "axe-core" / "axe.min.js"
VIEWS = ((390, "dark"), (1280, "light"))
"""Width and colour scheme."""

PAGES = ("", "which-model/", "reference/", "commands/", "quality/", "ko/")


def violations(page: Any) -> list[str]:
    """What axe-core finds on a page of Playwright: the rule, and the first element that breaks it."""
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]} ({len(one['nodes'])} times)" for one in found]


def needs_axe() -> None:
    """Skip a test where axe-core is not there."""
    if not AXE.is_file():
        pytest.skip("no axe-core here: make clients")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def of_site(folder: Path) -> list[str]:
    """Violations on the pages of the built documentation, on a phone in the dark and on a desk in the light."""
    from playwright.sync_api import sync_playwright

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/"
    found = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        for width, scheme in VIEWS:
            view = {"width": width, "height": 900}
            context = browser.new_context(viewport=view, color_scheme=scheme, bypass_csp=True)
            for name in PAGES:
                page = context.new_page()
                page.goto(address + name)
                page.wait_for_load_state("load")
                found += [f"{name or 'index'}, {scheme}, {width}: {one}" for one in violations(page)]
                page.close()
        browser.close()
    server.shutdown()
    return found


def main(folder: Path) -> None:
    """Check the site; exit 1 with every violation."""
    if not AXE.is_file() or chromium_path() is None:
        print(
            "axe-core or a Chromium is missing (make clients): the site's accessibility was not checked",
            file=sys.stderr,
        )
        return
    found = of_site(folder)
    print("\n".join(found) or f"{len(PAGES)} pages, no violation")
    sys.exit(bool(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
