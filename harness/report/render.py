"""The report as Markdown and as one self-contained HTML file."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from harness.report import legend
from harness.report.content import ReportContent
from harness.report.plot_base import Figure

TEMPLATES = Path(__file__).parent / "templates"


def write_pages(folder: Path, content: ReportContent, figures: list[Figure]) -> None:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html.j2"], default_for_string=False, default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|")
    for name in ("report.md", "report.html"):
        template = environment.get_template(f"{name}.j2")
        text = template.render(content=content, legend=legend, figures=figures)
        (folder / name).write_text(text, encoding="utf-8")


def _code(text: str) -> Markup:
    """Escape text, except that backquoted words become ``<code>`` elements."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704
