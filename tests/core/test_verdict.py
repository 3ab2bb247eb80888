"""Verdicts on synthetic records that agree, differ or failed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.core.record import Outcome, Repeat, RunRecord
from harness.core.steps import COMPONENTS, Components, Steps
from harness.core.verdict import SEEN_WHEN_TIMED, Verdict, find_divergence, judge, snapshots_match
from tests.conftest import repeat

Make = Callable[..., RunRecord]


def test_equal_runs_and_repeats_are_identical(trace: Make) -> None:
    """Runs whose repeats all agree are identical and have no divergence."""
    judgement = judge([trace(n, repeat(), repeat()) for n in (1, 2, 3)])
    assert (judgement.verdict, judgement.distinct, judgement.completed) == (Verdict.identical, 1, 3)
    assert judgement.first_divergence is None


def test_one_run_is_not_tested(trace: Make) -> None:
    """A single run shows nothing about other runs, even if its repeats agree."""
    assert judge([trace(1, repeat(), repeat())]).verdict is Verdict.not_tested


def test_no_runs_are_not_tested() -> None:
    """A cell without any run has the verdict `not tested`."""
    assert judge([]).verdict is Verdict.not_tested


def test_differing_repeats_vary_per_call(trace: Make) -> None:
    """Repeats that differ within one process vary per call, even in a single run."""
    assert judge([trace(1, repeat("a"), repeat("b"))]).verdict is Verdict.per_call


def test_equal_repeats_in_differing_runs_vary_per_process(trace: Make) -> None:
    """Runs vary per process if their repeats agree but the processes differ."""
    runs = [trace(1, repeat("a"), repeat("a")), trace(2, repeat("b"), repeat("b"))]
    assert judge(runs).verdict is Verdict.per_process


def test_runs_that_train_once_agree_with_runs_whose_repeats_agree(trace: Make) -> None:
    """A process whose two trainings are equal has the same result as one that trains once."""
    runs = [trace(1, repeat("a"), repeat("a")), trace(2, repeat("a"), repeat("a"))]
    judgement = judge([*runs, trace(3, repeat("a")), trace(4, repeat("b"))])
    assert (judgement.agreement.differing, judgement.agreement.processes) == (1, 4)
    assert judgement.verdict is Verdict.varies  # those with repeats do not differ
    both = judge([*runs, trace(3, repeat("b"), repeat("b")), trace(4, repeat("a"))])
    assert both.verdict is Verdict.per_process


def test_processes_are_compared_by_as_many_trainings(trace: Make) -> None:
    """If each second training differs from the first, processes that train once differ in none."""
    runs = [trace(number, repeat("a"), repeat("b")) for number in (1, 2)]
    judgement = judge([*runs, *(trace(number, repeat("a")) for number in range(3, 31))])
    assert judgement.agreement.differing == 0
    assert judgement.verdict is Verdict.per_call


def test_differing_runs_without_repeats_vary(trace: Make) -> None:
    """Without repeats, it stays open whether differing runs vary per call or per process."""
    assert judge([trace(1, repeat("a")), trace(2, repeat("b"))]).verdict is Verdict.varies


def test_a_difference_at_a_step_counts(trace: Make) -> None:
    """Runs that differ at a step vary even if their final states agree."""
    runs = [trace(1, repeat(steps="aa")), trace(2, repeat(steps="xa"))]
    judgement = judge(runs)
    assert judgement.verdict is Verdict.varies
    assert judgement.distinct == 1


def test_generator_states_and_batches_do_not_affect_the_verdict(trace: Make) -> None:
    """Runs that differ only in generator state or batches have the verdict of equal runs."""
    other = Components("R", "B", "a", "a", "a", "a", "a")
    assert judge([trace(1, repeat(steps="a")), trace(2, repeat(steps="a"))]).verdict is (
        judge(
            [
                trace(1, repeat(steps="a")),
                trace(2, Repeat(**{**vars(repeat(steps="a")), "steps": Steps.of([other])})),
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
def test_identical_requires_that_every_run_completed(
    trace: Make, outcome: Outcome, expected: Verdict
) -> None:
    """Equal runs are not identical if another run failed or was refused."""
    runs = [trace(1, repeat()), trace(2, repeat()), trace(3, outcome=outcome)]
    assert judge(runs).verdict is expected


def test_a_difference_outranks_a_failure(trace: Make) -> None:
    """Differing runs vary, even if another run crashed."""
    runs = [trace(1, repeat("a")), trace(2, repeat("b")), trace(3, outcome=Outcome.crashed)]
    assert judge(runs).verdict is Verdict.varies


def test_nan_runs_count(trace: Make) -> None:
    """Equal runs that ended with a NaN loss are identical."""
    runs = [trace(n, repeat(), outcome=Outcome.nan) for n in (1, 2)]
    assert judge(runs).verdict is Verdict.identical


def test_a_differing_timing_run_overrules_equal_traces(trace: Make, timing: Make) -> None:
    """A cell varies if a timing run ended with other bits than its equal trace runs."""
    judgement = judge([trace(1, repeat()), trace(2, repeat())], [timing(1, 0.1, final="z")])
    assert judgement.verdict is Verdict.varies
    assert judgement.note == SEEN_WHEN_TIMED


def test_equal_timing_runs_change_nothing(trace: Make, timing: Make) -> None:
    """Timing runs that end with the same bits keep the verdict and add no note."""
    judgement = judge([trace(1, repeat()), trace(2, repeat())], [timing(1, 0.1), timing(2, 0.2)])
    assert (judgement.verdict, judgement.note) == (Verdict.identical, "")


def make_components(**changed: str) -> Components:
    return Components(**{name: changed.get(name, "a") for name in Components.__annotations__})


@pytest.mark.parametrize(
    "name", ["rng", "batch", "buffers", "loss", "grads", "params", "optimizer"]
)
def test_the_first_differing_component_is_named(name: str) -> None:
    """A divergence names the first component that differs within its step."""
    base = repeat(steps="aaa")
    rows = [make_components(), make_components(), make_components()]
    later = dict.fromkeys(COMPONENTS[COMPONENTS.index(name) :], "x")
    other = Repeat(
        **{**vars(base), "steps": Steps.of([rows[0], make_components(**later), rows[2]])}
    )
    same = Repeat(**{**vars(base), "steps": Steps.of(rows)})
    divergence = find_divergence(same, other)
    assert divergence is not None
    assert (divergence.step, divergence.component) == (2, name)


def test_a_shorter_training_diverges_where_it_ends() -> None:
    """Trainings of different length diverge at the first step that only one of them has."""
    divergence = find_divergence(repeat(steps="aaa"), repeat(steps="aa"))
    assert divergence is not None
    assert (divergence.step, divergence.component) == (3, "end")


def test_another_initial_state_diverges_at_step_0() -> None:
    """Trainings that start from different states diverge before their first step."""
    divergence = find_divergence(repeat(), repeat(initial="elsewhere"))
    assert divergence is not None
    assert (divergence.step, divergence.component) == (0, "start")


def test_the_earliest_divergence_is_reported(trace: Make) -> None:
    """If several runs diverge from the first, the earliest step is reported."""
    runs = [
        trace(1, repeat(steps="aaa")),
        trace(2, repeat(steps="aax")),
        trace(3, repeat(steps="axx")),
    ]
    divergence = judge(runs).first_divergence
    assert divergence is not None
    assert divergence.step == 2


def test_snapshots_are_compared_with_the_first_training(trace: Make) -> None:
    """Snapshots match only if all repeats of a run equal the reference's first one."""
    assert snapshots_match(trace(1, repeat("a")), trace(2, repeat("a"), repeat("a")))
    assert not snapshots_match(trace(1, repeat("a")), trace(2, repeat("a"), repeat("b")))
