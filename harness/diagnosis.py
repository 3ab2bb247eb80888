"""What `diagnose` found out: one document, one paragraph, one table."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.analysis.origin import Origin
from harness.operations import Operation
from harness.record import write_json
from harness.treatments import Fault
from harness.words import command

DIAGNOSIS = "diagnosis.json"  # in the study's folder
PLAIN_WIDTH = 140  # of a file or a pipe


@dataclass(frozen=True)
class Sighting:
    """What the logs of operations showed."""

    origin: Origin | None
    around: tuple[Operation, ...]  # of the first log, the origin among them
    parted: int  # logs that parted from the first one, of so many that began alike
    comparable: int
    tries: int  # runs that were logged


@dataclass(frozen=True)
class Trial:
    """One treatment as it was tried: so many runs, and what they gave."""

    fault: Fault
    words: tuple[str, ...]
    runs: int
    answer: str


@dataclass(frozen=True)
class Diagnosis:
    cell: str
    runs: int  # untreated
    verdict: str
    bound: str  # what so many runs say, in words
    words: tuple[str, ...]
    step: int | None = None  # where trainings first part; None where they do not
    component: str = ""
    sighting: Sighting | None = None
    faults: tuple[Fault, ...] = ()
    trials: tuple[Trial, ...] = ()
    advice: str = ""
    failure: str = ""  # of the first run that did not come to its end

    def paragraph(self) -> str:
        seen = f"{self.cell}: {self.verdict}, in {self.runs} runs ({self.bound})."
        if self.failure:
            return f"{self.cell}: {self.verdict}. {self.failure}"
        if self.step is None or self.sighting is None:
            return f"{seen} There is nothing to diagnose."
        parts = [seen, f"Trainings part {place(self.step, self.component)}.", self.origin(),
                 self.fault(), self.cure(), self.advice]  # fmt: skip
        return " ".join(filter(None, parts))

    def origin(self) -> str:
        assert self.sighting is not None
        if self.sighting.origin is None:
            return f"The origin was not caught, 0 of {self.sighting.tries}."
        return (f"The origin: {self.sighting.origin.in_words()} ({self.sighting.parted} of "
                f"{self.sighting.comparable} logs parted from the first).")  # fmt: skip

    def fault(self) -> str:
        if not self.faults:
            return "What kind of fault it is stays undecided."
        return f"The fault: {' and '.join(self.faults)}."

    def cure(self) -> str:
        cures = [" ".join(one.words) for one in self.trials if one.answer == "cured"]
        return f"Cured by {', and by '.join(cures)}." if cures else "No treatment cured it."

    def write(self, folder: Path) -> None:
        document: dict[str, Any] = dataclasses.asdict(self)
        told = {"paragraph": self.paragraph(), "words": command(self.words)}
        write_json(folder / DIAGNOSIS, {**document, **told})

    def show(self) -> None:
        console = Console()
        if not console.is_terminal:
            console.width = PLAIN_WIDTH
        console.print(escape(self.paragraph()))
        if self.sighting and self.sighting.origin:
            console.print(around_table(self.sighting))
        if self.trials:
            console.print(trials_table(self.trials))


def place(step: int, component: str) -> str:
    return "before step 1" if step == 0 else f"at step {step}, first in {component}"


def around_table(sighting: Sighting) -> Table:
    """The operations around the origin, which is marked."""
    assert sighting.origin is not None
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", "phase", "module", "operation", "at"):
        table.add_column(name, overflow="fold")
    for one in sighting.around:
        is_it = one == sighting.origin.operation
        row = (one.phase, one.module, one.name, one.source)
        table.add_row("→" * is_it, *map(escape, row), style="red" if is_it else "")
    return table


def trials_table(trials: tuple[Trial, ...]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("treatment", "runs", "answer", "would show"):
        table.add_column(name, overflow="fold")
    for one in trials:
        table.add_row(escape(" ".join(one.words)), str(one.runs), escape(one.answer), one.fault)
    return table
