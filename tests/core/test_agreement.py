"""How often processes differ is counted against the most frequent result."""

from __future__ import annotations

import pytest

from harness.core.agreement import Agreement


@pytest.mark.parametrize(
    ("results", "text", "words", "is_rare"),
    [
        ("aaaaa", "0 of 5", "none of 5 processes differs", False),
        ("baaaa", "1 of 5", "1 of 5 processes differs from the most frequent result", False),
        ("aabbc", "3 of 5", "3 of 5 processes differ from the most frequent result", False),
        ("abcde", "all 5", "all 5 processes differ", False),
        ("b" + 11 * "a", "1 of 12", "1 of 12 processes differs from the most frequent", True),
        ("b" + 9 * "a", "1 of 10", "1 of 10 processes differs from the most frequent", False),
    ],
)
def test_processes_are_compared_with_the_most_frequent_result(
    results: str, text: str, words: str, is_rare: bool
) -> None:
    """Which process differs does not matter; under a tenth of them is rare."""
    for order in (results, results[::-1]):
        agreement = Agreement.of(order)
        assert str(agreement) == text
        assert agreement.describe().startswith(words)
        assert agreement.is_rare is is_rare
