"""Controls judge a study's records, whichever way those point."""

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
    evidence = read_study(study)
    expected = (
        Control.passed if evidence.manifest["software"]["threads"] > 1 else Control.not_possible
    )
    assert check_controls(evidence).positive.control is expected


def changed(study: Path, **software: int) -> StudyData:
    evidence = read_study(study)
    manifest = copy.deepcopy(evidence.manifest)
    manifest["software"] |= software
    return StudyData(evidence.name, manifest, evidence.cells, [], evidence.planned)


def test_on_one_thread_the_control_is_not_possible(study: Path) -> None:
    assert check_positive(changed(study, threads=1)).control is Control.not_possible


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
def test_only_evidence_decides(seed: Verdict, full: Verdict, control: Control) -> None:
    assert decide(seed, full) is control


def test_without_the_control_nothing_is_claimed(study: Path) -> None:
    evidence = changed(study)
    evidence.manifest["request"]["study"]["control"] = None
    assert check_positive(evidence).control is Control.off


def test_a_timing_run_of_full_that_ended_otherwise_fails_the_control(study: Path) -> None:
    evidence = read_study(study)
    full = next(cell for cell in evidence.cells if cell.id == "indexing-full-cpu")
    timing = copy.deepcopy(next(cell for cell in evidence.cells if cell.timings).timings[0])
    full.timings[:] = [timing]
    if evidence.manifest["software"]["threads"] > 1:
        assert check_positive(evidence).control is Control.failed


def test_each_device_has_its_own_control_and_the_worst_speaks(study: Path) -> None:
    evidence = changed(study, threads=4)
    seed, full = evidence.by_id("indexing-seed-cpu"), evidence.by_id("indexing-full-cpu")
    on_cuda = [
        dataclasses.replace(one, cell=dataclasses.replace(one.cell, device="cuda"), traces=runs)
        for one, runs in ((seed, full.traces), (full, full.traces))  # a device that does not vary
    ]
    told = check_positive(dataclasses.replace(evidence, cells=[*evidence.cells, *on_cuda]))
    assert told.control is Control.failed
    assert "cpu: passed" in told.sentence
    assert "cuda: failed" in told.sentence


def test_noise_that_was_asked_for_is_no_control(study: Path) -> None:
    evidence = changed(study, threads=4)
    seed, full = evidence.by_id("indexing-seed-cpu"), evidence.by_id("indexing-full-cpu")
    noisy = dataclasses.replace(full.cell, noise=Noise.algorithm)
    last = dataclasses.replace(full, id=noisy.id, cell=noisy, traces=seed.traces)
    told = check_positive(dataclasses.replace(evidence, cells=[*evidence.cells, last]))
    assert told == check_positive(evidence)
