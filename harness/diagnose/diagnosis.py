"""The result of `diagnose`: a JSON document, a paragraph and two tables."""

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
from harness.core.files import write_json
from harness.core.verdict import place_at_step_zero
from harness.diagnose.origin import Origin, Pair
from harness.diagnose.treatments import Fault

DIAGNOSIS = "diagnosis.json"  # in the study's folder
PIPE_WIDTH = 140  # columns, if stdout is a file or a pipe
FIXED, NOT_FIXED, UNDECIDED = "fixed", "not fixed", "undecided"  # answers of a treatment
COMPONENTS_DIGESTED, OPERATIONS_LOGGED = "digests of its components", "a log of its operations"


@dataclass(frozen=True)
class OpDifference:
    """How far the results of the origin differ between two runs."""

    differing: int  # elements
    elements: int
    max_ulp: int | None  # None if the shapes differ

    def describe(self) -> str:
        if self.max_ulp is None:
            return "The shapes of its results differ"
        return (
            f"{self.differing:,} of {self.elements:,} elements differ, by at most "
            f"{self.max_ulp:,} ulp"
        )


@dataclass(frozen=True)
class OriginEvidence:
    """What the operation logs show."""

    origin: Origin | None
    window: tuple[int, int]  # first and last step of the last window logged
    tries: int  # logged runs
    around: tuple[Pair, ...] = ()  # operations of two diverging logs, origin included
    diverged: int = 0  # comparable logs that diverge from the first log
    comparable: int = 0  # logs whose window begins in the same state as the first log's
    difference: OpDifference | None = None  # None if inputs differ or no two runs reproduce it
    failure: str = ""  # why there are no logs

    def is_origin(self, pair: Pair) -> bool:
        origin = self.origin
        return bool(
            origin and pair.index == origin.index and origin.operation in (pair.one, pair.other)
        )


@dataclass(frozen=True)
class Trial:
    """A treatment, the number of runs that tried it, and the outcome."""

    fault: Fault
    words: tuple[str, ...]
    runs: int
    answer: str


@dataclass(frozen=True)
class ObserverEffect:
    """Whether observation changes the bits of a training whose runs are identical."""

    words: tuple[str, ...]  # overrides that make the runs identical; empty if they already are
    changed_by: tuple[str, ...]  # of COMPONENTS_DIGESTED and OPERATIONS_LOGGED


@dataclass(frozen=True)
class Diagnosis:
    cell: str
    runs: int  # completed, without treatment
    verdict: str
    bound: str  # what this many runs show, in words
    words: tuple[str, ...]
    step: int | None = None  # of the first divergence; None if there is none
    component: str = ""
    origin_evidence: OriginEvidence | None = None
    faults: tuple[Fault, ...] = ()
    trials: tuple[Trial, ...] = ()
    advice: str = ""
    observed: ObserverEffect | None = None  # None if no fix was confirmed
    failure: str = ""  # of the first run that did not complete

    def paragraph(self) -> str:
        if self.failure:
            return f"{self.cell}: {self.verdict}. {self.failure}"
        summary = f"{self.cell}: {self.verdict} in {self.runs} runs ({self.bound})."
        if self.step is None or self.origin_evidence is None:
            nothing = "There is nothing to diagnose." if not self.faults else self._fault_sentence()
            return " ".join(filter(None, [summary, nothing, self._observer_sentence()]))
        sentences = [
            summary,
            f"Runs first diverge {_describe_place(self.step, self.component)}.",
            self._origin_sentence(),
            self._fault_sentence(),
            self._fix_sentence(),
            self._observer_sentence(),
            self.advice,
        ]
        return " ".join(filter(None, sentences))

    def _origin_sentence(self) -> str:
        assert self.origin_evidence is not None
        evidence = self.origin_evidence
        if evidence.origin is None:
            reason = f": {evidence.failure}" if evidence.failure else ""
            steps = "-".join(map(str, dict.fromkeys(evidence.window)))
            return f"The origin was not found in {evidence.tries} runs (window {steps}){reason}."
        extent = f" {evidence.difference.describe()}." if evidence.difference else ""
        seen = f"in {evidence.diverged} of {evidence.comparable} comparisons with the first log"
        return f"Origin: {evidence.origin.describe()} ({seen}).{extent}"

    def _fault_sentence(self) -> str:
        if not self.faults:
            return "The kind of fault is undecided."
        return f"Fault: {' and '.join(self.faults)}."

    def _fix_sentence(self) -> str:
        if Fault.factor in self.faults:
            return ""
        fixes = [" ".join(trial.words) for trial in self.trials if trial.answer == FIXED]
        if fixes:
            return f"Fixed by {', or by '.join(fixes)}."
        if any(trial.answer == UNDECIDED for trial in self.trials):
            return (
                "No fix is confirmed: runs diverge too rarely to tell a fix from chance. Raise "
                "diagnose.runs or diagnose.most."
            )
        return "No treatment fixed it."

    def _observer_sentence(self) -> str:
        """Empty unless observation changes the bits; that it does not is the expected case."""
        if not self.observed or not self.observed.changed_by:
            return ""
        condition = f"with {' '.join(self.observed.words)}, " if self.observed.words else ""
        return (
            f"However, observation changes the bits: {condition}the training ends differently when "
            f"the harness records {' or '.join(self.observed.changed_by)}."
        )

    @property
    def exit_status(self) -> int:
        return DONE

    def write(self, folder: Path) -> None:
        document: dict[str, Any] = dataclasses.asdict(self)
        texts: dict[str, Any] = {"paragraph": self.paragraph(), "words": command(self.words)}
        if self.origin_evidence and self.origin_evidence.origin:
            document["origin_evidence"]["around"] = [
                {
                    "is_origin": self.origin_evidence.is_origin(pair),
                    **dict(zip(AROUND_COLUMNS, _around_row(pair), strict=True)),
                }
                for pair in self.origin_evidence.around
            ]
        write_json(folder / DIAGNOSIS, {**document, **texts})

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
    return f"at step {step}, first in {component}" if step else place_at_step_zero(component)


def _around_table(origin_evidence: OriginEvidence) -> Table:
    """The operations before and after the origin, which is marked."""
    assert origin_evidence.origin is not None
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", *AROUND_COLUMNS[:-1], "source"):
        table.add_column(name, overflow="fold")
    for pair in origin_evidence.around:
        mark, style = ("→", "red") if origin_evidence.is_origin(pair) else ("", "")
        table.add_row(mark, *map(escape, _around_row(pair)), style=style)
    return table


AROUND_COLUMNS = ("phase", "module", "operation", "inputs", "results", "at")  # JSON keys


def _around_row(pair: Pair) -> tuple[str, ...]:
    """A value for each of AROUND_COLUMNS."""
    operation = pair.one or pair.other
    assert operation is not None
    if pair.one and pair.other:
        inputs = "equal" if pair.same_inputs else "differ"
        results = "equal" if pair.same_outputs else "differ"
    else:
        inputs = results = "only in one run"
    if not operation.outputs:
        results = ""
    return (operation.phase, operation.module, operation.name, inputs, results, operation.source)


def _trials_table(trials: tuple[Trial, ...]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("treatment", "runs", "result", "suspected fault"):
        table.add_column(name, overflow="fold")
    for trial in trials:
        treatment = escape(" ".join(trial.words))
        table.add_row(treatment, str(trial.runs), escape(trial.answer), trial.fault)
    return table
