"""The data dictionary describes every column of every table, and is the published page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness.report.tables.columns import dictionary, read_columns
from tests.conftest import ROOT, command

DICTIONARY = read_columns()
PUBLISHED = {"noise": "d7a0", "claims": "f466", "audit": "467f"}  # tables that few studies have


def test_every_column_of_a_study_is_described(study: Path) -> None:
    """The tables of a study have the columns of the dictionary, in its order."""
    for name in ("cells", "runs", "controls"):
        columns = list(pd.read_csv(study / "tables" / f"{name}.csv").columns)
        assert columns == list(DICTIONARY[name])


@pytest.mark.slow
@pytest.mark.parametrize(("table", "name"), PUBLISHED.items())
def test_every_column_of_a_special_table_is_described(
    table: str, name: str, tmp_path: Path
) -> None:
    """So have the tables of published studies, made again from their records."""
    (published,) = (ROOT / "results" / "published").glob(f"*-{name}")
    copy = tmp_path / published.name
    copy.mkdir()
    for part in ("manifest.json", "schedule.json", "runs.tar.xz"):
        (copy / part).write_bytes((published / part).read_bytes())
    assert command("report", str(copy), cwd=tmp_path).returncode in (0, 1)
    columns = list(pd.read_csv(copy / "tables" / f"{table}.csv").columns)
    assert columns == list(DICTIONARY[table])


def test_the_published_page_is_made_from_the_dictionary() -> None:
    """docs/tables.md is what `python -m harness.report.tables.columns` prints."""
    assert (ROOT / "docs" / "tables.md").read_text() == dictionary()
