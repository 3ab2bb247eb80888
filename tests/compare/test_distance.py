"""How far apart two trainings end, as far as their records tell."""

from __future__ import annotations

import pytest

from harness.compare.distance import describe_distance
from tests.conftest import repeat


@pytest.mark.parametrize(
    ("losses", "predictions", "text"),
    [
        (2.0, [1, 2, 3, 4], "final losses 1 and 2, 1.0e+00 apart; 0 % of predictions differ"),
        (1.0, [1, 2, 4, 3], "equal final losses (1); 50 % of predictions differ"),
        (1.0, [0.1, 0.2, 0.3, 0.4], "equal final losses (1)"),  # no classes
        (float("nan"), [], "final losses 1 and –, not comparable"),
    ],
)
def test_losses_and_classes_tell_a_distance(
    losses: float, predictions: list[float], text: str
) -> None:
    """The other training has a final loss of 1 and predicts the classes 1, 2, 3 and 4."""
    other = repeat(losses=[losses], predictions=predictions)
    assert describe_distance(repeat(), other) == text
