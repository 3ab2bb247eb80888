"""`replay --save A --resume B -- python train.py`: does a script resume from its own checkpoint?

The script is run three ways: without interruption, with the extra arguments A, which stop it early,
and with the extra arguments B, which resume it in the working directory of the second run. If the
resumed run differs, further runs restore the state that the checkpoint lacks: first all of it, then
all of it but one part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.core.command_line import program
from harness.core.errors import UsageError
from harness.core.exit_codes import DONE, FAILED
from harness.core.record import Repeat
from harness.core.spec import Cell, Kind
from harness.core.steps import Steps
from harness.core.verdict import Verdict, find_divergence, judge, outcome_key
from harness.diagnose.replay_answer import UNINTERRUPTED_RUNS, ReplayAnswer
from harness.diagnose.runs import Experiment, TwoServers
from harness.study.request import Request, Runs
from harness.study.session import Session, run_inquiry
from harness.study.worker_process import StartProcess

AT_THE_END = ("params", "buffers", "optimizer")  # the state that is compared after the last step
EXAMPLE = (
    f"{program()} replay --save '--steps 6' --resume '--steps 12 --resume' -- python train.py "
    "--steps 12"
)


@dataclass(frozen=True)
class ScriptReplay(ReplayAnswer):
    """How a script that resumed from its checkpoint compares with its uninterrupted training."""

    title: str
    steps: int = 0  # of an uninterrupted run
    saved_after: int = 0  # steps of the run that saved
    resumed: int = 0  # steps of the run that resumed
    part_diverges_at: str = ""  # where the saving run differs from the uninterrupted training
    diverges_at: str = ""  # where the resumed run does; empty if it does not
    not_restored: tuple[str, ...] = ()  # states that differ when the resumed training begins
    full_diverges_at: str = ""  # the same as diverges_at with all of them put back
    missing: tuple[str, ...] = ()  # states without which a resumed run differs
    runs: int = 0

    @property
    def exit_status(self) -> int:
        differs = self.part_diverges_at or self.diverges_at
        return DONE if self.verdict == Verdict.identical and not differs else FAILED

    def paragraph(self) -> str:
        if self.verdict != Verdict.identical:
            return (
                f"{self.title}: {self.verdict} even without a restart, so a replay proves nothing. "
                f"Choose a setting with a seed, or run `{program()} diagnose` first."
            )
        if self.part_diverges_at:
            return (
                f"{self.title}: with the arguments of --save it differs from the uninterrupted "
                f"training {self.part_diverges_at}, before any restart. They must only end the "
                "training earlier; a learning rate that is planned over all steps does more."
            )
        resumed = (
            f"{self.title}: resumed after step {self.saved_after} of {self.steps} in a new process "
            "from its own checkpoint"
        )
        if not self.diverges_at:
            return f"{resumed}, it is bitwise identical to the uninterrupted training."
        return f"{resumed}, it differs {self.diverges_at}. {self._explanation()}"

    def _explanation(self) -> str:
        rest = self.steps - self.saved_after
        if self.resumed != rest:
            return f"It trained {self.resumed} steps, where {rest} were left."
        if not self.not_restored:
            is_data = self.diverges_at.endswith("batch")
            other = "the position in the data" if is_data else "a state that is not observed"
            return f"Every observed state is restored; what is not is {other}."
        lacking = f"The checkpoint does not restore: {', '.join(self.not_restored)}."
        them = "them" if len(self.not_restored) > 1 else "it"
        if self.full_diverges_at:
            is_data = self.full_diverges_at.endswith("batch")
            other = "the position in the data" if is_data else "other state"
            return (
                f"{lacking} With {them} put back, the training still differs "
                f"{self.full_diverges_at}: {other} is not restored either."
            )
        return (
            f"{lacking} With {them} put back, the training is identical; what it needs of that: "
            f"{', '.join(self.missing) or 'any one of them'}. This took {self.runs} runs."
        )


def replay_script(request: Request, cell: Cell) -> int:
    """Replay a script; returns FAILED if its checkpoint does not reproduce the training.

    Raises UsageError unless the request says how the script saves and resumes.
    """
    if not request.replay.save or not request.replay.resume:
        raise UsageError(
            "replay of a script needs --save with the arguments that end it after a part, and "
            f"--resume with those that resume it, as in `{EXAMPLE}`"
        )
    if cell.scenario.options["processes"] != 1:
        raise UsageError("replay supports scripts of one process only; start it without torchrun")
    runs = Runs(trace=UNINTERRUPTED_RUNS, timing=0, repeats=1)
    return run_inquiry(request.for_cell(cell, runs), ScriptReplayInquiry())[1]


class ScriptReplayInquiry(TwoServers):
    def answer(self, session: Session, start: StartProcess) -> ScriptReplay:
        with Experiment.of(session, start) as experiment:
            return _Replays(experiment).compare()

    def how_to_continue(self, session: Session) -> str:  # noqa: ARG002
        return "run the same command again"


class _Replays:
    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.request = experiment.request.replay
        self.number = 0

    def compare(self) -> ScriptReplay:
        """Raises UsageError if the steps of the parts do not make up the whole training."""
        runs = self.experiment.untreated_runs()
        verdict, words = judge(runs).verdict, self.experiment.request.words
        title = self.experiment.cell.scenario.title
        result = ScriptReplay(words, str(verdict), title, runs=len(runs))
        if verdict is not Verdict.identical:
            return result
        whole = runs[0].repeats[0]
        saved = self._run("saving", self.request.save)
        after = len(saved.steps)
        _check_part(after, len(whole.steps))
        result = replace(result, steps=len(whole.steps), saved_after=after)
        begun = replace(whole, steps=whole.steps[:after], final=saved.final)
        if place := _place(begun, saved, 0):
            return replace(result, part_diverges_at=place, runs=len(runs) + self.number)
        rest = replace(whole, steps=whole.steps[after:])
        captured = self._run("capturing the state", (), begin=after + 1)
        resumed = self._resume(after, ())
        result = replace(
            result, resumed=len(resumed.steps), diverges_at=_place(rest, resumed, after)
        )
        if result.diverges_at:
            result = self._explain(result, rest, captured, resumed)
        return replace(result, runs=len(runs) + self.number)

    def _explain(
        self, result: ScriptReplay, rest: Repeat, captured: Repeat, resumed: Repeat
    ) -> ScriptReplay:
        expected, found = captured.facts["state"], resumed.facts["state"]
        after = result.saved_after
        differing = tuple(part for part in expected if found.get(part) != expected[part])
        if not differing:
            return result
        full = _place(rest, self._resume(after, differing), after)
        missing = () if full else self._missing(rest, after, differing)
        return replace(result, not_restored=differing, full_diverges_at=full, missing=missing)

    def _missing(self, rest: Repeat, after: int, differing: Sequence[str]) -> tuple[str, ...]:
        """The states without each of which a resumed run differs."""
        if len(differing) == 1:
            return tuple(differing)
        return tuple(
            left_out
            for left_out in differing
            if _place(
                rest, self._resume(after, [part for part in differing if part != left_out]), after
            )
        )

    def _resume(self, after: int, parts: Sequence[str]) -> Repeat:
        restored = f" with {', '.join(parts)} put back" if parts else ""
        return self._run(
            f"resuming{restored}", self.request.resume, begin=after + 1, parts=tuple(parts)
        )

    def _run(
        self,
        what: str,
        arguments: Sequence[str],
        begin: int | None = None,
        parts: tuple[str, ...] | None = None,
    ) -> Repeat:
        """Raises StudyStoppedError if the run fails."""
        self.number += 1
        self.experiment.log(f"replay: {what}")
        cell = _with_arguments(self.experiment.cell, arguments)
        spec = self.experiment.spec(cell, Kind.replay, self.number, begin=begin, parts=parts)
        return self.experiment.train(spec, f"the run that was {what}")


def _with_arguments(cell: Cell, arguments: Sequence[str]) -> Cell:
    options = cell.scenario.options
    more = {**options, "args": [*options["args"], *arguments]}
    return replace(cell, scenario=replace(cell.scenario, options=more))


def _check_part(after: int, whole: int) -> None:
    if not 0 < after < whole:
        raise UsageError(
            f"with the arguments of --save the script trains {after} steps, and without them "
            f"{whole}: --save must end the training after a part of it"
        )


def _place(expected: Repeat, other: Repeat, after: int) -> str:
    """Where a run differs from the uninterrupted training, whose ``after`` steps it lacks."""
    expected, other = _comparable(expected), _comparable(other)
    if outcome_key(expected) == outcome_key(other):
        return ""
    divergence = find_divergence(expected, other)
    assert divergence is not None
    return f"at step {divergence.step + after}, first in {divergence.component}"


def _comparable(run: Repeat) -> Repeat:
    """The steps and the end of a run, without what a resumed run has of its own.

    It has drawn from the generators to build a model that the checkpoint then replaced.
    """
    steps = Steps.of(replace(step, rng="") for step in run.steps)
    end = {name: run.final.get(name, "") for name in AT_THE_END}
    return replace(run, initial="", steps=steps, final=end)
