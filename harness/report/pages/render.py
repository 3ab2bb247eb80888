"""The report as Markdown and as one self-contained HTML file."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.core.files import write_text
from harness.report.content import legend
from harness.report.content.document import ReportContent
from harness.report.figures.base import Figure
from harness.report.format import printable
from harness.report.pages.downloads import download_links
from harness.report.pages.environment import make_environment


def write_pages(folder: Path, content: ReportContent, figures: list[Figure]) -> None:
    environment = make_environment()
    downloads = download_links(folder / "tables")
    command = printable(content.command).replace("```", "` ` `")  # cannot end its block of code
    for name, safe in (("report.md", _for_markdown), ("report.html", printable)):
        text = environment.get_template(f"{name}.j2").render(
            content=_map_text(content, safe),
            command=command,
            legend=legend,
            figures=figures,
            downloads=downloads,
        )
        write_text(folder / name, text)


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
