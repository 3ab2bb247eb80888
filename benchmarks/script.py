"""Overhead of the hooks around a script, alternating with and without in one process, on resnet.

In torch's hooks, a timing run reads the clock once per step, and a trace run digests the step's
components.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from harness.scenarios import resnet

from benchmarks.alternate import format_ratio, ratio_of
from benchmarks.watch import plainly
from harness.scenario import Context, Supervised
from harness.worker.torch_backend import components
from harness.worker.torch_backend.hooks import TrainingHooks
from harness.worker.torch_backend.inputs import InputDigests
from harness.worker.torch_backend.timer import make_clock

CPU = torch.device("cpu")


def run() -> None:
    training = resnet.build(resnet.Options(), Context(CPU))
    timed = ratio_of(lambda: hooked(training, timing), lambda: plainly(training), 0.005, 300)
    print(f"script with a timing run's hooks / without: {format_ratio(timed)}  (upper end ≤ 1.01)")
    traced = ratio_of(lambda: hooked(training, tracing), lambda: plainly(training), 0.03, 120)
    print(f"script with a trace run's hooks / without: {format_ratio(traced)}  (≤ 1.3)")


def hooked(training: Supervised, hook: Callable[[TrainingHooks], Callable[[], None]]) -> None:
    hooks = TrainingHooks(InputDigests() if hook is tracing else None)
    with hooks.install(after_step=hook(hooks)):
        plainly(training)


def timing(hooks: TrainingHooks) -> Callable[[], None]:  # noqa: ARG001 - only reads the clock
    clock, marks = make_clock(CPU), list[float]()
    return lambda: marks.append(clock.mark())


def tracing(hooks: TrainingHooks) -> Callable[[], None]:
    rng = [components.rng()]
    inputs = hooks.inputs
    assert inputs is not None

    def after_step() -> None:
        batch = components.joint_digest(inputs.digests)
        components.step_digests(hooks, rng.pop(), batch, hooks.last_losses[0])
        rng.append(components.rng())

    return after_step
