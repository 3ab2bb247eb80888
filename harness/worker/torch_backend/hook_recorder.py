"""Records the operations in a window of steps of a training observed through hooks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn

from harness.core.op_log import OpLog
from harness.worker.torch_backend.hooks import TrainingHooks
from harness.worker.torch_backend.op_recorder import OpRecorder
from harness.worker.torch_backend.op_window import state_digest, window_error


class HookRecorder:
    """Observes a training from its start, because its state cannot be restored from outside.

    Step 0 is everything before the first forward of a model.
    """

    def __init__(
        self,
        window: tuple[int, int],
        keep: int | None = None,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        """Record steps ``window[0]`` to ``window[1]``; ``at_end`` is called after the last one."""
        self.window, self.at_end = window, at_end
        self.recorder, self.hooks = OpRecorder(keep), TrainingHooks()
        self.threads = {threading.get_ident()}  # in which operations are recorded
        self.begins = {"0": ""} if window[0] <= 1 else {}
        self.recorder.step, self.recorder.phase = 0, "build"
        self.recorder.is_on = window[0] <= 1

    @contextmanager
    def install(self) -> Iterator[None]:
        with (
            self.hooks.install(after_step=self.after_step, at_forward=self.at_forward),
            self.recorder,
        ):
            yield

    def at_forward(self, model: nn.Module) -> None:  # noqa: ARG002
        if threading.get_ident() not in self.threads:  # the script trains in a thread of its own
            self.threads.add(threading.get_ident())
            self.recorder.record_thread()
        self.recorder.name_modules(self.hooks)
        if self.hooks.steps == 0:
            self.recorder.step = 1
        self.recorder.phase = "forward"

    def after_step(self) -> None:
        first, last = self.window
        steps = self.hooks.steps
        if steps == first - 1:
            self.begins[str(first)] = state_digest(self.hooks)
            self.recorder.is_on = True
        self.recorder.step, self.recorder.phase = steps + 1, "data"
        if steps >= last and self.recorder.is_on:
            self.recorder.is_on = False
            self.at_end()

    def check(self) -> None:
        """Raises UsageError if the training ended before the window began.

        A program that does not train is recorded as a whole.
        """
        if self.hooks.steps < self.window[0] and self.window[0] > 1:
            raise window_error(self.window, self.hooks.steps)

    def log(self, run_id: str) -> OpLog:
        return OpLog(run_id, self.begins, self.recorder.operations)
