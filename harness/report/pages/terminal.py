"""The summary of a report in a terminal of 80 columns: headlines, the map, and controls."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import IO

from rich.console import Console
from rich.table import Table

from harness.report.console import open_console, safe
from harness.report.content.dependence import DependenceReport
from harness.report.content.document import ReportContent
from harness.report.content.overview import Field, OverviewRow
from harness.report.content.recipe import RecipeReport
from harness.report.format import plural

STYLES = {"same": "green", "alike": "green", "untested": "dim", "refused": "yellow"}
LIGHTS = {"passed": "green", "failed": "bold red", "open": "yellow", "off": "dim"}
WIDEST_NAME = 28  # longer ones are cut in the middle, where scripts' paths differ least


def print_summary(
    content: ReportContent,
    failures: Sequence[str],
    notes: Sequence[str],
    file: IO[str] | None = None,
) -> None:
    """Print to standard output or, in 80 columns, to ``file``."""
    console = open_console(file)
    if content.stamp:
        console.print(content.stamp.upper(), style="bold red")
    if content.overview.rows:
        console.print(_map(content))
        console.print()
    for headline in content.headlines:
        console.print(_styled(headline), style="bold")
    for light in content.lights:
        symbol = f"[{LIGHTS[light.style]}]{light.symbol}[/]"
        console.print(f"{symbol} {safe(light.name)}. {_styled(light.line)}")
    if content.recipe:
        _print_recipe(console, content.recipe)
    if content.dependence:
        _print_dependence(console, content.dependence)
    for note in notes:
        console.print(f"[bold yellow]note[/]: {safe(note)}")
    for failure in failures:
        console.print(f"[bold red]failed[/]: {safe(failure)}")
    if content.warnings:
        count = plural(len(content.warnings), "warning")
        console.print(f"{count}: see the report", style="yellow")


def _print_recipe(console: Console, recipe: RecipeReport) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("switch", "without it", "added to seeds", "within all"):
        table.add_column(name, overflow="fold")
    for name, _, without, added, within in recipe.rows:
        table.add_row(safe(name), safe(without), safe(added), safe(within))
    if recipe.rows:
        console.print(table)
    for sentence in recipe.sentences:
        console.print(_styled(sentence))
    for name, code in recipe.snippets.items():
        console.print(f"\n# {safe(name)}\n{safe(code)}", highlight=False, soft_wrap=True)


def _print_dependence(console: Console, dependence: DependenceReport) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("factor", "result", "evidence", "first at"):
        table.add_column(name, overflow="fold")
    for row in dependence.rows:
        table.add_row(*map(safe, row))
    if dependence.rows:
        console.print(table)
    for sentence in dependence.sentences:
        console.print(_styled(sentence))


def _map(content: ReportContent) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("training", "determinism", "differ", "first at", "cost"):
        table.add_column(name, overflow="fold", no_wrap=name != "determinism")
    for row in content.overview.rows:
        _add_row(table, row, content.overview.columns)
    return table


def _add_row(table: Table, row: OverviewRow, columns: Sequence[str]) -> None:
    name = _shorten(row.label)
    for setting, field in zip(columns, row.fields, strict=True):
        if field is None or field.like:
            continue
        table.add_row(
            safe(name),
            safe(setting),
            f"{field.mark.symbol} {field.differ or field.mark.word.partition(':')[0]}",
            safe(field.first),
            _cost(field),
            style=STYLES.get(field.mark.style, "magenta"),
        )
        name = ""


def _cost(field: Field) -> str:
    return f"[bold]{field.cost}[/]" if field.is_shown else field.cost


def _shorten(name: str) -> str:
    if len(name) <= WIDEST_NAME:
        return name
    half = (WIDEST_NAME - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def _styled(text: str) -> str:
    """Text for the console, in which backquoted words are cyan."""
    return re.sub(r"`([^`]+)`", r"[cyan]\1[/]", safe(text))
