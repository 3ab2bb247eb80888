"""Whether the bits of a training depend only on what is allowed, by the study of `perturb`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from harness.analysis.study_data import StudyData
from harness.check.findings import ORDER, Finding, State
from harness.core.errors import UsageError
from harness.report.content.dependence import INDEPENDENT, SEEDS, UNVARIED, evidence_of

SEED = "seed"  # stands for the seeds of all sources
REQUIREMENT = "must not matter"


def find_dependence(study: StudyData, allowed: Collection[str]) -> list[Finding]:
    """Return a finding for each factor that is not allowed, sorted by ``ORDER``.

    Raises UsageError if the study is not one of `perturb`, has no factor of an allowed name, or
    varied no other.
    """
    document = study.dependence
    if document is None:
        raise UsageError(
            f"--depends-only-on needs a study of `perturb`, which {study.name} is not: add "
            "`-- python train.py` to run one, or name another study"
        )
    factors = document["factors"]
    if unknown := [name for name in allowed if name not in (SEED, *factors)]:
        raise UsageError(
            f"--depends-only-on {','.join(unknown)}: this study has {', '.join([SEED, *factors])}"
        )
    findings = list(_judge(document, allowed))
    if all(finding.state is State.skipped for finding in findings):
        reasons = "; ".join(f"{finding.cell}: {finding.found}" for finding in findings)
        raise UsageError(
            "nothing to judge: every factor is allowed or was not varied"
            + f" ({reasons})" * bool(reasons)
        )
    return sorted(findings, key=lambda finding: ORDER.index(finding.state))


def _judge(document: Mapping[str, Any], allowed: Collection[str]) -> Iterator[Finding]:
    if document["failure"]:
        yield Finding("training", "must complete", State.broken, f"it fails: {document['failure']}")
    for name, factor in document["factors"].items():
        if name in allowed or (factor["group"] == SEEDS and SEED in allowed):
            continue
        finding, evidence = factor["finding"], evidence_of(name, document)
        if finding == INDEPENDENT:
            yield Finding(name, REQUIREMENT, State.holds, evidence)
        else:  # what was not varied is said, but no fault of the training
            state = State.skipped if finding == UNVARIED else State.broken
            yield Finding(name, REQUIREMENT, state, f"{finding}: {evidence}")
