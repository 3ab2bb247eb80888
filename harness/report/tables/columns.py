"""The data dictionary: ``python -m harness.report.tables.columns`` prints docs/tables.md."""

from __future__ import annotations

import tomllib
from pathlib import Path

COLUMNS = Path(__file__).parent / "columns.toml"
INTRODUCTION = """# The tables of a study

The CSV files in a study's `tables/`. [Reading a report](reading-a-report.md) explains the verdicts.
The columns of `audit_lengths.csv` are an operation, a device, a dtype, and a verdict for each
number of elements.
"""


def read_columns() -> dict[str, dict[str, tuple[str, str]]]:
    """Return meaning and emptiness of each column, by table."""
    document = tomllib.loads(COLUMNS.read_text(encoding="utf-8"))
    return {
        table: {name: (meaning, empty) for name, (meaning, empty) in columns.items()}
        for table, columns in document.items()
    }


def dictionary() -> str:
    """Return the page in Markdown."""
    parts = [INTRODUCTION]
    for table, columns in read_columns().items():
        rows = [
            f"| `{name}` | {meaning.replace('|', chr(92) + '|')} | {empty or 'never'} |"
            for name, (meaning, empty) in columns.items()
        ]
        parts.append(
            "\n".join([f"## {table}.csv\n", "| column | meaning | empty |", "|---|---|---|", *rows])
            + "\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    print(dictionary(), end="")
