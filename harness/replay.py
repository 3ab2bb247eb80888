"""`python -m harness replay OVERRIDES`: is a training that was saved and gone on with the same?

A process trains to the middle, saves all that can be saved, and is gone; fresh ones load parts of
that and go on. Where the asked checkpoint does not give the straight training's bits, each part
that it lacks is left out of the whole in turn: what cannot be left out, the checkpoint misses.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import conduct
from harness.analysis.verdict import Verdict, judge, outcome_key, parting
from harness.bench import DONE, INTERRUPTED, RUNS_FAILED
from harness.errors import StudyStoppedError, UsageError
from harness.experiment import Experiment
from harness.frameworks import FRAMEWORKS, environment_of
from harness.plan import plan
from harness.probe import probe
from harness.progress import Display, estimate_s
from harness.record import Repeat, write_json
from harness.request import Asked, Request, Runs
from harness.spec import Kind, RunSpec
from harness.study import create
from harness.words import command

STRAIGHT_RUNS = 3
DIFFERS = 1  # exit status
REPLAY = "replay.json"


@dataclass(frozen=True)
class Found:
    """What the replays of one training showed."""

    cell: str
    words: tuple[str, ...]
    verdict: str  # of the straight training's runs
    step: int = 0  # the first one that a new process made
    checkpoint: tuple[str, ...] = ()
    available: tuple[str, ...] = ()  # what the training has that can be saved
    parts_at: str = ""  # where the replay of the checkpoint parts; empty where it does not
    whole_parts_at: str = ""  # the same with everything that can be saved
    missing: tuple[str, ...] = ()  # each alone makes a difference
    runs: int = 0  # replays

    def paragraph(self) -> str:
        if self.verdict != Verdict.identical:
            return (f"{self.cell}: {self.verdict} when trained straight, so a replay could show "
                    "nothing. Find out why first: `python -m harness diagnose` with the same "
                    "words.")  # fmt: skip
        held = ", ".join(self.checkpoint)
        begun = f"{self.cell}: saved before step {self.step} and gone on with in a new process"
        if not self.parts_at:
            return f"{begun}, it ends bit for bit like the straight training, from {held}."
        told = f"{begun}, it parts {self.parts_at}, from {held}."
        if self.whole_parts_at:
            return (f"{told} With all that can be saved ({', '.join(self.available)}) it parts "
                    f"{self.whole_parts_at}: the training keeps state somewhere else.")  # fmt: skip
        if not self.missing:
            lacking = ", ".join(one for one in self.available if one not in self.checkpoint)
            return f"{told} It needs some of {lacking}; no single one of them makes the difference."
        return (f"{told} The checkpoint misses: {', '.join(self.missing)}. (With everything it "
                f"does not part, and without any of these it does; {self.runs} "
                "replays.)")  # fmt: skip


def replay(request: Request) -> int:
    """Gives the exit status: 1 where the checkpoint does not give the same training."""
    request = of_one_cell(request)
    request.check()
    found = probe(request)
    planned = plan(request, found.device)
    folder = create(request, planned, found)
    (cell,) = (one.cell for one in planned.cells)
    experiment = Experiment(folder, request, cell)
    with folder.lock():
        try:
            with Display(len(planned.runs), 0, estimate_s(planned.runs, 1)) as display:
                conduct.Conductor(folder, request, planned).run(display)
            seen = Replays(experiment).seen()
        except KeyboardInterrupt:
            print("stopped; begin again: a replay takes a minute", file=sys.stderr)
            return INTERRUPTED
        except StudyStoppedError as error:
            print(f"stopped: {error}", file=sys.stderr)
            return RUNS_FAILED
        finally:
            experiment.tidy()
    write(folder.path, seen)
    conduct.report(folder.path)
    print(seen.paragraph())
    print(f"study: {folder.path}")
    return DONE if seen.verdict == Verdict.identical and not seen.parts_at else DIFFERS


def write(folder: Path, seen: Found) -> None:
    told = {"paragraph": seen.paragraph(), "words": command(seen.words)}
    write_json(folder / REPLAY, {**dataclasses.asdict(seen), **told})


def of_one_cell(request: Request) -> Request:
    """The request of the straight runs; raises UsageError where it is not for one torch cell."""
    if len(request.asked) != 1:
        raise UsageError(f"replay takes one cell, and these words name {len(request.asked)}")
    cell = request.asked[0].cell
    framework = FRAMEWORKS[cell.scenario.framework]
    if framework.once or not framework.logs_operations:
        raise UsageError(f"replay saves and loads a scenario's training, and '"
                         f"{cell.scenario.label}' is no torch scenario")  # fmt: skip
    runs = Runs(trace=STRAIGHT_RUNS, timing=0, repeats=1)
    return dataclasses.replace(request, asked=(Asked(cell, None),), controls=(), runs=runs)


class Replays:
    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.number = 0

    def seen(self) -> Found:
        """Raises UsageError for a checkpoint of parts that the training does not have."""
        cell = self.experiment.cell
        runs = [one for one in self.experiment.folder.records()
                if one.spec.kind is Kind.trace and one.spec.cell == cell]  # fmt: skip
        judgement = judge(runs)
        words = self.experiment.request.words
        found = Found(cell.id, words, str(judgement.verdict))
        if judgement.verdict is not Verdict.identical:
            return found
        asked = self.experiment.request.replay
        straight = runs[0].repeats[0]
        step = asked.step or len(straight.steps) // 2 + 1
        if not 2 <= step <= len(straight.steps):
            raise UsageError(f"replay.step={step}: the training has {len(straight.steps)} steps; "
                             "2 to that many are allowed")  # fmt: skip
        available = tuple(self.run(step, None).facts["parts"])
        checkpoint = tuple(asked.checkpoint)
        check_parts(checkpoint, available)
        rest = replace(straight, steps=straight.steps[step - 1 :])
        found = replace(found, step=step, checkpoint=checkpoint, available=available,
                        parts_at=self.parts_at(rest, step, checkpoint))  # fmt: skip
        if not found.parts_at:
            return replace(found, runs=self.number)
        whole = self.parts_at(rest, step, available)
        lacking = [one for one in available if one not in checkpoint]
        missing = [] if whole else [
            one for one in lacking
            if self.parts_at(rest, step, [part for part in available if part != one])
        ]  # fmt: skip
        return replace(found, whole_parts_at=whole, missing=tuple(missing), runs=self.number)

    def parts_at(self, rest: Repeat, step: int, parts: Sequence[str]) -> str:
        """Where a replay from these parts leaves the straight training; empty where it does not."""
        other = self.run(step, tuple(parts))
        one = replace(rest, initial=other.initial)  # a fresh process begins as all do
        if outcome_key(one) == outcome_key(other):
            return ""
        place = parting(one, other)
        assert place is not None
        return f"at step {place.step + step - 1}, first in {place.component}"

    def run(self, step: int, parts: tuple[str, ...] | None) -> Repeat:
        """In a fresh process. Raises StudyStoppedError where it does not come to its end."""
        self.number += parts is not None
        what = "saves all of the training" if parts is None else f"goes on from {', '.join(parts)}"
        self.experiment.say(f"replay: a run {what}")
        cell = self.experiment.cell
        spec = RunSpec(cell, Kind.replay, self.number + 1, begin=step, parts=parts,
                       environment=environment_of(cell))  # fmt: skip
        (record,) = self.experiment.launch([spec])
        if not record.repeats:
            raise StudyStoppedError(f"{record.outcome}: {record.operation or record.message}")
        return record.repeats[0]


def check_parts(checkpoint: Sequence[str], available: Sequence[str]) -> None:
    """Buffers and counters are asked for by default, and a training may have none."""
    unknown = [one for one in checkpoint if one not in (*available, "buffers", "optimizer")]
    if unknown:
        raise UsageError(f"replay.checkpoint: this training has no {', '.join(unknown)}; it has "
                         f"{', '.join(available)}")  # fmt: skip
