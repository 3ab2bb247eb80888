"""What a published study says of itself."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from harness.core.published import PublishedStudy, read_published_studies
from tests.conftest import ROOT

PUBLISHED = ROOT / "results" / "published"


@pytest.mark.parametrize(
    ("name", "of_all"),
    [("20261128-034756-mlp-perturb-h100", ""), ("20261126-012850-6-scenarios-h100", " of 96")],
)
def test_every_recorded_run_is_counted(name: str, of_all: str, tmp_path: Path) -> None:
    """Also those that a search added and no schedule names; missing ones are named beside them."""
    (tmp_path / name).symlink_to(PUBLISHED / name)
    (study,) = read_published_studies(tmp_path)
    assert isinstance(study, PublishedStudy)
    with (PUBLISHED / name / "tables" / "runs.csv").open() as file:
        recorded = sum(1 for _ in csv.DictReader(file))
    assert study.runs == f"{recorded}{of_all}"
