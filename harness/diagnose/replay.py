"""`python -m harness replay OVERRIDES`: does a training resumed from a checkpoint end the same?

One process trains to the middle, saves everything that can be saved, and ends; fresh ones load
parts of that and resume. Where the requested checkpoint does not reproduce the uninterrupted
training, each part that it lacks is left out of the full state in turn: what cannot be left out is
what the checkpoint misses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core.command_line import command
from harness.core.errors import StudyStoppedError, UsageError
from harness.core.exit_codes import DONE, FAILED
from harness.core.frameworks import FRAMEWORKS, environment_of
from harness.core.record import Repeat, write_json
from harness.core.spec import Kind, RunSpec
from harness.core.verdict import Verdict, find_divergence, judge, outcome_key
from harness.diagnose.runs import Experiment
from harness.study.request import Request, Runs
from harness.study.session import Session, run_inquiry

UNINTERRUPTED_RUNS = 3
REPLAY = "replay.json"


@dataclass(frozen=True)
class ReplayResult:
    """How replays of one training compared with the uninterrupted training."""

    cell: str
    words: tuple[str, ...]
    verdict: str  # of the straight training's runs
    step: int = 0  # the first one that a new process made
    checkpoint: tuple[str, ...] = ()
    available: tuple[str, ...] = ()  # what the training has that can be saved
    diverges_at: str = ""  # where the replay of the checkpoint parts; empty where it does not
    full_diverges_at: str = ""  # the same with everything that can be saved
    missing: tuple[str, ...] = ()  # each alone makes a difference
    runs: int = 0  # replays

    @property
    def exit_status(self) -> int:
        return DONE if self.verdict == Verdict.identical and not self.diverges_at else FAILED

    def write(self, folder: Path) -> None:
        texts = {"paragraph": self.paragraph(), "words": command(self.words)}
        write_json(folder / REPLAY, {**dataclasses.asdict(self), **texts})

    def show(self) -> None:
        print(self.paragraph())

    def paragraph(self) -> str:
        if self.verdict != Verdict.identical:
            return (
                f"{self.cell}: {self.verdict} even without a restart, so a replay cannot show "
                "anything. Find out why first: `python -m harness diagnose` with the same words."
            )
        saved = ", ".join(self.checkpoint)
        resumed = f"{self.cell}: resumed at step {self.step} in a new process from {saved}"
        if not self.diverges_at:
            return f"{resumed}, it ends bit for bit like the uninterrupted training."
        diverges = f"{resumed}, it diverges {self.diverges_at}."
        if self.full_diverges_at:
            return (
                f"{diverges} With everything that can be saved ({', '.join(self.available)}) it "
                f"still diverges {self.full_diverges_at}: the training keeps state elsewhere."
            )
        if not self.missing:
            others = ", ".join(part for part in self.available if part not in self.checkpoint)
            return f"{diverges} It needs some of {others}, but no single one of them by itself."
        return (
            f"{diverges} The checkpoint misses: {', '.join(self.missing)}. (With the full state "
            f"it does not diverge; without any one of these it does; {self.runs} replays.)"
        )


def replay(request: Request) -> int:
    """Returns FAILED where the checkpoint does not reproduce the uninterrupted training."""
    cell = request.only_cell("replay")
    framework = FRAMEWORKS[cell.scenario.framework]
    if framework.one_training_per_process or not framework.logs_operations:
        raise UsageError(
            f"replay saves and loads the state of a torch scenario, and '{cell.scenario.label}' "
            f"is a {cell.scenario.framework} scenario"
        )
    runs = Runs(trace=UNINTERRUPTED_RUNS, timing=0, repeats=1)
    return run_inquiry(request.for_cell(cell, runs), ReplayInquiry())


class ReplayInquiry:
    def answer(self, session: Session) -> ReplayResult:
        with Experiment.of(session) as experiment:
            return ReplayExperiment(experiment)._compare()

    def how_to_continue(self, session: Session) -> str:  # noqa: ARG002
        return "start again: a replay takes a minute"


class ReplayExperiment:
    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.number = 0

    def _compare(self) -> ReplayResult:
        """Raises UsageError for a checkpoint of parts that the training does not have."""
        cell = self.experiment.cell
        runs = [
            one
            for one in self.experiment.folder.records()
            if one.spec.kind is Kind.trace and one.spec.cell == cell
        ]
        judgement = judge(runs)
        words = self.experiment.request.words
        found = ReplayResult(cell.id, words, str(judgement.verdict))
        if judgement.verdict is not Verdict.identical:
            return found
        asked = self.experiment.request.replay
        straight = runs[0].repeats[0]
        step = asked.step or len(straight.steps) // 2 + 1
        if not 2 <= step <= len(straight.steps):
            raise UsageError(
                f"replay.step={step}: the training has {len(straight.steps)} steps; "
                "2 to that many are allowed"
            )
        available = tuple(self.run(step, None).facts["parts"])
        checkpoint = tuple(asked.checkpoint)
        _check_parts(checkpoint, available)
        rest = replace(straight, steps=straight.steps[step - 1 :])
        found = replace(
            found,
            step=step,
            checkpoint=checkpoint,
            available=available,
            diverges_at=self._diverges_at(rest, step, checkpoint),
        )
        if not found.diverges_at:
            return replace(found, runs=self.number)
        whole = self._diverges_at(rest, step, available)
        lacking = [one for one in available if one not in checkpoint]
        missing = (
            []
            if whole
            else [
                one
                for one in lacking
                if self._diverges_at(rest, step, [part for part in available if part != one])
            ]
        )
        return replace(found, full_diverges_at=whole, missing=tuple(missing), runs=self.number)

    def _diverges_at(self, rest: Repeat, step: int, parts: Sequence[str]) -> str:
        """Where a replay from these parts leaves the straight training; empty where it does not."""
        other = self.run(step, tuple(parts))
        one = replace(rest, initial=other.initial)  # a fresh process begins as all do
        if outcome_key(one) == outcome_key(other):
            return ""
        divergence = find_divergence(one, other)
        assert divergence is not None
        return f"at step {divergence.step + step - 1}, first in {divergence.component}"

    def run(self, step: int, parts: tuple[str, ...] | None) -> Repeat:
        """In a fresh process. Raises StudyStoppedError where it does not come to its end."""
        self.number += parts is not None
        what = "saves all of the training" if parts is None else f"goes on from {', '.join(parts)}"
        self.experiment.log(f"replay: a run {what}")
        cell = self.experiment.cell
        spec = RunSpec(
            cell,
            Kind.replay,
            self.number + 1,
            begin=step,
            parts=parts,
            environment=environment_of(cell),
        )
        (record,) = self.experiment.launch([spec])
        if not record.repeats:
            raise StudyStoppedError(f"{record.outcome}: {record.operation or record.message}")
        return record.repeats[0]


def _check_parts(checkpoint: Sequence[str], available: Sequence[str]) -> None:
    """Buffers and counters are asked for by default, and a training may have none."""
    unknown = [one for one in checkpoint if one not in (*available, "buffers", "optimizer")]
    if unknown:
        raise UsageError(
            f"replay.checkpoint: this training has no {', '.join(unknown)}; it has "
            f"{', '.join(available)}"
        )
