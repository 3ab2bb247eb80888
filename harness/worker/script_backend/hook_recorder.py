"""A training that is seen from outside, with the operations of a window of its steps logged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.core.op_log import Log
from harness.worker.script_backend.hooks import TrainingHooks
from harness.worker.torch_backend.op_recorder import OpRecorder
from harness.worker.torch_backend.op_window import past_the_end, whole_state


class HookRecorder:
    """From its start: only itself knows what it keeps, and where its first step begins."""

    def __init__(
        self,
        window: tuple[int, int],
        keep: int | None = None,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        """``at_end`` is called when the window's last step is done."""
        self.window, self.at_end = window, at_end
        self.watch, self.seen = OpRecorder(keep), TrainingHooks()
        self.begins = {"0": ""} if window[0] <= 1 else {}
        self.watch.step, self.watch.phase = 0, "build"
        self.watch.is_on = window[0] <= 1

    @contextmanager
    def looking(self) -> Iterator[None]:
        with self.seen.looking(after_step=self.after_step, at_forward=self.at_forward), self.watch:
            yield

    def at_forward(self) -> None:
        self.watch.know(self.seen)
        if self.seen.steps == 0:
            self.watch.step = 1
        self.watch.phase = "forward"

    def after_step(self) -> None:
        first, last = self.window
        done = self.seen.steps
        if done == first - 1:
            self.begins[str(first)] = whole_state(self.seen)
            self.watch.is_on = True
        self.watch.step, self.watch.phase = done + 1, "data"
        if done >= last and self.watch.is_on:
            self.watch.is_on = False
            self.at_end()

    def check(self) -> None:
        """Raises UsageError where the training has ended before the window began."""
        if self.seen.steps < max(1, self.window[0]):
            raise past_the_end(self.window, self.seen.steps)

    def log(self, run_id: str) -> Log:
        return Log(run_id, self.begins, self.watch.operations)
