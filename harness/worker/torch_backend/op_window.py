"""The operations run: a training up to the end of its window, whose operations are logged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor

from harness.core import op_log
from harness.core.errors import UsageError
from harness.core.op_log import OpLog
from harness.core.spec import RunSpec
from harness.scenario import Training
from harness.worker.torch_backend import components
from harness.worker.torch_backend.checkpoint import (
    GeneratorHistory,
    restore_checkpoint,
    save_checkpoint,
)
from harness.worker.torch_backend.digest import digest
from harness.worker.torch_backend.op_recorder import OpRecorder
from harness.worker.torch_backend.trace import release_memory
from harness.worker.torch_backend.training import build_training


@dataclass(frozen=True)
class WindowLog:
    log: OpLog
    kept: dict[str, Tensor]  # what the operation gave that was asked for
    final: dict[str, str]  # outcome digests, where the training was to come to its end


def log_window(
    spec: RunSpec, states: Path, in_child: Callable[[], None] | None = None
) -> WindowLog:
    """Raises UsageError where the training ends before the window begins."""
    assert spec.window is not None
    device = torch.device(spec.cell.device)
    first, last = spec.window
    watch = OpRecorder(spec.keep)
    release_memory(device)
    with watch.record_step(0) if first == 0 else nullcontext():
        training = build_training(spec, device, in_child)
    batches = iter(training.batches())
    if first > 1:
        saved = op_log.state_path(states, spec.cell.id, first)
        training, batches = _advance_to(first, training, batches, spec, saved)
    watch.name_modules(training)
    # before the building there is nothing of its own
    begins = {str(first): "" if first == 0 else state_digest(training)}
    loss = None
    for number in count(max(1, first)):
        if number > last and not spec.to_end:
            break
        with watch.record_step(number) if number <= last else nullcontext():
            batch = next(batches, None)
            if batch is None:
                break
            watch.begin_step()
            loss = training.step(batch)
    if loss is None and first > 0:
        raise window_error(spec.window, first - 1)
    final = {}
    if spec.to_end and loss is not None:
        final = components.final_digests(training, loss.detach(), training.evaluate())
    return WindowLog(OpLog(spec.run_id, begins, watch.operations), watch.kept, final)


def window_error(window: tuple[int, int], steps: int) -> UsageError:
    return UsageError(f"the window {window[0]}-{window[1]} begins after the last step, {steps}")


def _advance_to(
    step: int, training: Training, batches: Iterator[Any], spec: RunSpec, saved: Path
) -> tuple[Training, Iterator[Any]]:
    """The training as it is before a step: from its saved state, else from its start.

    The first to come here saves it. A training of several processes goes from its start always,
    for the others would wait for steps that are left out.
    """
    is_alone = not torch.distributed.is_initialized()
    if is_alone and saved.exists():
        if restore_checkpoint(saved, training, batches) == state_digest(training):
            return training, batches
        training = build_training(spec, torch.device(spec.cell.device))  # it keeps state elsewhere
        batches = iter(training.batches())
    recorder = GeneratorHistory()
    for number in range(1, step):
        recorder.record()
        batch = next(batches, None)
        if batch is None:
            assert spec.window is not None
            raise window_error(spec.window, number - 1)
        training.step(batch)
    if is_alone and not saved.exists():
        save_checkpoint(saved, training, recorder, state_digest(training))
    return training, batches


def state_digest(training: components.TrainingState) -> str:
    """Everything that the next step depends on, but for what the program itself keeps."""
    tensors = [
        *components.params(training),
        *components.buffers(training),
        *components.grads(training),
    ]
    plain = {"rng": components.rng(), "optimizer": components.optimizer(training)}
    return digest(tensors, plain)
