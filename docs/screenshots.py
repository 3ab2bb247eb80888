"""Takes the pictures of a report that the README and docs/ show: `python -m docs.screenshots`."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
REPORT = DOCS.parent / "results/published/20261126-091956-7-scenarios-71d7/report.html"
PICTURES = {"report.png": ("", "light", 560), "cell.png": ("#cell-indexing-seed-cpu", "dark", 640)}


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, (anchor, scheme, height) in PICTURES.items():
            page = browser.new_page(
                viewport={"width": 1160, "height": height},
                color_scheme="light" if scheme == "light" else "dark",
            )
            page.goto(REPORT.resolve().as_uri() + anchor)
            page.screenshot(path=DOCS / name)
        browser.close()


if __name__ == "__main__":
    main()
