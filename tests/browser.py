"""A real browser for pages that must work on their own: Debian's Chromium, driven by Playwright, with no network.

``from tests.browser import browser, watched`` in a test file; without Playwright or a Chromium the test skips and
says so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LOCAL = ("file:", "data:", "blob:", "about:", "http://127.0.0.1:", "http://localhost:")


def chromium_path() -> str | None:
    """Where a Chromium is: ``$CHROMIUM``, or one of the usual names on the path."""
    given = os.environ.get("CHROMIUM")
    return given or next((path for path in map(shutil.which, CHROMIUMS) if path), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A running Chromium (``playwright.sync_api.Browser``), gone with its module: its event loop suffers no other beside it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install playwright")
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium, or set CHROMIUM to its path")
    playwright.expect.set_options(timeout=60_000)
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield running
        running.close()


@dataclass
class Watch:
    """What a page did that it should not: errors on its console or uncaught, and requests that leave the machine."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def watched(
    browser: Any, url: str, width: int = 1280, scheme: str = "light", offline: bool = True, free: bool = False
) -> Iterator[tuple[Any, Watch]]:
    """The page at ``url`` and its watch; offline, so that nothing but files and data can be fetched.

    ``free`` lets a test run scripts of its own in a page whose policy would not.
    """
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=offline, bypass_csp=free
    )
    context.set_default_timeout(120_000)
    page, watch = context.new_page(), Watch()
    page.on("console", lambda said: watch.errors.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: watch.errors.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(LOCAL) else watch.requests.append(asked.url))
    try:
        page.goto(url)
        yield page, watch
    finally:
        context.close()
