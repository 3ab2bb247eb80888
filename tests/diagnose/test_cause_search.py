"""How often an untreated training differs decides how many runs a fix needs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.core.binomial import divergence_rate_lower
from harness.core.record import RunRecord
from harness.diagnose.cause_search import divergence_rate
from tests.conftest import repeat


@pytest.mark.parametrize(
    ("results", "differing"),
    [("aaaaa", 0), ("baaaa", 1), ("aabaa", 1), ("abcde", 4), ("a", 0), ("", 0)],
)
def test_the_rate_is_that_of_the_most_frequent_result(
    results: str, differing: int, trace: Callable[..., RunRecord]
) -> None:
    """Which run differs does not matter, and fewer than two runs show no difference."""
    runs = [trace(number, repeat(result)) for number, result in enumerate(results, 1)]
    comparisons = max(0, len(results) - 1)
    assert divergence_rate(runs) == divergence_rate_lower(differing, comparisons)


def test_a_process_that_varies_within_itself_differs(trace: Callable[..., RunRecord]) -> None:
    """If the repeats of every process differ, every comparison counts as a difference."""
    runs = [trace(number, repeat("a"), repeat("b")) for number in range(1, 6)]
    assert divergence_rate(runs) == divergence_rate_lower(4, 4)
