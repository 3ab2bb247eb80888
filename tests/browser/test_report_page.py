"""A report in a real browser: sorted, filtered, linked to, printed, on a phone and in the dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import DESKTOP, PHONE, PUBLISHED, Open

pytestmark = pytest.mark.browser

MATRIX = PUBLISHED / "20261126-091956-7-scenarios-71d7/report.html"
KINDS = {
    "matrix": MATRIX,
    "claims": PUBLISHED / "20261126-075720-20-scenarios-9426/report.html",
    "audit": PUBLISHED / "20261126-030725-2-scenarios-bb45/report.html",
    "noise": PUBLISHED / "20261126-082215-4-scenarios-4df2/report.html",
    "diagnosis": PUBLISHED / "20261126-082106-script-0f19/report.html",
    "first calls": PUBLISHED / "20261126-034649-first_op-6edf/report.html",
}


def column(page: Page, name: str) -> list[str]:
    """The texts of a column of the results table, of visible rows from the top."""
    table = page.locator("#matrix table.data").first
    names = [text.strip() for text in table.locator("thead th").all_inner_texts()]
    index = names.index(name) + 1
    return table.locator(f"tbody tr:visible td:nth-child({index})").all_inner_texts()


def test_a_click_on_a_heading_sorts_by_its_column(open_page: Open) -> None:
    """Numbers sort as numbers, the second click reverses them, and dashes come last."""
    page = open_page(MATRIX)
    page.locator("#matrix table.data th", has_text="peak memory").locator("button").click()
    page.locator("#matrix table.data th", has_text="steps").locator("button").click()
    steps = [int(text) for text in column(page, "steps")]
    assert steps == sorted(steps)
    page.locator("#matrix table.data th", has_text="steps").locator("button").click()
    assert [int(text) for text in column(page, "steps")] == steps[::-1]


def test_a_filter_keeps_the_rows_with_all_words(open_page: Open) -> None:
    """Typing two words leaves the rows that have both."""
    page = open_page(MATRIX)
    before = len(column(page, "scenario"))
    page.get_by_label("Filter rows of Results").fill("identical loader")
    assert set(column(page, "scenario")) == {"loader"}
    page.get_by_label("Filter rows of Results").fill("")
    assert len(column(page, "scenario")) == before


@pytest.mark.parametrize("javascript", [True, False])
def test_a_click_on_the_map_opens_the_runs_of_a_cell(open_page: Open, javascript: bool) -> None:
    """The panel of the cell opens and shows its groups of equal runs, without JavaScript too."""
    page = open_page(MATRIX, java_script_enabled=javascript)
    panel = page.locator("#cell-indexing-full-cpu")
    assert not panel.is_visible()
    page.locator("a[href='#cell-indexing-full-cpu']").first.click()
    panel.get_by_text("runs with the same bits").wait_for(state="visible")
    assert "30" in panel.locator("table.groups tbody tr").first.inner_text()


@pytest.mark.parametrize("javascript", [True, False])
def test_a_link_to_a_cell_opens_it(open_page: Open, javascript: bool) -> None:
    """The address of a cell opens its panel, without JavaScript too."""
    page = open_page(MATRIX, "#cell-mlp-full-cpu", java_script_enabled=javascript)
    page.locator("#cell-mlp-full-cpu").wait_for(state="visible")


def test_a_link_to_an_operation_leads_to_its_row(open_page: Open) -> None:
    """An operation of the audit has an address of its own."""
    page = open_page(KINDS["audit"], "#op-scatter_add-float32-cpu")
    row = page.locator("#op-scatter_add-float32-cpu")
    row.wait_for(state="visible")
    box = row.bounding_box()
    assert box is not None
    assert 0 <= box["y"] < DESKTOP["height"]


def test_the_answer_is_on_the_first_screen(open_page: Open) -> None:
    """Headline, both controls and the whole map of seven trainings are seen without scrolling."""
    page = open_page(MATRIX)
    for selector in ("h1", ".light >> nth=0", ".light >> nth=1", ".map tbody tr >> nth=6"):
        box = page.locator(selector).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= DESKTOP["height"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_phone_shows_the_page_without_scrolling_sideways(open_page: Open, kind: str) -> None:
    """Only tables scroll sideways, in their own boxes."""
    page = open_page(KINDS[kind], viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_accessible(open_page: Open, kind: str, scheme: str) -> None:
    """axe finds nothing serious in either theme."""
    page = open_page(KINDS[kind], color_scheme=scheme)
    found = Axe().run(page).response["violations"]
    serious = [
        (violation["id"], violation["nodes"][0]["html"][:200], violation["nodes"][0]["any"][:1])
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_dark_pages_are_dark(open_page: Open) -> None:
    """The background and the figures follow the reader's theme."""
    page = open_page(MATRIX, color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"
    paper = page.locator("figure svg [id$='patch_1'] path").first
    assert paper.evaluate("element => getComputedStyle(element).fill") == "rgb(22, 24, 28)"


def test_print_has_every_panel_open(open_page: Open) -> None:
    """Before the page is printed, the evidence of every cell opens."""
    page = open_page(MATRIX)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details.cell:not([open])").count() == 0
    assert page.pdf().startswith(b"%PDF")


def test_tables_download_from_the_page_itself(open_page: Open, tmp_path: Path) -> None:
    """The link to cells.csv gives the bytes of the published table."""
    page = open_page(MATRIX)
    with page.expect_download() as event:
        page.locator("a[download='cells.csv']").click()
    event.value.save_as(tmp_path / "cells.csv")
    assert (tmp_path / "cells.csv").read_bytes() == (
        MATRIX.parent / "tables/cells.csv"
    ).read_bytes()
