"""The report as Markdown and as one self-contained HTML file."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from harness.core.files import write_text
from harness.report.content import legend
from harness.report.content.document import ReportContent
from harness.report.figures.base import Figure
from harness.report.format import printable
from harness.report.pages.downloads import download_links
from harness.report.pages.environment import make_environment

PAGES = {"md": "report.md", "html": "report.html"}  # by format


def write_pages(
    folder: Path, content: ReportContent, figures: list[Figure], formats: Collection[str]
) -> None:
    """Write the pages of these formats."""
    downloads = download_links(folder / "tables")
    for page in PAGES.keys() & formats:
        values = {"legend": legend, "figures": figures, "downloads": downloads}
        write_text(folder / PAGES[page], _render(f"report.{page}.j2", content, **values))


def first_screen(content: ReportContent) -> str:
    """The first screen in Markdown, without links into the report."""
    return _render("first_screen.md.j2", content)


def _render(template: str, content: ReportContent, **values: Any) -> str:
    safe = printable if template.endswith("html.j2") else _for_markdown
    command = printable(content.command).replace("```", "` ` `")  # cannot end its block of code
    code = _map_text(content.recipe.snippets if content.recipe else {}, printable)
    return (
        make_environment()
        .get_template(template)
        .render(content=_map_text(content, safe), command=command, code=code, **values)
    )


def _map_text(value: Any, function: Callable[[str], str]) -> Any:
    """Apply a function to all text in nested data classes, lists, tuples and dictionaries."""
    if type(value) is str:
        return function(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_map_text(item, function) for item in value)
    if isinstance(value, dict):
        return {_map_text(k, function): _map_text(v, function) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        changes = {name: _map_text(getattr(value, name), function) for name in names}
        return dataclasses.replace(value, **changes)
    return value


def _for_markdown(text: str) -> str:
    """Text on one line and without markup of its own; GitHub would obey some of it."""
    parts = re.split("(`[^`]*`)", printable(text).replace("\n", " "))
    return "".join(part if part.startswith("`") else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    text = re.sub(r"(?<!\w)@", "&#64;", text.replace("<", "&lt;"))  # or it would call somebody
    return re.sub(r"[\[\]]", r"\\\g<0>", text)
