"""The report as Markdown and as one self-contained HTML file."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from harness.report.content import MATRIX_COLUMNS, NOISE_COLUMNS, ReportContent
from harness.report.plot_base import Figure

TEMPLATES = Path(__file__).parent / "templates"


def write_pages(folder: Path, story: ReportContent, figures: list[Figure]) -> None:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html.j2"], default_for_string=False, default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|")
    words = {
        "story": story,
        "columns": MATRIX_COLUMNS,
        "noise_columns": NOISE_COLUMNS,
        "figures": figures,
    }
    for name in ("report.md", "report.html"):
        text = environment.get_template(f"{name}.j2").render(**words)
        (folder / name).write_text(text, encoding="utf-8")


def _code(text: str) -> Markup:
    """Backquoted words as <code>, everything else escaped."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704
