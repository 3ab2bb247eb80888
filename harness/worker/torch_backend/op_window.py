"""The operations run: train to the end of a window of steps and log the operations in it."""

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
    kept: dict[str, Tensor]  # output tensors of operation ``spec.keep``
    final: dict[str, str]  # outcome digests if ``spec.to_end``, else empty


def log_window(
    spec: RunSpec, states: Path, in_child: Callable[[], None] | None = None
) -> WindowLog:
    """Log the steps of ``spec.window``; raises UsageError if the training ends before it begins."""
    assert spec.window is not None
    device = torch.device(spec.cell.device)
    first, last = spec.window
    recorder = OpRecorder(spec.keep)
    release_memory(device)
    with recorder.record_step(0) if first == 0 else nullcontext():
        training = build_training(spec, device, in_child)
    batches = iter(training.batches())
    if first > 1:
        saved = op_log.state_path(states, spec.cell.id, first)
        training, batches = _advance_to(first, training, batches, spec, saved)
    recorder.name_modules(training)
    begins = {str(first): state_digest(training) if first else ""}  # no state before the build
    loss = None
    for number in count(max(1, first)):
        if number > last and not spec.to_end:
            break
        with recorder.record_step(number) if number <= last else nullcontext():
            batch = next(batches, None)
            if batch is None:
                break
            recorder.begin_step()
            loss = training.step(batch)
    if loss is None and first > 0:
        raise window_error(spec.window, first - 1)
    final = {}
    if spec.to_end and loss is not None:
        final = components.final_digests(training, loss.detach(), training.evaluate())
    return WindowLog(OpLog(spec.run_id, begins, recorder.operations), recorder.kept, final)


def window_error(window: tuple[int, int], steps: int) -> UsageError:
    return UsageError(
        f"the window {window[0]}-{window[1]} begins after the last step, {steps}: "
        "choose an earlier diagnose.window"
    )


def _advance_to(
    step: int, training: Training, batches: Iterator[Any], spec: RunSpec, saved: Path
) -> tuple[Training, Iterator[Any]]:
    """Return the training before ``step``, from its saved state or else trained from the start.

    The first run saves the state. A training of several processes always starts from the
    beginning, because the other ranks would wait for the skipped steps.
    """
    is_alone = not torch.distributed.is_initialized()
    if is_alone and saved.exists():
        if restore_checkpoint(saved, training, batches) == state_digest(training):
            return training, batches
        training = build_training(
            spec, torch.device(spec.cell.device)
        )  # the checkpoint lacks state
        batches = iter(training.batches())
    history = GeneratorHistory()
    for number in range(1, step):
        history.record()
        batch = next(batches, None)
        if batch is None:
            assert spec.window is not None
            raise window_error(spec.window, number - 1)
        training.step(batch)
    if is_alone and not saved.exists():
        save_checkpoint(saved, training, history, state_digest(training))
    return training, batches


def state_digest(training: components.TrainingState) -> str:
    """Return the digest of all that the next step depends on, except the program's own state."""
    tensors = [
        *components.params(training),
        *components.buffers(training),
        *components.grads(training),
    ]
    values = {"rng": components.rng(), "optimizer": components.optimizer(training)}
    return digest(tensors, values)
