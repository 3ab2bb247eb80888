"""Verdicts from made-up records, both ways."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.core.record import COMPONENTS, Components, Outcome, Repeat, RunRecord
from harness.core.verdict import SEEN_WHEN_TIMED, Verdict, find_divergence, judge, snapshots_match
from tests.conftest import repeat

Make = Callable[..., RunRecord]


def test_equal_runs_and_repeats_are_identical(trace: Make) -> None:
    judgement = judge([trace(n, repeat(), repeat()) for n in (1, 2, 3)])
    assert (judgement.verdict, judgement.distinct, judgement.completed) == (Verdict.identical, 1, 3)
    assert judgement.first_divergence is None


def test_one_run_is_no_test(trace: Make) -> None:
    assert judge([trace(1, repeat(), repeat())]).verdict is Verdict.not_tested


def test_no_run_is_no_test() -> None:
    assert judge([]).verdict is Verdict.not_tested


def test_repeats_that_differ_vary_per_call_even_in_one_run(trace: Make) -> None:
    assert judge([trace(1, repeat("a"), repeat("b"))]).verdict is Verdict.per_call


def test_runs_that_differ_with_equal_repeats_vary_per_process(trace: Make) -> None:
    runs = [trace(1, repeat("a"), repeat("a")), trace(2, repeat("b"), repeat("b"))]
    assert judge(runs).verdict is Verdict.per_process


def test_runs_that_differ_with_one_repeat_vary(trace: Make) -> None:
    assert judge([trace(1, repeat("a")), trace(2, repeat("b"))]).verdict is Verdict.varies


def test_a_difference_at_a_step_counts_though_the_ends_agree(trace: Make) -> None:
    runs = [trace(1, repeat(steps="aa")), trace(2, repeat(steps="xa"))]
    judgement = judge(runs)
    assert judgement.verdict is Verdict.varies
    assert judgement.distinct == 1


def test_other_generator_states_or_batches_alone_decide_nothing(trace: Make) -> None:
    other = Components("R", "B", "a", "a", "a", "a", "a")
    assert judge([trace(1, repeat(steps="a")), trace(2, repeat(steps="a"))]).verdict is (
        judge(
            [
                trace(1, repeat(steps="a")),
                trace(2, Repeat(**{**vars(repeat(steps="a")), "steps": [other]})),
            ]
        ).verdict
    )


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome.crashed, Verdict.failed),
        (Outcome.timeout, Verdict.failed),
        (Outcome.lost, Verdict.failed),
        (Outcome.refused, Verdict.refused),
    ],
)
def test_identical_needs_that_every_run_came_to_its_end(
    trace: Make, outcome: Outcome, expected: Verdict
) -> None:
    runs = [trace(1, repeat()), trace(2, repeat()), trace(3, outcome=outcome)]
    assert judge(runs).verdict is expected


def test_a_difference_is_told_before_a_failure(trace: Make) -> None:
    runs = [trace(1, repeat("a")), trace(2, repeat("b")), trace(3, outcome=Outcome.crashed)]
    assert judge(runs).verdict is Verdict.varies


def test_a_nan_run_is_evidence(trace: Make) -> None:
    runs = [trace(n, repeat(), outcome=Outcome.nan) for n in (1, 2)]
    assert judge(runs).verdict is Verdict.identical


def test_a_timing_run_that_ends_otherwise_overrules_equal_traces(trace: Make, timing: Make) -> None:
    judgement = judge([trace(1, repeat()), trace(2, repeat())], [timing(1, 0.1, final="z")])
    assert judgement.verdict is Verdict.varies
    assert judgement.note == SEEN_WHEN_TIMED


def test_equal_timing_runs_change_nothing(trace: Make, timing: Make) -> None:
    judgement = judge([trace(1, repeat()), trace(2, repeat())], [timing(1, 0.1), timing(2, 0.2)])
    assert (judgement.verdict, judgement.note) == (Verdict.identical, "")


def components(**changed: str) -> Components:
    return Components(**{name: changed.get(name, "a") for name in Components.__annotations__})


@pytest.mark.parametrize(
    "name", ["rng", "batch", "buffers", "loss", "grads", "params", "optimizer"]
)
def test_the_first_parting_component_is_named(name: str) -> None:
    one = repeat(steps="aaa")
    rows = [components(), components(), components()]
    later = dict.fromkeys(COMPONENTS[COMPONENTS.index(name) :], "x")
    other = Repeat(**{**vars(one), "steps": [rows[0], components(**later), rows[2]]})
    same = Repeat(**{**vars(one), "steps": rows})
    found = find_divergence(same, other)
    assert found is not None
    assert (found.step, found.component) == (2, name)


def test_a_shorter_training_parts_where_it_ends() -> None:
    found = find_divergence(repeat(steps="aaa"), repeat(steps="aa"))
    assert found is not None
    assert (found.step, found.component) == (3, "end")


def test_another_initial_state_parts_before_the_first_step() -> None:
    found = find_divergence(repeat(), repeat(initial="elsewhere"))
    assert found is not None
    assert (found.step, found.component) == (0, "start")


def test_the_earliest_of_many_partings_is_told(trace: Make) -> None:
    runs = [
        trace(1, repeat(steps="aaa")),
        trace(2, repeat(steps="aax")),
        trace(3, repeat(steps="axx")),
    ]
    found = judge(runs).first_divergence
    assert found is not None
    assert found.step == 2


def test_snapshots_are_compared_with_the_reference_s_first_training(trace: Make) -> None:
    assert snapshots_match(trace(1, repeat("a")), trace(2, repeat("a"), repeat("a")))
    assert not snapshots_match(trace(1, repeat("a")), trace(2, repeat("a"), repeat("b")))
