"""The operations run: a training up to the end of its window, whose operations are logged."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import count

import torch

from harness.errors import UsageError
from harness.operations import Log
from harness.spec import RunSpec
from harness.worker import state
from harness.worker.digest import digest
from harness.worker.prepare import prepared
from harness.worker.trace import reset
from harness.worker.watch import Watch
from scenarios.base import Training


def watched(spec: RunSpec, device: torch.device) -> Log:
    """Raises UsageError where the training ends before the window begins."""
    assert spec.window is not None
    first, last = spec.window
    reset(device)
    watch = Watch()
    begins = {"0": ""} if first == 0 else {}  # before the building there is nothing of its own
    with watch.of_step(0) if first == 0 else nullcontext():
        training = prepared(spec, device)
    watch.know(training)
    batches = iter(training.batches())
    for number in count(1):
        if number > last:
            break
        if number == first:
            begins[str(number)] = whole_state(training)
        with watch.of_step(number) if number >= first else nullcontext():
            batch = next(batches, None)
            if batch is None:
                break
            with watch.step_itself():
                training.step(batch)
    if not watch.operations:
        raise UsageError(f"the window {first}-{last} begins after the last step, {number - 1}")
    return Log(spec.run_id, begins, watch.operations)


def whole_state(training: Training) -> str:
    """Everything that the next step depends on, but for what the program itself keeps."""
    tensors = [*state.params(training), *state.buffers(training), *state.grads(training)]
    plain = {"rng": state.rng(), "optimizer": state.optimizer(training)}
    return digest(tensors, plain)
