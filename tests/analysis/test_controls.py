"""Controls judge a study's records, whichever way those point."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

from harness.analysis.controls import Control, controls, positive
from harness.analysis.evidence import StudyEvidence, read


def test_a_real_study_passes_its_positive_control(study: Path) -> None:
    evidence = read(study)
    expected = (
        Control.passed if evidence.manifest["software"]["threads"] > 1 else Control.not_possible
    )
    assert controls(evidence).positive.control is expected


def changed(study: Path, **software: int) -> StudyEvidence:
    evidence = read(study)
    manifest = copy.deepcopy(evidence.manifest)
    manifest["software"] |= software
    return StudyEvidence(evidence.name, manifest, evidence.cells, [], evidence.planned)


def test_on_one_thread_the_control_is_not_possible(study: Path) -> None:
    assert positive(changed(study, threads=1)).control is Control.not_possible


def test_a_control_that_does_not_vary_fails(study: Path, tmp_path: Path) -> None:
    """The same study, with the control's runs under `full` in place of those under `seed`."""
    folder = tmp_path / "copy"
    shutil.copytree(study, folder)
    evidence = read(folder)
    full = evidence.by_id("indexing-full-cpu")
    cells = [
        full.__class__(one.id, one.cell, one.role, one.baseline, None, traces=full.traces)
        if one.id == "indexing-seed-cpu" else one
        for one in evidence.cells
    ]  # fmt: skip
    tampered = StudyEvidence(evidence.name, evidence.manifest, cells, [], evidence.planned)
    assert positive(tampered).control is Control.failed


def test_without_the_control_nothing_is_claimed(study: Path) -> None:
    evidence = changed(study)
    evidence.manifest["request"]["study"]["control"] = None
    assert positive(evidence).control is Control.off
