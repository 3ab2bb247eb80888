"""The sentence about a scenario says what its rows say."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from harness.report.content.summary import sentences


def row(setting: str, cost: str = "", *interval: float, **changes: Any) -> dict[str, Any]:
    ratio, low, high = interval or (None, None, None)
    return {
        "scenario": "cnn",
        "determinism": setting,
        "twin": False,
        "verdict": "identical",
        "verdict_wording": "identical",
        "trace_runs": 30,
        "divergence_rate_upper": 0.098,
        "is_baseline": False,
        "cost": cost,
        "cost_ratio": ratio,
        "cost_low": low,
        "cost_high": high,
        **changes,
    }


def sentence(*rows: dict[str, Any]) -> str:
    ((_, text),) = sentences(pd.DataFrame(list(rows)))
    return text


VARYING = row("seed", verdict="varies", divergence_rate_upper=None, is_baseline=True)


def test_every_cost_stands_after_its_label_in_the_table() -> None:
    """What the table calls slower is slower in the sentence, even if the baseline varies."""
    text = sentence(
        VARYING,
        row("cudnn", "cannot tell (± 14 %)", 0.990, 0.858, 1.142),
        row("full", "slower", 1.373, 1.108, 1.702),
        row("warn", "within ±5 %", 1.01, 0.99, 1.03),
    )
    assert "slower than the baseline: `full` (1.373 ×, 1.108–1.702)" in text
    assert "no difference in cost shown: `cudnn` (0.990 ×, 0.858–1.142)" in text
    assert "cost within ±5 % of the baseline's: `warn` (1.010 ×, 0.990–1.030)" in text
    assert text.endswith("`seed`: varies.")


def test_a_baseline_has_no_cost_of_its_own() -> None:
    """It is named among the settings without a difference, and not among the costs."""
    text = sentence(row("seed", is_baseline=True), row("full", "faster", 0.7, 0.6, 0.8))
    assert "under `seed` and `full`" in text
    assert text.endswith("faster than the baseline: `full` (0.700 ×, 0.600–0.800).")


def test_a_hopelessly_wide_interval_is_no_measurement() -> None:
    """With ± 60 %, the sentence does not suggest that the costs might be equal."""
    text = sentence(row("full", "cannot tell (± 60 %)", 1.1, 0.5, 1.7))
    assert "cost not measurable: `full`" in text


@pytest.mark.parametrize("verdict", ["varies", "refused", "failed"])
def test_costs_of_settings_that_vary_are_not_quoted(verdict: str) -> None:
    """Only the cost of a setting that works is worth knowing."""
    text = sentence(row("full", "slower", 1.4, 1.3, 1.5, verdict=verdict))
    assert "1.4" not in text
