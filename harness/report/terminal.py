"""The summary of a report in a terminal: results, a sentence per scenario, and controls."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.analysis.controls import Control
from harness.report.content import ReportContent
from harness.report.format import plural
from harness.report.matrix_rows import MATRIX_COLUMNS

STYLES = {"identical": "green", "not tested": "dim", "refused": "yellow", "failed": "red"}
PIPE_WIDTH = 140  # columns, if the output is a file or a pipe
# Shown in the report only, because a terminal is narrow; so are details in brackets.
HIDDEN = {"steps", "final loss", "accuracy", "churn"}


def print_summary(content: ReportContent, failures: Sequence[str], notes: Sequence[str]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    table = Table(box=None, header_style="bold", pad_edge=False)
    columns = [index for index, name in enumerate(MATRIX_COLUMNS) if name not in HIDDEN]
    for index in columns:
        heading = MATRIX_COLUMNS[index].replace(" ", "\n")  # two lines leave more room for values
        table.add_column(heading, overflow="fold")
    for row in content.matrix:
        style = STYLES.get(row.verdict, "magenta")
        values = dict(zip(MATRIX_COLUMNS, row.values, strict=True))
        values["step time"] = values["step time"].partition(" (")[0]
        table.add_row(*(values[MATRIX_COLUMNS[index]] for index in columns), style=style)
    if content.stamp:
        console.print(content.stamp.upper(), style="bold red")
    if content.matrix:
        console.print(table)
        console.print()
    for scenario, sentence in content.sentences:
        console.print(f"[bold]{escape(scenario)}[/]: {escape(sentence)}")
    control, sentence = content.positive
    if control != Control.off:
        console.print(f"[bold]positive control[/]: {control}. {escape(sentence)}")
    for twin in content.twins:
        console.print(f"[bold]A/A twin[/] of {twin[0]}: {twin[2]} ({twin[3]}), {twin[-1]}")
    for note in notes:
        console.print(f"[bold yellow]note[/]: {escape(note)}")
    for failure in failures:
        console.print(f"[bold red]failed[/]: {escape(failure)}")
    if content.warnings:
        count = plural(len(content.warnings), "warning")
        console.print(f"{count}: see the report", style="yellow")
