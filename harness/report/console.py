"""The console that summaries are printed on, and text from records that is safe to print there."""

from __future__ import annotations

from typing import IO

from rich.console import Console
from rich.markup import escape

from harness.report.format import printable

PIPE_WIDTH = 80  # columns, if the output is a file or a pipe


def open_console(file: IO[str] | None = None) -> Console:
    """The terminal, or ``file``. Text is shown as it is, without emoji for words in colons."""
    console = Console(file=file, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def safe(text: str) -> str:
    """Text that the console takes for neither markup nor control characters."""
    return escape(printable(text))
