"""What several studies say of the same cell, one below the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.report.format import plural
from harness.site.study_tables import (
    PublishedCell,
    StudyTables,
    device_slug,
    newest_first,
    slug,
    source_document,
)

OPERATIONS = ("atomics", "first_op")  # scenarios of single operations


@dataclass(frozen=True)
class Trend:
    """A training under a setting on a kind of device, in the studies that have it, newest first.

    Superseded ones and those with a failed control come last."""

    training: str
    setting: str
    device: str
    cells: list[PublishedCell]

    @property
    def address(self) -> str:
        return slug(self.training, self.setting, device_slug(self.device))

    @cached_property
    def bits(self) -> list[str]:
        """A letter for each cell: the same letter, the same bits; none where runs differ."""
        letters: dict[frozenset[str], str] = {}
        for cell in reversed(self.cells):
            if len(cell.ends) == 1 and cell.kind == "equal":
                letters.setdefault(cell.ends, _letter(len(letters)))
        return [letters.get(cell.ends, "") if cell.kind == "equal" else "" for cell in self.cells]

    @property
    def sentence(self) -> str:
        newest, others = self.cells[0], len(self.cells) - 1
        device = "CPU" if self.device == "cpu" else self.device
        bits = self.distinct_bits
        results = f"; {bits} different results" if bits > 1 else ""
        return (
            f"{self.training} under {self.setting} on {device}: {newest.verdict}; "
            f"{self.count_alike(newest)} of {plural(others, 'other study')} "
            f"{'agrees' if others == 1 else 'agree'}{results}"
        )

    @property
    def distinct_bits(self) -> int:
        """How many different results its studies without a difference have."""
        return len({*self.bits} - {""})

    def count_alike(self, cell: PublishedCell) -> int:
        """How many of the other studies say the same of it."""
        return sum(other.kind == cell.kind for other in self.cells) - 1

    def count_reproduced(self, cell: PublishedCell) -> int:
        """How many others say the same: each counts once, however many studies it ran."""
        agree = {other.study.run_by for other in self.cells if other.kind == cell.kind}
        return len(agree - {cell.study.run_by})

    def count_same_bits(self, cell: PublishedCell) -> int:
        """How many of the other studies have its bits."""
        if cell.kind != "equal" or len(cell.ends) != 1:
            return 0
        return sum(other.kind == "equal" and other.ends == cell.ends for other in self.cells) - 1

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "training": self.training,
            "setting": self.setting,
            "device": self.device,
            "reproduced_by_others": self.count_reproduced(self.cells[0]),
            "studies": [
                {
                    **source_document(cell.study),
                    "torch": cell.study.manifest["software"]["torch"],
                    "verdict": cell.verdict,
                    "differ": cell.counts or None,
                    "rate_at_most": cell.bound,
                    "cost": cell.ratio,
                    "cost_low": cell.low,
                    "cost_high": cell.high,
                    "bits": bits or None,
                }
                for cell, bits in zip(self.cells, self.bits, strict=True)
            ],
        }


def find_trends(studies: Iterable[StudyTables]) -> list[Trend]:
    """Return a trend for each cell that several studies have, in the order of addresses.

    Cells of single operations are facts, and those that share other cells' runs add nothing.
    """
    found: dict[tuple[str, str, str], list[PublishedCell]] = {}
    for tables in studies:
        for cell in tables.cells:
            is_known = cell.kind in ("equal", "varies", "refused")
            if is_known and not cell.is_alias and cell.scenario not in OPERATIONS:
                found.setdefault((cell.training, cell.setting, cell.device), []).append(cell)
    trends = [
        Trend(*key, newest_first(every))
        for key, every in found.items()
        if len({cell.study.name for cell in every}) > 1
    ]
    return sorted(trends, key=lambda trend: trend.address)


def _letter(number: int) -> str:
    """A to Z, then A2 to Z2, and so on."""
    return chr(ord("A") + number % 26) + (str(number // 26 + 1) if number >= 26 else "")
