"""What all pages share: where templates are, how text is escaped, filters."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

TEMPLATES = Path(__file__).parent / "templates"


def make_environment(*folders: Path) -> Environment:
    """Return the environment for templates in these folders and in that of the report's.

    Only what goes into HTML is escaped by itself.
    """
    environment = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=select_autoescape(["html.j2"], default_for_string=False, default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    environment.filters["breakable"] = _breakable
    environment.filters["indented"] = lambda text: indent(str(text), "    ")
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|")
    return environment


def _breakable(text: str) -> Markup:
    """Escape text that may be broken after an underscore or an equals sign."""
    return Markup(re.sub("([_=])", r"\1<wbr>", str(escape(text))))  # noqa: S704


def _code(text: str) -> Markup:
    """Escape text, except that backquoted words become ``<code>`` elements."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704
