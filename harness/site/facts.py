"""What published audits say of each operation, dtype, device and version of torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.place import describe_device
from harness.core.published import PublishedStudy
from harness.report.format import percent
from harness.site.cells import PublishedCell, Row, device_of, read_table, slug, torch_of

NO_FIX = "none of the settings that were tried"


@dataclass(frozen=True)
class Evidence:
    """One study's answer about an operation."""

    study: PublishedStudy
    audit: Row  # of audit.csv
    seeds: PublishedCell
    deterministic: PublishedCell

    @property
    def machine(self) -> str:
        return describe_device(self.study.manifest)

    @property
    def fix(self) -> str:
        """What helps, if seeds alone do not."""
        if self.seeds.kind != "varies":
            return ""
        return "deterministic algorithms" if self.deterministic.kind == "equal" else NO_FIX

    @property
    def cost(self) -> str:
        """Of deterministic algorithms, relative to seeds alone."""
        row = self.deterministic.row
        if not row["cost_ratio"]:
            return "not timed"
        return f"{float(row['cost_ratio']):.3f} × ({row['cost']})"


@dataclass(frozen=True)
class Fact:
    """An operation, with its evidence; that of the newest study that counts comes first."""

    operation: str
    dtype: str
    device: str
    torch: str
    evidence: list[Evidence]

    @property
    def address(self) -> str:
        return slug(self.operation, self.dtype, self.device, f"torch{self.torch}")

    @property
    def sentence(self) -> str:
        newest = self.evidence[0]
        kind = newest.seeds.kind
        text = f"{self.operation} ({self.dtype}) on {self.device}, PyTorch {self.torch}: "
        if kind == "equal":
            return text + f"no difference seen in {newest.seeds.row['independent_runs']} processes"
        if kind != "varies":
            return text + kind
        text += f"varies with seeds alone ({newest.seeds.differ} processes); "
        processes = newest.deterministic.row["independent_runs"]
        if newest.deterministic.kind == "equal":
            return f"{text}with deterministic algorithms no difference seen in {processes}"
        return f"{text}with deterministic algorithms {newest.deterministic.row['verdict_wording']}"

    @property
    def alike(self) -> int:
        """How many other studies have the same answers as the newest one."""
        first, *others = self.evidence
        return sum(_answers(other) == _answers(first) for other in others)

    @property
    def varies(self) -> bool:
        return self.evidence[0].seeds.kind == "varies"

    @property
    def reproduced(self) -> int:
        """How many studies that somebody else ran have the same answers as the newest one."""
        first, *others = self.evidence
        return sum(
            _answers(other) == _answers(first) and other.study.run_by != first.study.run_by
            for other in others
        )

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
                    "study": each.study.name,
                    "run_by": each.study.run_by or "own",
                    "created": each.study.manifest["created"],
                    "machine": each.machine,
                    "documented": each.audit["documented"],
                    "alert": each.audit["alert"],
                    "seeds": _cell_document(each.seeds),
                    "deterministic_algorithms": _cell_document(each.deterministic),
                    "fix": each.fix or None,
                    "cost": each.cost,
                }
                for each in self.evidence
            ],
        }


def describe_bound(cell: PublishedCell) -> str:
    """How often a fresh process may differ, at 95 % confidence; empty where it varies."""
    return "" if cell.bound is None else f"≤ {percent(cell.bound)}"


def find_facts(cells: Mapping[str, Iterable[PublishedCell]]) -> list[Fact]:
    """Return the facts in the cells of each study, in the order of their addresses."""
    found: dict[tuple[str, str, str, str], list[Evidence]] = {}
    for of_study in cells.values():
        by_id = {cell.row["cell"]: cell for cell in of_study}
        if not by_id:
            continue
        study = next(iter(by_id.values())).study
        for row in read_table(study.folder, "audit"):
            seeds, deterministic = by_id.get(row["cell"]), by_id.get(row["cell_full"])
            if seeds and deterministic:
                key = (row["operation"], row["dtype"], device_of(study, row["device"]))
                found.setdefault((*key, torch_of(study)), []).append(
                    Evidence(study, row, seeds, deterministic)
                )
    facts = [Fact(*key, sorted(every, key=_age)) for key, every in found.items()]
    return sorted(facts, key=lambda fact: fact.address)


def _age(evidence: Evidence) -> tuple[bool, float]:
    """Sorts studies that others supersede last, and new ones first."""
    return bool(evidence.study.superseded_by), -_date(evidence.study)


def _date(study: PublishedStudy) -> float:
    return float("".join(filter(str.isdigit, study.manifest["created"])))


def _answers(evidence: Evidence) -> tuple[str, str]:
    return evidence.seeds.kind, evidence.deterministic.kind


def _cell_document(cell: PublishedCell) -> dict[str, Any]:
    return {
        "cell": cell.row["cell"],
        "verdict": cell.row["verdict_wording"],
        "differ": int(cell.row["differ"]) if cell.row["differ"] else None,
        "processes": int(cell.row["differ_of"]) if cell.row["differ_of"] else None,
        "rate_at_most": cell.bound,
    }
