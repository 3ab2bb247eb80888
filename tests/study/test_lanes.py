"""Runs go side by side only where each has cores of its own."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from harness.core.record import Outcome
from harness.core.spec import Kind, RunSpec
from harness.study import lanes
from harness.study.lanes import most_lanes, side_by_side
from tests.study.conftest import Run, Spec


@pytest.fixture
def _six_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "usable_cores", lambda: [0, 1, 2, 3, 4, 5])


@pytest.mark.usefixtures("_six_cores")
def test_each_run_of_a_group_has_cores_of_its_own(spec: Spec) -> None:
    """Runs share the machine until the next one does not fit; the order stays that of the plan."""
    runs = [spec("train", n, Kind.trace, t) for n, t in enumerate([2, 2, 1, 2, 4], 1)]
    groups = [[(n, sorted(cores or [])) for n, cores in group] for group in side_by_side(runs)]
    assert groups == [[(0, [0, 1]), (1, [2, 3]), (2, [4])], [(3, [0, 1]), (4, [2, 3, 4, 5])]]


@pytest.mark.usefixtures("_six_cores")
def test_what_is_timed_or_may_need_all_cores_runs_alone(spec: Spec) -> None:
    """A timed run, one without set threads, one with a loader or ranks, and a script go alone."""
    fits = spec("train", 1, Kind.trace, 1)
    scenario = fits.cell.scenario

    def of(**changes: object) -> RunSpec:
        changed = dataclasses.replace(scenario, **changes)  # type: ignore[arg-type]
        return dataclasses.replace(fits, cell=dataclasses.replace(fits.cell, scenario=changed))

    alone = [
        spec("train", 1, Kind.timing, 1),
        spec("train", 1, Kind.trace),
        spec("train", 1, Kind.trace, 7),
        of(uses_loader=True),
        of(starts_processes=True),
        of(framework="script"),
    ]
    for run in alone:
        groups = list(side_by_side([fits, run, fits]))
        assert [[n for n, _ in group] for group in groups] == [[0], [1], [2]]
        assert groups[1][0][1] is None


@pytest.mark.usefixtures("_six_cores")
def test_as_many_runs_are_started_as_fit(spec: Spec) -> None:
    """The run that needs most cores decides how many are side by side."""
    two, one = (spec("train", 1, Kind.trace, threads) for threads in (2, 1))
    assert (most_lanes([one]), most_lanes([one, two]), most_lanes([spec()])) == (6, 3, 1)


@pytest.mark.skipif(len(lanes.usable_cores()) < 2, reason="needs two cores")
def test_two_runs_with_one_thread_each_train_side_by_side(
    run: Run, spec: Spec, tmp_path: Path
) -> None:
    """Two runs that wait for each other both end, each on a core of its own."""
    mark = tmp_path / "mark"
    mark.mkdir()
    runs = [spec("meet", n, Kind.trace, 1, mark=str(mark)) for n in (1, 2)]
    records = run(*runs, timeout_s=60)
    assert [record.outcome for record in records] == [Outcome.ok, Outcome.ok], records[0].message
    assert [record.position for record in records] == [0, 1]
    first, second = (record.repeats[0].facts["cores"] for record in records)
    assert len(first) == len(second) == 1
    assert first != second
    assert {*first, *second} <= os.sched_getaffinity(0)


def test_a_killed_run_is_repeated_when_its_neighbour_has_ended(
    run: Run, spec: Spec, tmp_path: Path
) -> None:
    """Of two runs side by side, the one that is killed has a second attempt and the same place."""
    killed = spec("killed once", 1, Kind.trace, 1, mark=str(tmp_path / "mark"))
    records = run(killed, spec("train", 2, Kind.trace, 1))
    assert [(r.outcome, r.position, r.attempt) for r in records] == [
        (Outcome.ok, 0, 2),
        (Outcome.ok, 1, 1),
    ]


def test_a_hanging_run_does_not_cost_its_neighbour_its_record(run: Run, spec: Spec) -> None:
    """The limit counts from the release for each run, and one that is done by then is kept."""
    records = run(spec("hang", 1, Kind.trace, 1), spec("train", 2, Kind.trace, 1), timeout_s=3)
    assert [record.outcome for record in records] == [Outcome.timeout, Outcome.ok]
