"""A report of a study from elsewhere: its names are shown, and nothing in them is executed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.report.write import write_report
from tests.browser.conftest import Open

pytestmark = pytest.mark.browser

NAMES = {
    "element": "<script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "attribute": '" onmouseover="alert(1)" x="',
    "apostrophe": "' onfocus='alert(1)' autofocus '",
    "end of style": "</style><script>alert(1)</script>",
    "comment": "<!--<script>alert(1)//-->",
    "template": "{{ 7 * 7 }}{% raw %}",
    "address": "javascript:alert(1)",
    "entity": "&lt;script&gt;alert(1)&lt;/script&gt;",
    "backquotes": "`<b onclick=alert(1)>`",
    "svg": "</svg><svg onload=alert(1)>",
    "control": "a\x00b\x1b[2J\x07c\u202egnp.exe",
}


@pytest.mark.parametrize("kind", NAMES)
def test_nothing_in_a_name_is_executed(
    study: Path, tmp_path: Path, open_page: Open, kind: str
) -> None:
    """A scenario, a setting, a processor and a command with markup are shown as text."""
    name, copy = NAMES[kind], tmp_path / "study"
    shutil.copytree(study, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["words"] = [name]
    manifest["machine"]["cpu"] = name
    for cell in manifest["cells"]:
        cell["cell"]["scenario"]["label"] += name
        cell["cell"]["setting"] += name
    (copy / "manifest.json").write_text(json.dumps(manifest))
    write_report(copy)
    page = open_page(copy / "report.html")
    shown = page.locator("table.map tbody th").first.inner_text()
    safe = "a�b�[2J�c�gnp.exe" if kind == "control" else name
    assert safe in shown
    for handler in ("onerror", "onload", "onclick", "onmouseover", "onfocus"):
        assert page.locator(f"[{handler}]").count() == 0
    assert page.locator("script").count() == 1
    page.mouse.move(200, 300)
    page.keyboard.press("Tab")
