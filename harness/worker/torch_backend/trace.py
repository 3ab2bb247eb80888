"""The trace run: digests every step of a training from outside and is never timed."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.core.record import Repeat, json_number
from harness.core.spec import RunSpec
from harness.core.steps import Components, Steps
from harness.scenario import Evaluation, Training
from harness.worker.torch_backend import components, snapshot
from harness.worker.torch_backend.digest import digest
from harness.worker.torch_backend.training import build_training


def trace_training(spec: RunSpec, device: torch.device, snapshots: Path) -> Repeat:
    """Train from a full reset: apply the setting again and build everything anew.

    Raises ValueError if the training makes no step.
    """
    release_memory(device)
    training = build_training(spec, device)
    initial = digest([*components.params(training), *components.buffers(training)])
    steps: list[Components] = []
    losses: list[Tensor] = []
    kept: dict[str, str] = {}
    for step, loss in digest_steps(training, training.batches()):
        steps.append(step)
        losses.append(loss)
        if snapshot.is_due(len(steps)):
            kept[str(len(steps))] = snapshot.save_snapshot(training, snapshots)
    if not steps:
        raise ValueError("the training made no step: increase its steps, epochs or data")
    if not snapshot.is_due(len(steps)):
        kept[str(len(steps))] = snapshot.save_snapshot(training, snapshots)
    evaluation = training.evaluate()
    return Repeat(
        initial=initial,
        steps=Steps.of(steps),
        losses=[mean_loss(loss) for loss in losses],
        final=components.final_digests(training, losses[-1], evaluation),
        predictions=_to_json_predictions(evaluation),
        accuracy=evaluation.accuracy,
        facts=training.facts(),
        snapshots=kept,
    )


def digest_steps(training: Training, batches: Iterator[Any]) -> Iterator[tuple[Components, Tensor]]:
    """Yield the digests and the detached loss after each step."""
    rng_before = components.rng()
    for batch in batches:
        loss = training.step(batch).detach()  # its graph would keep the step's memory
        batch_digest = components.batch_digest(batch)
        yield components.step_digests(training, rng_before, batch_digest, loss), loss
        rng_before = components.rng()


def release_memory(device: torch.device) -> None:
    """Free the last repeat's training; only the setting decides whether generators are reset."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def mean_loss(loss: Tensor) -> float | str:
    """Return the loss of a step, or the mean of several losses (two models), as a JSON number."""
    return json_number(loss.double().mean().item())


def _to_json_predictions(evaluation: Evaluation) -> list[float | int | str]:
    values = evaluation.predictions.cpu()
    if values.is_floating_point():
        return [json_number(value) for value in values.double().tolist()]
    return values.tolist()
