"""The cells of published studies, as their tables have them."""

from __future__ import annotations

import csv
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.core.place import describe_device
from harness.core.published import PublishedStudy
from harness.core.spec import Kind
from harness.core.verdict import Verdict

Row = Mapping[str, str]  # of a CSV file, by column


@dataclass(frozen=True)
class PublishedCell:
    """A row of a study's cells.csv."""

    study: PublishedStudy
    row: Row
    ends: frozenset[str]  # digests of the final parameters of its completed trace runs

    @property
    def training(self) -> str:
        """The scenario with its overrides."""
        words = [
            word for word in shlex.split(self.row["overrides"]) if word.startswith("scenario.")
        ]
        options = ", ".join(word.removeprefix("scenario.") for word in words)
        return f"{self.row['scenario']} ({options})" if options else self.row["scenario"]

    @property
    def setting(self) -> str:
        """The setting with all other overrides and the source of noise."""
        words = shlex.split(self.row["overrides"])
        others = [word for word in words if not word.startswith("scenario.")]
        options = [word.removeprefix("determinism.") for word in others]
        options += [f"noise={self.row['noise']}"] * bool(self.row["noise"])
        setting = self.row["determinism"]
        return f"{setting} ({', '.join(options)})" if options else setting

    @property
    def kind(self) -> str:
        """What must be equal for two cells to say the same: `equal`, `varies`, `refused`, …"""
        verdict = Verdict(self.row["verdict"])
        if verdict is Verdict.identical:
            return "equal"
        return "varies" if verdict.differs else str(verdict)

    @property
    def is_alias(self) -> bool:
        """Whether it shares the runs of another cell."""
        return bool(self.row["same_as"])

    @property
    def differ(self) -> str:
        return f"{self.row['differ']} of {self.row['differ_of']}" if self.row["differ_of"] else ""

    @property
    def bound(self) -> float | None:
        """Upper bound on the chance that a fresh process differs, if none did."""
        return number(self.row["divergence_rate_upper"])

    @property
    def device(self) -> str:
        return device_of(self.study, self.row["device"])


def number(text: str) -> float | None:
    return float(text) if text else None


def device_of(study: PublishedStudy, device: str) -> str:
    """The name of the GPU, or `cpu`; which processor that was, the evidence says."""
    return "cpu" if device.startswith("cpu") else describe_device(study.manifest)


def torch_of(study: PublishedStudy) -> str:
    """The version of torch without its build, as in ``2.13.0``."""
    return str(study.manifest["software"]["torch"]).partition("+")[0]


def slug(*parts: str) -> str:
    """A part of an address: the same for the same parts on every machine."""
    return "-".join(re.sub(r"[^a-z0-9_.]+", "-", part.lower()).strip("-.") for part in parts)


def read_cells(study: PublishedStudy) -> list[PublishedCell]:
    """Return the cells, but for A/A twins. Raises OSError, ValueError or LookupError."""
    ends: defaultdict[str, set[str]] = defaultdict(set)
    for run in read_table(study.folder, "runs"):
        if run["kind"] == Kind.trace and run["params"]:
            ends[run["cell"]].add(run["params"])
    return [
        PublishedCell(study, row, frozenset(ends[row["same_as"] or row["cell"]]))
        for row in read_table(study.folder, "cells")
        if row["twin"] == "False"
    ]


def read_table(folder: Path, name: str) -> Iterator[Row]:
    """Yield the rows of a table of the study; none if it has no such table."""
    path = folder / "tables" / f"{name}.csv"
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)
