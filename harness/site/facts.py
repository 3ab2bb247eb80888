"""What published audits say of each operation, dtype, device and version of torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.core.published import PublishedStudy
from harness.report.format import percent
from harness.site.study_tables import (
    AuditRow,
    PublishedCell,
    StudyTables,
    device_of,
    device_slug,
    newest_first,
    slug,
    source_document,
)


@dataclass(frozen=True)
class Fact:
    """An operation, with its evidence; that of the newest study that counts comes first."""

    operation: str
    dtype: str
    device: str
    torch: str
    evidence: list[AuditRow]

    @property
    def address(self) -> str:
        return slug(self.operation, self.dtype, device_slug(self.device), f"torch{self.torch}")

    @property
    def varies(self) -> bool:
        return self.evidence[0].seeds.kind == "varies"

    @property
    def sentence(self) -> str:
        newest = self.evidence[0]
        device = "CPU" if self.device == "cpu" else self.device
        text = f"{self.operation} ({self.dtype}) on {device}, PyTorch {self.torch}: {newest.bits}"
        if newest.seeds.kind != "varies":
            return f"{text} with seeds alone"
        return f"{text} with seeds alone; with deterministic algorithms {newest.bits_full}"

    @property
    def alike(self) -> int:
        """How many other studies have the same answers as the newest one."""
        return sum(_agree(other, self.evidence[0]) for other in self.evidence[1:])

    @property
    def reproduced(self) -> int:
        """How many others have the same answers: each counts once, however many studies it ran."""
        first, *others = self.evidence
        agree = {other.study.run_by for other in others if _agree(other, first)}
        return len(agree - {first.study.run_by})

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "operation": self.operation,
            "dtype": self.dtype,
            "device": self.device,
            "torch": self.torch,
            "sentence": self.sentence,
            "other_studies": len(self.evidence) - 1,
            "other_studies_alike": self.alike,
            "reproduced_by_others": self.reproduced,
            "evidence": [
                {
                    **source_document(row.study),
                    "documented": row.documented,
                    "alert": row.alert,
                    "seeds": _cell_document(row.seeds),
                    "deterministic_algorithms": _cell_document(row.deterministic),
                    "fix": describe_fix(row) or None,
                    "cost": row.deterministic.ratio,
                }
                for row in self.evidence
            ],
        }


def find_facts(studies: Iterable[StudyTables]) -> list[Fact]:
    """Return the facts in all audits, in the order of their addresses."""
    found: dict[tuple[str, str, str, str], list[AuditRow]] = {}
    for tables in studies:
        for row in tables.audit:
            key = (row.operation, row.dtype, device_of(row.study, row.device), _torch(row.study))
            found.setdefault(key, []).append(row)
    facts = [Fact(*key, newest_first(rows)) for key, rows in found.items()]
    return sorted(facts, key=lambda fact: fact.address)


def describe_fix(row: AuditRow) -> str:
    """What helps, if seeds alone do not."""
    if row.seeds.kind != "varies":
        return ""
    if row.deterministic.kind == "equal":
        return "deterministic algorithms"
    return "none of the settings that were tried"


def describe_bound(cell: PublishedCell) -> str:
    """How often a fresh process may differ, at 95 % confidence; empty where it varies."""
    if cell.bound is None or cell.kind != "equal":
        return ""
    return f"≤ {percent(cell.bound)}"


def describe_cost(cell: PublishedCell) -> str:
    """The time per step relative to the baseline, where no difference was seen."""
    if cell.ratio is None or cell.low is None or cell.high is None or cell.kind != "equal":
        return ""
    return f"{cell.ratio:.3f} × ({cell.low:.3f}–{cell.high:.3f}), {cell.cost}"


def _torch(study: PublishedStudy) -> str:
    """The version of torch without its build, as in ``2.13.0``."""
    return str(study.manifest["software"]["torch"]).partition("+")[0]


def _agree(row: AuditRow, other: AuditRow) -> bool:
    return (row.seeds.kind, row.deterministic.kind) == (other.seeds.kind, other.deterministic.kind)


def _cell_document(cell: PublishedCell) -> dict[str, Any]:
    return {
        "cell": cell.id,
        "verdict": cell.verdict,
        "differ": cell.differ,
        "processes": cell.processes,
        "rate_at_most": cell.bound,
    }
