"""Progress of a study on standard error: a bar in a terminal, else a line every 30 s."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from harness.core.record import RunRecord
from harness.core.spec import Kind, RunSpec

# First guesses, replaced by measured times once some runs are done.
WARM_S = 1.5  # importing torch on one core
TRAIN_S = 0.6  # one training of a shipped scenario
LINE_EVERY_S = 30.0  # without a terminal
REFRESH_EVERY_S = 0.5


def estimate_s(runs: Sequence[RunSpec], cores: int) -> float:
    """Seconds that the runs are expected to take, before any of them has been measured."""
    trainings = sum(
        spec.repeats if spec.kind is Kind.trace else max(1, 2 * len(spec.arms)) for spec in runs
    )
    imports = sum(not spec.forked for spec in runs) + len({spec.number for spec in runs})
    return imports * WARM_S / max(1, cores) + trainings * TRAIN_S


def format_duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"


@dataclass
class Display:
    """Counts finished runs and estimates the time left, at almost no cost to the parent."""

    total: int
    done: int
    guess_s: float
    deadline: float = math.inf  # time.monotonic() after which no run is started
    console: Console = field(default_factory=lambda: Console(stderr=True))

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        self.first = self.done
        self.last_shown = self.began
        self.doing = ""
        self.bar: Progress | None = None
        self.task = TaskID(0)
        if self.console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.completed}/{task.total} runs"),
                BarColumn(),
                TextColumn("{task.fields[left]} left"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[doing]}"),
                console=self.console,
                auto_refresh=False,
                transient=True,
            )
            self.task = self.bar.add_task(
                "", total=self.total, completed=self.done, left=self._time_left(), doing=""
            )

    def __enter__(self) -> Display:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def finished(self, record: RunRecord) -> None:
        self.done += 1
        self.doing = record.spec.cell.id
        self.tick()

    def tick(self) -> None:
        """Updates the bar at most every REFRESH_EVERY_S, or prints a line every LINE_EVERY_S."""
        now = time.monotonic()
        every = REFRESH_EVERY_S if self.bar else LINE_EVERY_S
        if now - self.last_shown < every:
            return
        self.last_shown = now
        if self.bar:
            left = self._time_left()
            self.bar.update(
                self.task, total=self.total, completed=self.done, left=left, doing=self.doing
            )
            self.bar.refresh()
        else:
            print(
                f"{self.done}/{self.total} runs, {self._time_left()} left",
                file=sys.stderr,
                flush=True,
            )

    def _time_left(self) -> str:
        now = time.monotonic()
        done, to_do = self.done - self.first, self.total - self.done
        left = (now - self.began) / max(1, done) * to_do
        if done < 5:  # too few to extrapolate from
            left = self.guess_s * to_do / max(1, self.total - self.first)
        return format_duration(max(0.0, min(left, self.deadline - now)))
