"""The report's first page in a terminal: the cell table and a sentence per scenario."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.report.content import MATRIX_COLUMNS, ReportContent

STYLES = {"identical": "green", "not tested": "dim", "refused": "yellow", "failed": "red"}
PIPE_WIDTH = 140  # of a file or a pipe
HIDDEN = {"accuracy sd", "churn"}  # a terminal is narrow; the pages show them


def print_summary(story: ReportContent) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    table = Table(box=None, header_style="bold", pad_edge=False)
    columns = [index for index, name in enumerate(MATRIX_COLUMNS) if name not in HIDDEN]
    for index in columns:
        table.add_column(MATRIX_COLUMNS[index], overflow="fold")
    for row in story.matrix:
        style = STYLES.get(row.verdict, "magenta")
        table.add_row(*(row.values[index] for index in columns), style=style)
    if story.stamp:
        console.print(story.stamp.upper(), style="bold red")
    console.print(table)
    console.print()
    for scenario, sentence in story.sentences:
        console.print(f"[bold]{escape(scenario)}[/]: {escape(sentence)}")
    control, sentence = story.positive
    console.print(f"[bold]positive control[/]: {control}. {escape(sentence)}")
    for twin in story.twins:
        console.print(f"[bold]A/A twin[/] of {twin[0]}: {twin[2]} ({twin[3]}), {twin[-1]}")
    if story.warnings:
        plural = "s" * (len(story.warnings) > 1)
        console.print(f"{len(story.warnings)} warning{plural}: see the report", style="yellow")
