"""Search for the origin of a difference by logging the operations of a few steps in fresh runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from harness.core import op_log
from harness.core.frameworks import FRAMEWORKS
from harness.core.op_log import OpLog
from harness.core.protocol import module_command
from harness.core.record import Outcome, RunRecord
from harness.core.spec import Cell, Kind
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
from harness.study.child_process import environment

NOTHING_LOGGED = (
    "torch dispatched no operation in these steps, so the logs are empty. A compiled region, or "
    "another process that is not a rank of the training, did the work"
)


@dataclass
class OriginSearch:
    experiment: Experiment
    other: Cell | None = None  # every second run is one of this cell, if there is one
    failure: str = ""  # of the last logging run that failed
    saved: set[int] = field(default_factory=set)  # steps before which a run saved the state

    def find(self, judgement: Judgement) -> OriginEvidence:
        """Return the earliest origin between the first log and any other.

        Only logs whose window begins in the same state are comparable. If none are, the next window
        begins earlier; if they are but agree, it ends later.
        """
        assert judgement.first_divergence is not None
        requested = self.experiment.request.diagnose.steps
        window = requested or (judgement.first_divergence.step, judgement.first_divergence.step)
        repeats = self.experiment.repeats if judgement.verdict is Verdict.per_call else 1
        tries, most = 0, self.experiment.request.diagnose.tries
        while tries < most:
            ahead = min(self.experiment.ahead if tries else FIRST_RUNS, most - tries)
            logs = self._collect_logs(window, range(tries + 1, tries + ahead + 1), repeats)
            tries += ahead
            if not logs:
                return OriginEvidence(None, window, tries, failure=self.failure)
            if all(log.is_empty for log in logs):
                return OriginEvidence(None, window, tries, failure=NOTHING_LOGGED)
            comparable = [log for log in logs[1:] if start_equal(logs[0], log)]
            origins = [
                (origin, log) for log in comparable if (origin := earliest_origin(logs[0], log))
            ]
            if origins:
                origin, diverging = min(origins, key=lambda pair: pair[0].index)
                return OriginEvidence(
                    origin,
                    window,
                    tries,
                    tuple(surrounding_pairs(logs[0], diverging, origin)),
                    len(origins),
                    len(comparable),
                    self._measure_difference(origin, window, repeats),
                )
            if not requested:
                window = _extend_later(window) if comparable else _extend_earlier(window)
        return OriginEvidence(None, window, tries)

    def _save_state_before(self, step: int) -> None:
        """Save the state in one run; all compared runs resume from it.

        The log of the saving run is discarded: only that run still holds state that the saved one
        does not capture.
        """
        trains_once = FRAMEWORKS[self.experiment.cell.scenario.framework].one_training_per_process
        if step > 1 and not trains_once and step not in self.saved:
            self.saved.add(step)
            self._run_logs((step, step), range(1, 2), 1)

    def _collect_logs(
        self, window: tuple[int, int], numbers: range, repeats: int, keep: int | None = None
    ) -> list[OpLog]:
        self._save_state_before(window[0])
        activity = "logging operations" if keep is None else "saving the results of the origin"
        self.experiment.log(
            f"origin: {activity} in {len(numbers)} runs, steps {window[0]} to {window[1]}"
        )
        return self._run_logs(window, numbers, repeats, keep)

    def _run_logs(
        self, window: tuple[int, int], numbers: range, repeats: int, keep: int | None = None
    ) -> list[OpLog]:
        cells = [self.experiment.cell, self.other or self.experiment.cell]
        specs = [
            self.experiment.spec(
                cells[(number - 1) % 2],
                Kind.operations,
                number,
                repeats=repeats,
                window=window,
                keep=keep,
            )
            for number in numbers
        ]
        return [log for record in self.experiment.launch(specs) for log in self._read_logs(record)]

    def _read_logs(self, record: RunRecord) -> Iterator[OpLog]:
        if record.outcome is not Outcome.ok:
            self.failure = f"{record.outcome}: {record.reason}"
            self.experiment.log(f"  {self.failure}")
            return
        for repeat in range(1, record.spec.repeats + 1):
            yield op_log.pop(self.experiment.operations, record.run_id, repeat)

    def _measure_difference(
        self, origin: Origin, window: tuple[int, int], repeats: int
    ) -> OpDifference | None:
        """How far the results of the origin differ, in the first two runs that reproduce it."""
        if origin.rank or origin.kind not in (OriginKind.operation, OriginKind.uninitialized):
            return None
        logs: list[tuple[OpLog, Path]] = []
        for number in range(1, self.experiment.request.diagnose.tries + 1, 2):
            for log in self._collect_logs(window, range(number, number + 2), repeats, origin.index):
                repeat = 1 + sum(log.run_id == earlier.run_id for earlier, _ in logs)
                tensors = op_log.tensors_path(self.experiment.operations, log.run_id, repeat)
                logs.append((log, tensors))
            for (first, ours), (second, theirs) in combinations(logs, 2):
                candidate = earliest_origin(first, second)
                is_reproduced = candidate is not None and candidate.index == origin.index
                if is_reproduced and ours.exists() and theirs.exists():
                    return _compare_tensors(ours, theirs)
        return None


def _compare_tensors(first: Path, second: Path) -> OpDifference:
    """Compare two tensor files in a child process, because this package must not import NumPy."""
    words = module_command("harness.analysis.op_difference", str(first), str(second))
    done = subprocess.run(words, check=True, capture_output=True, env=environment({}))
    return OpDifference(**json.loads(done.stdout))


def _extend_earlier(window: tuple[int, int]) -> tuple[int, int]:
    return window[0] // 2, window[1]


def _extend_later(window: tuple[int, int]) -> tuple[int, int]:
    return window[0], window[1] + (window[1] - window[0] + 1)
