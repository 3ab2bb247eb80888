"""`check --depends-only-on` judges a study of `perturb` by its factors."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from harness.analysis.study_data import StudyData
from harness.check.dependence import find_dependence
from harness.check.findings import State
from harness.core.errors import UsageError
from tests.check.conftest import make_study
from tests.report.test_dependence import document, factor


def study(**findings: str) -> StudyData:
    factors: dict[str, Any] = {
        "umask": factor("umask"),
        "seed_torch": factor("torch seed", "depends", group="seeds"),
        **{name: factor(name, finding) for name, finding in findings.items()},
    }
    known = document(factors=factors, differences=[])
    return dataclasses.replace(make_study(), dependence=known)


def states(study: StudyData, *allowed: str) -> dict[str, State]:
    return {finding.cell: finding.state for finding in find_dependence(study, allowed)}


def test_a_factor_that_is_not_allowed_is_broken() -> None:
    """So are undecided and inconclusive factors. Allowed factors are not checked."""
    found = study(clock="depends", threads="undecided", home="inconclusive")
    broken = {"clock": State.broken, "threads": State.broken, "home": State.broken}
    assert states(found, "seed") == {"umask": State.holds, **broken}
    assert states(found, "seed", "clock", "threads", "home") == {"umask": State.holds}


def test_seeds_must_be_allowed_too() -> None:
    """All of them by one name, or each by its own."""
    assert states(study(), "umask")["seed_torch"] is State.broken
    assert "seed_torch" not in states(study(), "seed")
    assert "seed_torch" not in states(study(), "seed_torch")


def test_what_was_not_varied_is_skipped_with_its_reason() -> None:
    """It is no fault of the training, and is never passed silently."""
    skipped = find_dependence(study(clock="not varied"), ["seed"])[1]
    assert (skipped.cell, skipped.state) == ("clock", State.skipped)
    assert skipped.found.startswith("not varied: ")


def test_a_study_that_varied_nothing_else_is_refused() -> None:
    """It would pass whatever the training depends on."""
    found = study(clock="not varied")
    with pytest.raises(UsageError, match=r"nothing to judge: .*clock: not varied"):
        find_dependence(found, ["seed", "umask"])
    with pytest.raises(UsageError, match="nothing to judge"):
        find_dependence(study(), ["seed", "umask"])


def test_unknown_factors_and_other_studies_are_refused() -> None:
    """With what the study has, and how to get one."""
    with pytest.raises(UsageError, match="--depends-only-on thread: this study has seed, umask"):
        find_dependence(study(), ["thread"])
    with pytest.raises(UsageError, match="needs a study of `perturb`"):
        find_dependence(make_study(), ["seed"])


def test_a_training_that_fails_is_broken() -> None:
    """Nothing is known of its factors."""
    failed = document(factors={}, failure="crashed: ValueError: no data")
    (finding,) = find_dependence(dataclasses.replace(make_study(), dependence=failed), ["seed"])
    assert finding.state is State.broken
    assert "no data" in finding.found
