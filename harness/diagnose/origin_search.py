"""Finds the origin of a difference in logs of one step's operations, made as they are needed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from harness.core import op_log
from harness.core.frameworks import FRAMEWORKS, environment_of
from harness.core.op_log import Log
from harness.core.record import Outcome, RunRecord
from harness.core.spec import Kind, RunSpec
from harness.core.verdict import Judgement, Verdict
from harness.diagnose.diagnosis import Extent, OriginEvidence
from harness.diagnose.origin import Nature, Origin, around, begin_alike, earliest
from harness.diagnose.runs import FIRST, Experiment
from harness.study.child_process import environment, module_command


@dataclass
class OriginSearch:
    experiment: Experiment
    failure: str = ""  # of the last run whose operations were to be logged
    saved: set[int] = field(default_factory=set)  # steps before which the state was to be saved

    def find(self, judgement: Judgement) -> OriginEvidence:
        """The earliest origin that two logs show.

        Only logs of trainings that were in the same state at the window's begin are compared. Where
        none were, the window begins earlier; where they were and agree, it ends later.
        """
        assert judgement.first_divergence is not None
        asked = self.experiment.request.diagnose.steps
        window = asked or (judgement.first_divergence.step, judgement.first_divergence.step)
        repeats = self.experiment.repeats if judgement.verdict is Verdict.per_call else 1
        tries, most = 0, self.experiment.request.diagnose.tries
        while tries < most:
            ahead = min(self.experiment.ahead if tries else FIRST, most - tries)
            logs = self.logged(window, range(tries + 1, tries + ahead + 1), repeats)
            tries += ahead
            if not logs:
                return OriginEvidence(None, window, tries, failure=self.failure)
            comparable = [other for other in logs[1:] if begin_alike(logs[0], other)]
            origins = [(one, other) for other in comparable if (one := earliest(logs[0], other))]
            if origins:
                first, other = min(origins, key=lambda both: both[0].index)
                return OriginEvidence(
                    first,
                    window,
                    tries,
                    tuple(around(logs[0], other, first)),
                    len(origins),
                    len(comparable),
                    self.extent(first, window, repeats),
                )
            if not asked:
                window = wider(window) if comparable else earlier(window)
        return OriginEvidence(None, window, tries)

    def saved_before(self, step: int) -> None:
        """Has one run save the training's state, so that all that are compared go on from it.

        Its own log is not compared: what a training keeps where no saved state has it, this run
        alone would still have.
        """
        once = FRAMEWORKS[self.experiment.cell.scenario.framework].once
        if step > 1 and not once and step not in self.saved:
            self.saved.add(step)
            self.logs((step, step), range(1, 2), 1)

    def logged(
        self, window: tuple[int, int], numbers: range, repeats: int, keep: int | None = None
    ) -> list[Log]:
        self.saved_before(window[0])
        what = "log the operations" if keep is None else "keep the origin's results"
        self.experiment.say(
            f"origin: {len(numbers)} runs {what} of steps {window[0]} to {window[1]}"
        )
        return self.logs(window, numbers, repeats, keep)

    def logs(
        self, window: tuple[int, int], numbers: range, repeats: int, keep: int | None = None
    ) -> list[Log]:
        cell = self.experiment.cell
        specs = [
            RunSpec(
                cell,
                Kind.operations,
                number,
                repeats=repeats,
                window=window,
                keep=keep,
                environment=environment_of(cell),
            )
            for number in numbers
        ]
        return [log for record in self.experiment.launch(specs) for log in self.logs_of(record)]

    def logs_of(self, record: RunRecord) -> Iterator[Log]:
        if record.outcome is not Outcome.ok:
            told = record.operation or record.message.rstrip().rpartition("\n")[2]
            self.failure = f"{record.outcome}: {told}"
            self.experiment.say(f"  {self.failure}")
            return
        for repeat in range(1, record.spec.repeats + 1):
            yield op_log.taken(self.experiment.operations, record.run_id, repeat)

    def extent(self, origin: Origin, window: tuple[int, int], repeats: int) -> Extent | None:
        """By how much results of equal inputs differ, in the first two runs that show it."""
        if origin.rank or origin.nature not in (Nature.operation, Nature.fresh):
            return None
        logs: list[tuple[Log, Path]] = []
        for number in range(1, self.experiment.request.diagnose.tries + 1, 2):
            for log in self.logged(window, range(number, number + 2), repeats, origin.index):
                repeat = 1 + sum(log.run_id == other.run_id for other, _ in logs)
                logs.append((log, op_log.kept_path(self.experiment.operations, log.run_id, repeat)))
            for (one, kept), (other, others) in combinations(logs, 2):
                found = earliest(one, other)
                if found and found.index == origin.index and kept.exists() and others.exists():
                    return measured(kept, others)
        return None


def measured(one: Path, other: Path) -> Extent:
    """In a process of the telling side, which has NumPy."""
    words = module_command("harness.analysis.op_difference", str(one), str(other))
    done = subprocess.run(words, check=True, capture_output=True, env=environment({}))
    return Extent(**json.loads(done.stdout))


def earlier(window: tuple[int, int]) -> tuple[int, int]:
    return window[0] // 2, window[1]


def wider(window: tuple[int, int]) -> tuple[int, int]:
    return window[0], window[1] + (window[1] - window[0] + 1)
