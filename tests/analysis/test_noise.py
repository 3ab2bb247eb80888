"""The table of noise sources, and the interval of a standard deviation, on known truths."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from harness.analysis.cell_table import cell_table
from harness.analysis.noise import noise_table, sd_interval
from harness.analysis.study_data import CellData, StudyData
from harness.core.record import RunRecord
from harness.core.spec import Cell, Noise
from tests.conftest import repeat


def test_the_interval_of_a_standard_deviation_has_its_coverage() -> None:
    """The 95 % interval of a standard deviation misses the true value in 5 % of samples."""
    values = np.random.default_rng(0).normal(0, 3.0, (4000, 12))
    intervals = [sd_interval(float(sd), 12) for sd in values.std(axis=1, ddof=1)]
    missed = np.mean([not low <= 3.0 <= high for low, high in intervals])
    assert 0.04 < missed < 0.06


@pytest.mark.parametrize(("sd", "runs"), [(0.5, 1), (math.nan, 12)])
def test_an_unknown_spread_has_no_interval(sd: float, runs: int) -> None:
    """Neither one run nor an unknown standard deviation gives an interval."""
    assert all(map(math.isnan, sd_interval(sd, runs)))


def test_each_requested_source_has_a_row(
    make_cell: Callable[..., Cell], trace: Callable[..., RunRecord]
) -> None:
    """The table has a row for each requested source, and none for cells without noise."""
    runs = [trace(1, repeat()), trace(2, dataclasses.replace(repeat("b"), accuracy=0.7))]
    cells = [
        CellData(noise, make_cell(noise=noise), "asked", None, None, traces=runs)
        for noise in (Noise.none, Noise.implementation, Noise.both)
    ]
    study = StudyData("s", {}, cells, [], 0)
    table = noise_table(cell_table(study))
    assert list(table["noise"]) == ["implementation", "both"]
    assert table["accuracy_sd"].to_numpy() == pytest.approx(0.2 / 2**0.5)
    without_noise = StudyData("s", {}, cells[:1], [], 0)
    assert noise_table(cell_table(without_noise)).empty
