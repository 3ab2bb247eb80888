"""Whether perturbed runs differ more often than unperturbed ones: Fisher's exact test (1922).

Standard library only; tests/perturb/test_exact_test.py compares the results with SciPy's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

TIE = 1e-9  # relative; probabilities that are equal but for rounding


def p_value(untouched: Sequence[Hashable], perturbed: Sequence[Hashable]) -> float:
    """Two-sided p-value that the two samples of results come from one distribution.

    The runs are counted as those with the most frequent result of both samples together, and
    others: a rule that does not look at which sample a run is from, so the test is exact.
    """
    counts = Counter([*untouched, *perturbed])
    # of equally frequent ones, by a rule that does not look at the sample either
    common = max(counts, key=lambda result: (counts[result], repr(result)))
    return fisher(
        sum(result != common for result in perturbed),
        len(perturbed),
        sum(result != common for result in untouched),
        len(untouched),
    )


def fisher(a: int, of_a: int, b: int, of_b: int) -> float:
    """Two-sided p-value of a of ``of_a`` against b of ``of_b``: all tables at most as likely."""
    together = a + b
    tables = [
        math.comb(of_a, k) * math.comb(of_b, together - k)
        for k in range(max(0, together - of_b), min(of_a, together) + 1)
    ]
    seen = math.comb(of_a, a) * math.comb(of_b, b)
    return sum(table for table in tables if table <= seen * (1 + TIE)) / sum(tables)
