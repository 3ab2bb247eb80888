"""The site of the published studies, opened from the file system."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from harness.core.paths import PUBLISHED
from harness.core.sums import write_sums
from harness.site.build import build_site
from tests.browser.conftest import PHONE, Open

pytestmark = pytest.mark.browser

STUDY = "20261126-150447-7-scenarios-66e7"
PAGES = {
    "index": "index.html",
    "study": f"studies/{STUDY}.html",
    "fact": "facts/index_put-float32-cpu-torch2.13.0.html",
    "trend": "trends/indexing-seed-cpu.html",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("public") / "site"
    build_site(PUBLISHED, target)
    return target


@pytest.mark.parametrize("kind", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_accessible(open_page: Open, site: Path, kind: str, scheme: str) -> None:
    """Axe finds nothing serious, in either theme."""
    page = open_page(site / PAGES[kind], color_scheme=scheme)
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("kind", PAGES)
def test_a_phone_needs_no_sideways_scrolling(open_page: Open, site: Path, kind: str) -> None:
    """Only a wide table scrolls, inside of its own box."""
    page = open_page(site / PAGES[kind], viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_an_operation_is_found_by_typing_its_name(open_page: Open, site: Path) -> None:
    """The filter of the operations leaves the rows of one; its page says what it does."""
    page = open_page(site / PAGES["index"])
    page.get_by_label("Filter rows of Operations").fill("index_put 2.13")
    rows = page.locator("#operations tbody tr:visible")
    assert rows.count() == 1
    assert "varies" in rows.first.inner_text()
    assert rows.locator("a").get_attribute("href") == PAGES["fact"]


def test_operations_that_vary_come_first(open_page: Open, site: Path) -> None:
    """A reader sees them without sorting."""
    page = open_page(site / PAGES["index"])
    first = page.locator("#operations tbody tr").first.inner_text()
    assert "varies" in first


def test_evidence_leads_to_the_runs(open_page: Open, site: Path) -> None:
    """The link in a trend names a cell that the report of that study opens."""
    page = open_page(site / PAGES["trend"])
    address = page.locator("tbody a").first.get_attribute("href")
    assert address
    path, _, anchor = address.partition("#")
    report = open_page(site / "trends" / path, f"#{anchor}")
    assert report.locator(f"[id='{anchor}']").is_visible()


def test_without_javascript_all_rows_are_shown(open_page: Open, site: Path) -> None:
    """Sorting and filters are all that the script adds."""
    page = open_page(site / PAGES["index"], java_script_enabled=False)
    assert page.locator("#studies tbody tr:visible").count() > 10
    assert page.locator("input").count() == 0


def test_a_hostile_study_runs_no_script(open_page: Open, site: Path, tmp_path: Path) -> None:
    """Markup in the headline of a published study is shown, not obeyed."""
    published = tmp_path / "published"
    shutil.copytree(PUBLISHED / STUDY, published / "bad")
    report = published / "bad" / "report.md"
    text = "# <img src=x onerror=alert(1)> `</code><script>alert(2)</script>`\n"
    report.write_text(text + report.read_text())
    write_sums(published / "bad")
    build_site(published, tmp_path / "site")
    for name in ("index.html", "studies/bad.html"):
        page = open_page(tmp_path / "site" / name)
        assert "onerror=alert(1)" in page.locator("body").inner_text()
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 1
