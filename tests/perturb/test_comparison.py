"""A factor is named if runs with it differ more often than those without, and only then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from harness.core.record import Outcome, RunRecord
from harness.perturb.comparison import Comparison, Finding
from tests.conftest import repeat

LEVEL = 0.001
Trace = Callable[..., RunRecord]


def compare(trace: Trace, untouched: Sequence[str], perturbed: Sequence[str]) -> Comparison:
    """Runs by their final digests."""
    runs = [
        [trace(number, repeat(final)) for number, final in enumerate(finals, 1)]
        for finals in (untouched, perturbed)
    ]
    return Comparison(*runs, level=LEVEL)


@pytest.mark.parametrize(
    ("untouched", "perturbed", "finding"),
    [
        ("a" * 10, "a" * 5, Finding.independent),
        ("a" * 10, "b" * 5, Finding.depends),
        ("a" * 10, "aaaab", Finding.undecided),
        ("a" * 9 + "b", "a" * 4 + "b", Finding.undecided),
        ("abcdefghij", "klmno", Finding.inconclusive),
        ("abcdefghij", "kkkkk", Finding.depends),
        ("a" * 30, "a" * 15 + "b" * 15, Finding.depends),
    ],
)
def test_the_finding_follows_from_the_results(
    trace: Trace, untouched: str, perturbed: str, finding: Finding
) -> None:
    """The training's own rate is measured first, and a factor counts only above it."""
    assert compare(trace, untouched, perturbed).finding is finding


def test_more_runs_of_a_training_that_varies_are_not_needed_if_nothing_stands_out(
    trace: Trace,
) -> None:
    """At a later look; the first one is of too few runs."""
    first = compare(trace, "a" * 9 + "b", "a" * 9 + "b")
    assert first.finding is Finding.undecided
    assert replace(first, is_first_look=False).finding is Finding.independent


@pytest.mark.parametrize("outcome", [Outcome.timeout, Outcome.lost, Outcome.observer_failed])
def test_a_run_that_was_ended_from_outside_is_no_result(trace: Trace, outcome: Outcome) -> None:
    """A factor that only slows a training down is not named."""
    untouched = [trace(number, repeat("a")) for number in range(1, 11)]
    stopped = [trace(number, outcome=outcome) for number in range(1, 6)]
    assert Comparison(untouched, stopped, LEVEL).finding is Finding.inconclusive


def test_a_failure_is_a_result(trace: Trace) -> None:
    """A training that fails under a factor depends on it."""
    failed = trace(1, outcome=Outcome.crashed)
    untouched = [trace(number, repeat("a")) for number in range(1, 11)]
    comparison = Comparison(untouched, [failed] * 5, LEVEL)
    assert comparison.finding is Finding.depends
    assert comparison.first_steps() == {}


def test_the_first_step_of_each_component_is_found(trace: Trace) -> None:
    """Of a perturbed run that differs, beside an unperturbed one with the usual result."""
    untouched = [trace(number, repeat("a", steps=("a", "a", "a"))) for number in (1, 2, 3)]
    perturbed = [trace(1, repeat("b", steps=("a", "b", "b")))]
    steps = Comparison(untouched, perturbed, LEVEL).first_steps()
    assert steps["params"] == 2
    assert steps["end"] == 3
    assert "start" not in steps
