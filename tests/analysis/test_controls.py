"""Controls judge a study by its records, whatever these show."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest

from harness.analysis.controls import Control, check_controls, check_positive, decide
from harness.analysis.study_data import StudyData, read_study
from harness.core.spec import Noise
from harness.core.verdict import Verdict


def test_a_real_study_passes_its_positive_control(study: Path) -> None:
    """The control of a real study passes wherever more than one thread can race."""
    data = read_study(study)
    expected = Control.passed if data.manifest["software"]["threads"] > 1 else Control.not_possible
    assert check_controls(data).positive.control is expected


def change_software(study: Path, **software: int) -> StudyData:
    """The study as if its software had been recorded like this."""
    data = read_study(study)
    manifest = copy.deepcopy(data.manifest)
    manifest["software"] |= software
    return StudyData(data.name, manifest, data.cells, [], data.planned)


def test_on_one_thread_the_control_is_not_possible(study: Path) -> None:
    """One thread cannot race, so the control is not possible instead of failed."""
    assert check_positive(change_software(study, threads=1)).control is Control.not_possible


@pytest.mark.parametrize(
    ("seed", "full", "control"),
    [
        (Verdict.per_call, Verdict.identical, Control.passed),
        (Verdict.varies, Verdict.identical, Control.passed),
        (Verdict.identical, Verdict.identical, Control.failed),
        (Verdict.per_call, Verdict.per_process, Control.failed),
        (Verdict.varies, Verdict.not_tested, Control.not_decided),
        (Verdict.failed, Verdict.identical, Control.not_decided),
    ],
)
def test_the_verdicts_decide_the_control(seed: Verdict, full: Verdict, control: Control) -> None:
    """The control passes or fails only on the verdicts of completed runs."""
    assert decide(seed, full) is control


def test_a_study_without_a_control_is_off(study: Path) -> None:
    """A study that requests no control has none that could pass or fail."""
    data = change_software(study)
    data.manifest["request"]["study"]["control"] = None
    assert check_positive(data).control is Control.off


def test_a_differing_timing_run_fails_the_control(study: Path) -> None:
    """A timing run under `full` that ended with other bits fails the control."""
    data = read_study(study)
    full = next(cell for cell in data.cells if cell.id == "indexing-full-cpu")
    timing = copy.deepcopy(next(cell for cell in data.cells if cell.timings).timings[0])
    full.timings[:] = [timing]
    if data.manifest["software"]["threads"] > 1:
        assert check_positive(data).control is Control.failed


def test_the_worst_device_decides_the_control(study: Path) -> None:
    """Each device has a control, and the worst of them is the result of the study."""
    data = change_software(study, threads=4)
    seed, full = data.by_id("indexing-seed-cpu"), data.by_id("indexing-full-cpu")
    on_cuda = [
        dataclasses.replace(cell, cell=dataclasses.replace(cell.cell, device="cuda"), traces=runs)
        for cell, runs in ((seed, full.traces), (full, full.traces))  # a device that does not vary
    ]
    positive = check_positive(dataclasses.replace(data, cells=[*data.cells, *on_cuda]))
    assert positive.control is Control.failed
    assert "cpu: passed" in positive.sentence
    assert "cuda: failed" in positive.sentence


def test_a_cell_with_noise_is_no_control(study: Path) -> None:
    """A cell whose noise was requested does not count as a control."""
    data = change_software(study, threads=4)
    seed, full = data.by_id("indexing-seed-cpu"), data.by_id("indexing-full-cpu")
    noisy = dataclasses.replace(full.cell, noise=Noise.algorithm)
    last = dataclasses.replace(full, id=noisy.id, cell=noisy, traces=seed.traces)
    positive = check_positive(dataclasses.replace(data, cells=[*data.cells, last]))
    assert positive == check_positive(data)
