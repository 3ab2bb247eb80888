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
from harness.core.op_log import OpLog
from harness.core.record import Outcome, RunRecord
from harness.core.spec import Kind, RunSpec
from harness.core.verdict import Judgement, Verdict
from harness.diagnose.diagnosis import OpDifference, OriginEvidence
from harness.diagnose.origin import (
    Origin,
    OriginKind,
    earliest_origin,
    start_equal,
    surrounding_pairs,
)
from harness.diagnose.runs import FIRST_RUNS, Experiment
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
            ahead = min(self.experiment.ahead if tries else FIRST_RUNS, most - tries)
            logs = self._collect_logs(window, range(tries + 1, tries + ahead + 1), repeats)
            tries += ahead
            if not logs:
                return OriginEvidence(None, window, tries, failure=self.failure)
            comparable = [other for other in logs[1:] if start_equal(logs[0], other)]
            origins = [
                (one, other) for other in comparable if (one := earliest_origin(logs[0], other))
            ]
            if origins:
                first, other = min(origins, key=lambda both: both[0].index)
                return OriginEvidence(
                    first,
                    window,
                    tries,
                    tuple(surrounding_pairs(logs[0], other, first)),
                    len(origins),
                    len(comparable),
                    self._measure_difference(first, window, repeats),
                )
            if not asked:
                window = _extend_later(window) if comparable else _extend_earlier(window)
        return OriginEvidence(None, window, tries)

    def _save_state_before(self, step: int) -> None:
        """Has one run save the training's state, so that all that are compared go on from it.

        Its own log is not compared: what a training keeps where no saved state has it, this run
        alone would still have.
        """
        once = FRAMEWORKS[self.experiment.cell.scenario.framework].one_training_per_process
        if step > 1 and not once and step not in self.saved:
            self.saved.add(step)
            self._run_logs((step, step), range(1, 2), 1)

    def _collect_logs(
        self, window: tuple[int, int], numbers: range, repeats: int, keep: int | None = None
    ) -> list[OpLog]:
        self._save_state_before(window[0])
        what = "log the operations" if keep is None else "keep the origin's results"
        self.experiment.log(
            f"origin: {len(numbers)} runs {what} of steps {window[0]} to {window[1]}"
        )
        return self._run_logs(window, numbers, repeats, keep)

    def _run_logs(
        self, window: tuple[int, int], numbers: range, repeats: int, keep: int | None = None
    ) -> list[OpLog]:
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
        return [log for record in self.experiment.launch(specs) for log in self._read_logs(record)]

    def _read_logs(self, record: RunRecord) -> Iterator[OpLog]:
        if record.outcome is not Outcome.ok:
            told = record.operation or record.message.rstrip().rpartition("\n")[2]
            self.failure = f"{record.outcome}: {told}"
            self.experiment.log(f"  {self.failure}")
            return
        for repeat in range(1, record.spec.repeats + 1):
            yield op_log.pop(self.experiment.operations, record.run_id, repeat)

    def _measure_difference(
        self, origin: Origin, window: tuple[int, int], repeats: int
    ) -> OpDifference | None:
        """By how much results of equal inputs differ, in the first two runs that show it."""
        if origin.rank or origin.kind not in (OriginKind.operation, OriginKind.fresh):
            return None
        logs: list[tuple[OpLog, Path]] = []
        for number in range(1, self.experiment.request.diagnose.tries + 1, 2):
            for log in self._collect_logs(window, range(number, number + 2), repeats, origin.index):
                repeat = 1 + sum(log.run_id == other.run_id for other, _ in logs)
                logs.append(
                    (log, op_log.tensors_path(self.experiment.operations, log.run_id, repeat))
                )
            for (one, kept), (other, others) in combinations(logs, 2):
                found = earliest_origin(one, other)
                if found and found.index == origin.index and kept.exists() and others.exists():
                    return _compare_tensors(kept, others)
        return None


def _compare_tensors(one: Path, other: Path) -> OpDifference:
    """In a process of the telling side, which has NumPy."""
    words = module_command("harness.analysis.op_difference", str(one), str(other))
    done = subprocess.run(words, check=True, capture_output=True, env=environment({}))
    return OpDifference(**json.loads(done.stdout))


def _extend_earlier(window: tuple[int, int]) -> tuple[int, int]:
    return window[0] // 2, window[1]


def _extend_later(window: tuple[int, int]) -> tuple[int, int]:
    return window[0], window[1] + (window[1] - window[0] + 1)
