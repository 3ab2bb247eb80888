"""The published error rates of cost labels are those of the labels' code."""

from __future__ import annotations

import pytest

from tests.analysis.label_simulation import BLOCKS, NOISES, measure, rates_table
from tests.conftest import ROOT

TYPICAL = 8  # timing blocks of a study


@pytest.mark.parametrize(
    "blocks", [pytest.param(n, marks=[pytest.mark.slow] * (n != TYPICAL)) for n in BLOCKS]
)
@pytest.mark.parametrize("noise", NOISES)
def test_a_study_of_equal_cells_seldom_labels_any_of_them(noise: str, blocks: int) -> None:
    """At most 5 % of studies of 49 equal cells, with a margin for 400 studies, have a label."""
    assert measure(noise, blocks).false_study <= 0.08


def test_the_documentation_shows_these_rates() -> None:
    """The table in docs/reliability.md is the one that the simulation gives."""
    assert "\n".join(rates_table()) in (ROOT / "docs" / "reliability.md").read_text()
