"""The trace run: the training watched from outside, step by step, and never timed."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.core.record import Components, Repeat, number
from harness.core.spec import RunSpec
from harness.scenario import Evaluation, Training
from harness.worker.torch_backend import components, snapshot
from harness.worker.torch_backend.digest import digest
from harness.worker.torch_backend.training import prepared


def traced(spec: RunSpec, device: torch.device, snapshots: Path) -> Repeat:
    """One training from a full reset: everything built anew, the setting applied again."""
    reset(device)
    training = prepared(spec, device)
    initial = digest([*components.params(training), *components.buffers(training)])
    steps: list[Components] = []
    losses: list[Tensor] = []
    kept: dict[str, str] = {}
    for step, loss in steps_of(training, training.batches()):
        steps.append(step)
        losses.append(loss)
        if snapshot.is_due(len(steps)):
            kept[str(len(steps))] = snapshot.keep(training, snapshots)
    if not steps:
        raise ValueError("the training made no step: give it more steps, epochs or data")
    if not snapshot.is_due(len(steps)):
        kept[str(len(steps))] = snapshot.keep(training, snapshots)
    evaluation = training.evaluate()
    return Repeat(
        initial=initial,
        steps=steps,
        losses=[scalar(loss) for loss in losses],
        final=components.final(training, losses[-1], evaluation),
        predictions=predictions(evaluation),
        accuracy=evaluation.accuracy,
        facts=training.facts(),
        snapshots=kept,
    )


def steps_of(training: Training, batches: Iterator[Any]) -> Iterator[tuple[Components, Tensor]]:
    """The digests of each step, when it is done, with its loss."""
    rng_before = components.rng()
    for batch in batches:
        loss = training.step(batch).detach()  # its graph would keep the step's memory
        yield components.of_step(training, rng_before, batch, loss), loss
        rng_before = components.rng()


def reset(device: torch.device) -> None:
    """Frees the last repeat's training; generators are the setting's to touch, or not."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def scalar(loss: Tensor) -> float | str:
    """The step's loss as one number; several losses (two models) give their mean."""
    return number(loss.double().mean().item())


def predictions(evaluation: Evaluation) -> list[float | int | str]:
    values = evaluation.predictions.cpu()
    if values.is_floating_point():
        return [number(value) for value in values.double().tolist()]
    return values.tolist()
