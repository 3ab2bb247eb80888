"""The replay run: save a training before one of its steps, or resume it from there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.core import op_log
from harness.core.paths import operations_of
from harness.core.record import Repeat
from harness.core.spec import RunSpec
from harness.core.steps import Components, Steps
from harness.scenario import Training
from harness.worker.torch_backend import components
from harness.worker.torch_backend.checkpoint import (
    GeneratorHistory,
    checkpoint_parts,
    restore_checkpoint,
    save_checkpoint,
)
from harness.worker.torch_backend.digest import digest
from harness.worker.torch_backend.op_window import state_digest
from harness.worker.torch_backend.trace import digest_steps, mean_loss, release_memory
from harness.worker.torch_backend.training import build_training


def run_replay(spec: RunSpec, study: Path) -> Repeat:
    """Return the steps that this process runs; a saving run lists the saved parts in ``facts``."""
    assert spec.begin is not None
    device = torch.device(spec.cell.device)
    path = op_log.state_path(operations_of(study), spec.cell.id, spec.begin)
    release_memory(device)
    training = build_training(spec, device)
    initial = digest([*components.params(training), *components.buffers(training)])
    if spec.parts is None:
        history = GeneratorHistory()
        batches = _record_generators(training.batches(), history)
        steps = list(digest_steps(training, islice(batches, spec.begin - 1)))
        save_checkpoint(path, training, history, state_digest(training))
        return _build_repeat(initial, steps, training, {"parts": checkpoint_parts(path)})
    batches = iter(training.batches())
    restore_checkpoint(path, training, batches, spec.parts)
    return _build_repeat(initial, list(digest_steps(training, batches)), training, {})


def _record_generators(batches: Iterator[Any], history: GeneratorHistory) -> Iterator[Any]:
    """Yield the batches and record the generator states before each fetch."""
    while True:
        history.record()
        try:
            yield next(batches)
        except StopIteration:
            return


def _build_repeat(
    initial: str, steps: list[tuple[Components, Tensor]], training: Training, facts: dict[str, Any]
) -> Repeat:
    if not steps:
        raise ValueError(
            "replay needs at least one step before and one after the checkpoint: "
            "change replay.step or train for more steps"
        )
    evaluation = training.evaluate()
    return Repeat(
        initial=initial,
        steps=Steps.of(step for step, _ in steps),
        losses=[mean_loss(loss) for _, loss in steps],
        final=components.final_digests(training, steps[-1][1], evaluation),
        predictions=[],
        accuracy=evaluation.accuracy,
        facts=facts,
    )
