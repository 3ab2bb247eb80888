"""What `diagnose` found out: one document, one paragraph, one table."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.core.command_line import command
from harness.core.exit_codes import DONE
from harness.core.record import write_json
from harness.diagnose.origin import Origin, Pair
from harness.diagnose.treatments import Fault

DIAGNOSIS = "diagnosis.json"  # in the study's folder
PIPE_WIDTH = 140  # of a file or a pipe


@dataclass(frozen=True)
class OpDifference:
    """By how much the results of the origin differed between two runs."""

    differing: int  # elements
    elements: int
    max_ulp: int | None  # None where the two had other shapes

    def describe(self) -> str:
        if self.max_ulp is None:
            return "of other shapes"
        return (
            f"{self.differing:,} of {self.elements:,} elements differ, by at most "
            f"{self.max_ulp:,} ulp"
        )


@dataclass(frozen=True)
class OriginEvidence:
    """What the logs of operations showed."""

    origin: Origin | None
    window: tuple[int, int]  # the steps whose operations were logged last
    tries: int  # runs that were logged
    around: tuple[Pair, ...] = ()  # of two logs that part, the origin among them
    diverged: int = 0  # logs that parted from the first one, of so many that began alike
    comparable: int = 0
    difference: OpDifference | None = None  # None where equal inputs did not give other results
    failure: str = ""  # why there were no logs

    def is_origin(self, pair: Pair) -> bool:
        origin = self.origin
        return bool(
            origin and pair.index == origin.index and origin.operation in (pair.one, pair.other)
        )


@dataclass(frozen=True)
class Trial:
    """One treatment as it was tried: so many runs, and what they gave."""

    fault: Fault
    words: tuple[str, ...]
    runs: int
    answer: str


@dataclass(frozen=True)
class ObserverEffect:
    """Whether watching changes the bits of a training that is the same in every run."""

    words: tuple[str, ...]  # that make it so; none where it is by itself
    changed_by: tuple[str, ...]  # of COMPONENTS_DIGESTED and OPERATIONS_LOGGED


COMPONENTS_DIGESTED, OPERATIONS_LOGGED = "digests of its components", "a log of its operations"


@dataclass(frozen=True)
class Diagnosis:
    cell: str
    runs: int  # untreated
    verdict: str
    bound: str  # what so many runs say, in words
    words: tuple[str, ...]
    step: int | None = None  # where trainings first part; None where they do not
    component: str = ""
    origin_evidence: OriginEvidence | None = None
    faults: tuple[Fault, ...] = ()
    trials: tuple[Trial, ...] = ()
    advice: str = ""
    observed: ObserverEffect | None = None  # None where no setting makes its runs the same
    failure: str = ""  # of the first run that did not come to its end

    def paragraph(self) -> str:
        seen = f"{self.cell}: {self.verdict}, in {self.runs} runs ({self.bound})."
        if self.failure:
            return f"{self.cell}: {self.verdict}. {self.failure}"
        if self.step is None or self.origin_evidence is None:
            nothing = "There is nothing to diagnose." if not self.faults else self._fault_sentence()
            return " ".join(filter(None, [seen, nothing, self._observer_sentence()]))
        parts = [
            seen,
            f"Trainings part {_describe_place(self.step, self.component)}.",
            self._origin_sentence(),
            self._fault_sentence(),
            self._fix_sentence(),
            self._observer_sentence(),
            self.advice,
        ]
        return " ".join(filter(None, parts))

    def _origin_sentence(self) -> str:
        assert self.origin_evidence is not None
        one = self.origin_evidence
        if one.origin is None:
            why = f": {one.failure}" if one.failure else ""
            steps = "-".join(map(str, dict.fromkeys(one.window)))
            return f"The origin was not caught, 0 of {one.tries} (window {steps}){why}."
        extent = f" {one.difference.describe()}." if one.difference else ""
        return (
            f"The origin: {one.origin.describe()} ({one.diverged} of {one.comparable} logs "
            f"parted from the first).{extent}"
        )

    def _fault_sentence(self) -> str:
        if not self.faults:
            return "What kind of fault it is stays undecided."
        return f"The fault: {' and '.join(self.faults)}."

    def _fix_sentence(self) -> str:
        fixes = [" ".join(one.words) for one in self.trials if one.answer == "fixed"]
        if fixes:
            return f"Cured by {', and by '.join(fixes)}."
        if any(one.answer == "undecided" for one in self.trials):
            return (
                "No treatment is known to cure it: so few runs part that more are needed to "
                "decide (diagnose.runs, diagnose.most)."
            )
        return "No treatment cured it."

    def _observer_sentence(self) -> str:
        """Said only where watching changes something: else it is what everybody expects."""
        if not self.observed or not self.observed.changed_by:
            return ""
        how = f"with {' '.join(self.observed.words)}, " if self.observed.words else ""
        return (
            f"But watching changes the bits: {how}a training ends otherwise under "
            f"{' and under '.join(self.observed.changed_by)}."
        )

    @property
    def exit_status(self) -> int:
        return DONE

    def write(self, folder: Path) -> None:
        document: dict[str, Any] = dataclasses.asdict(self)
        told: dict[str, Any] = {"paragraph": self.paragraph(), "words": command(self.words)}
        if self.origin_evidence and self.origin_evidence.origin:
            document["origin_evidence"]["around"] = [
                {
                    "is_origin": self.origin_evidence.is_origin(pair),
                    **dict(zip(AROUND_COLUMNS, _around_row(pair), strict=True)),
                }
                for pair in self.origin_evidence.around
            ]
        write_json(folder / DIAGNOSIS, {**document, **told})

    def show(self) -> None:
        console = Console()
        if not console.is_terminal:
            console.width = PIPE_WIDTH
        console.print(escape(self.paragraph()))
        if self.origin_evidence and self.origin_evidence.origin:
            console.print(_around_table(self.origin_evidence))
        if self.trials:
            console.print(_trials_table(self.trials))


def _describe_place(step: int, component: str) -> str:
    return "before step 1" if step == 0 else f"at step {step}, first in {component}"


def _around_table(origin_evidence: OriginEvidence) -> Table:
    """The operations around the origin, which is marked."""
    assert origin_evidence.origin is not None
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", *AROUND_COLUMNS):
        table.add_column(name, overflow="fold")
    for pair in origin_evidence.around:
        is_it = origin_evidence.is_origin(pair)
        table.add_row("→" * is_it, *map(escape, _around_row(pair)), style="red" if is_it else "")
    return table


AROUND_COLUMNS = ("phase", "module", "operation", "inputs", "results", "at")


def _around_row(pair: Pair) -> tuple[str, ...]:
    """A value for each of AROUND_COLUMNS."""
    operation = pair.one or pair.other
    assert operation is not None
    if pair.one and pair.other:
        inputs = "equal" if pair.same_inputs else "differ"
        results = "equal" if pair.same_outputs else "differ"
    else:
        inputs = results = "only in one run"
    one = operation
    return (one.phase, one.module, one.name, inputs, results if one.outputs else "", one.source)


def _trials_table(trials: tuple[Trial, ...]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("treatment", "runs", "answer", "would show"):
        table.add_column(name, overflow="fold")
    for one in trials:
        table.add_row(escape(" ".join(one.words)), str(one.runs), escape(one.answer), one.fault)
    return table
