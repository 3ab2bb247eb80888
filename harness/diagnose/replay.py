"""`python -m harness replay OVERRIDES`: does a training resumed from a checkpoint end the same?

One process trains to the middle, saves everything that can be saved, and exits. Fresh processes
load parts of that state and resume. If the requested checkpoint does not reproduce the training,
each part it lacks is removed from the full state in turn: it is missing if the replay diverges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.core.command_line import program
from harness.core.errors import UsageError
from harness.core.exit_codes import DONE, FAILED
from harness.core.frameworks import FRAMEWORKS
from harness.core.record import Repeat
from harness.core.spec import Kind
from harness.core.verdict import Verdict, find_divergence, judge, outcome_key
from harness.diagnose.replay_answer import UNINTERRUPTED_RUNS, ReplayAnswer
from harness.diagnose.runs import Experiment, TwoServers
from harness.diagnose.script_replay import replay_script
from harness.study.request import Request, Runs
from harness.study.session import Session, run_inquiry
from harness.study.worker_process import StartProcess


@dataclass(frozen=True)
class ReplayResult(ReplayAnswer):
    """How the replays of a scenario's training compare with the uninterrupted training."""

    cell: str
    step: int = 0  # the first step after the restart
    checkpoint: tuple[str, ...] = ()
    available: tuple[str, ...] = ()  # the parts of the training that can be saved
    diverges_at: str = ""  # where the replay of the checkpoint diverges; empty if it does not
    full_diverges_at: str = ""  # the same for a replay from all available parts
    missing: tuple[str, ...] = ()  # parts without which the full state diverges
    runs: int = 0  # number of replays

    @property
    def exit_status(self) -> int:
        return DONE if self.verdict == Verdict.identical and not self.diverges_at else FAILED

    def paragraph(self) -> str:
        if self.verdict != Verdict.identical:
            return (
                f"{self.cell}: {self.verdict} even without a restart, so a replay proves nothing. "
                f"Run `{program()} diagnose` with the same arguments first."
            )
        saved = ", ".join(self.checkpoint)
        resumed = f"{self.cell}: resumed at step {self.step} in a new process from {saved}"
        if not self.diverges_at:
            return f"{resumed}, it is bitwise identical to the uninterrupted training."
        diverges = f"{resumed}, it diverges {self.diverges_at}."
        if self.full_diverges_at:
            return (
                f"{diverges} With everything that can be saved ({', '.join(self.available)}) it "
                f"still diverges {self.full_diverges_at}: the training keeps state elsewhere."
            )
        if not self.missing:
            lacking = ", ".join(part for part in self.available if part not in self.checkpoint)
            return (
                f"{diverges} It needs some of {lacking}, but removing any single one from the "
                "full state makes no difference."
            )
        return (
            f"{diverges} The checkpoint misses: {', '.join(self.missing)}. (The full state does "
            f"not diverge; removing any one of these makes it diverge; {self.runs} replays.)"
        )


def replay(request: Request) -> int:
    """Replay one cell; returns FAILED if the checkpoint does not reproduce the training."""
    cell = request.only_cell("replay")
    if cell.scenario.framework == "script":
        return replay_script(request, cell)
    framework = FRAMEWORKS[cell.scenario.framework]
    if not framework.logs_operations:
        raise UsageError(
            f"replay supports torch scenarios and scripts; '{cell.scenario.label}' is a "
            f"{cell.scenario.framework} scenario"
        )
    runs = Runs(trace=UNINTERRUPTED_RUNS, timing=0, repeats=1)
    return run_inquiry(request.for_cell(cell, runs), ReplayInquiry())[1]


class ReplayInquiry(TwoServers):
    def answer(self, session: Session, start: StartProcess) -> ReplayResult:
        with Experiment.of(session, start) as experiment:
            return ReplayExperiment(experiment).compare()

    def how_to_continue(self, session: Session) -> str:  # noqa: ARG002
        return "run the same command again: a replay takes about a minute"


class ReplayExperiment:
    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.number = 0

    def compare(self) -> ReplayResult:
        """Raises UsageError if the step or a part of the checkpoint does not exist."""
        runs = self.experiment.untreated_runs()
        verdict, words = judge(runs).verdict, self.experiment.request.words
        result = ReplayResult(words, str(verdict), self.experiment.cell.id)
        if verdict is not Verdict.identical:
            return result
        requested = self.experiment.request.replay
        uninterrupted = runs[0].repeats[0]
        length = len(uninterrupted.steps)
        step = requested.step or length // 2 + 1
        if not 2 <= step <= length:
            raise UsageError(
                f"replay.step={step}: the training has {length} steps; allowed are 2 to {length}"
            )
        available = tuple(self.run(step, None).facts["parts"])
        checkpoint = tuple(requested.checkpoint)
        _check_parts(checkpoint, available)
        rest = replace(uninterrupted, steps=uninterrupted.steps[step - 1 :])
        result = replace(
            result,
            step=step,
            checkpoint=checkpoint,
            available=available,
            diverges_at=self._diverges_at(rest, step, checkpoint),
        )
        if not result.diverges_at:
            return replace(result, runs=self.number)
        full_diverges_at = self._diverges_at(rest, step, available)
        missing = () if full_diverges_at else self._missing(rest, step, checkpoint, available)
        return replace(result, full_diverges_at=full_diverges_at, missing=missing, runs=self.number)

    def _missing(
        self, rest: Repeat, step: int, checkpoint: Sequence[str], available: Sequence[str]
    ) -> tuple[str, ...]:
        """The parts that the checkpoint lacks and without each of which a replay diverges."""
        return tuple(
            lacking
            for lacking in available
            if lacking not in checkpoint
            and self._diverges_at(rest, step, [part for part in available if part != lacking])
        )

    def _diverges_at(self, rest: Repeat, step: int, parts: Sequence[str]) -> str:
        """Where a replay from these parts diverges from ``rest``; empty if it does not."""
        replayed = self.run(step, tuple(parts))
        expected = replace(rest, initial=replayed.initial)  # recorded before the state is loaded
        if outcome_key(expected) == outcome_key(replayed):
            return ""
        divergence = find_divergence(expected, replayed)
        assert divergence is not None
        return f"at step {divergence.step + step - 1}, first in {divergence.component}"

    def run(self, step: int, parts: tuple[str, ...] | None) -> Repeat:
        """Save before ``step`` if ``parts`` is None, else resume. May raise StudyStoppedError."""
        self.number += parts is not None
        source = f"resuming from {', '.join(parts)}" if parts is not None else "saving all parts"
        self.experiment.log(f"replay: {source}")
        cell = self.experiment.cell
        spec = self.experiment.spec(cell, Kind.replay, self.number + 1, begin=step, parts=parts)
        return self.experiment.train(spec, f"the run that was {source}")


def _check_parts(checkpoint: Sequence[str], available: Sequence[str]) -> None:
    """Raises UsageError for unknown parts; buffers and optimizer are defaults and may be absent."""
    known = (*available, "buffers", "optimizer")
    unknown = [part for part in checkpoint if part not in known]
    if unknown:
        raise UsageError(
            f"replay.checkpoint: this training has no {', '.join(unknown)}; it has "
            f"{', '.join(available)}"
        )
