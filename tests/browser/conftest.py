"""A real browser that opens reports from the file system and notes what they request and log."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

PUBLISHED = Path("results/published").resolve()
DESKTOP, PHONE = {"width": 1280, "height": 720}, {"width": 390, "height": 844}

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "no chromium: `make test-browser` installs it"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens a page with these options of a browser context.

    Afterwards, no page may have logged an error, thrown one, or requested anything but itself.
    """
    contexts, faults = [], []

    def open_(path: Path, anchor: str = "", **options: object) -> Page:
        context = browser.new_context(**{"viewport": DESKTOP, **options})  # type: ignore[arg-type]
        contexts.append(context)
        page, address = context.new_page(), path.resolve().as_uri()
        page.on("console", lambda message: faults.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))

        def note_request(url: str) -> None:
            if url.partition("#")[0] != address and not url.startswith("data:"):
                faults.append(f"request: {url}")

        page.on("request", lambda request: note_request(request.url))
        page.goto(address + anchor)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert faults == []
