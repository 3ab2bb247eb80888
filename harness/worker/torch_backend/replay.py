"""The replay run: a training saved before one of its steps, or gone on with from there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.core import op_log
from harness.core.record import Components, Repeat
from harness.core.spec import RunSpec
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


def run_replay(spec: RunSpec, folder: Path) -> Repeat:
    """Of the steps that this process makes. A saving run tells in its facts what it has saved."""
    assert spec.begin is not None
    device = torch.device(spec.cell.device)
    path = op_log.state_path(folder, spec.cell.id, spec.begin)
    release_memory(device)
    training = build_training(spec, device)
    initial = digest([*components.params(training), *components.buffers(training)])
    if spec.parts is None:
        recorder = GeneratorHistory()
        batches = _record_generators(training.batches(), recorder)
        made = list(digest_steps(training, islice(batches, spec.begin - 1)))
        save_checkpoint(path, training, recorder, state_digest(training))
        return _build_repeat(initial, made, training, {"parts": checkpoint_parts(path)})
    batches = iter(training.batches())
    restore_checkpoint(path, training, batches, spec.parts)
    return _build_repeat(initial, list(digest_steps(training, batches)), training, {})


def _record_generators(batches: Iterator[Any], recorder: GeneratorHistory) -> Iterator[Any]:
    """Where the generators stood before each batch is kept."""
    while True:
        recorder.record()
        try:
            yield next(batches)
        except StopIteration:
            return


def _build_repeat(
    initial: str, made: list[tuple[Components, Tensor]], training: Training, facts: dict[str, Any]
) -> Repeat:
    if not made:
        raise ValueError(
            "a replay needs a step before and a step after it was saved: move "
            "replay.step, or have the training make more steps"
        )
    evaluation = training.evaluate()
    return Repeat(
        initial=initial,
        steps=[step for step, _ in made],
        losses=[mean_loss(loss) for _, loss in made],
        final=components.final_digests(training, made[-1][1], evaluation),
        predictions=[],
        accuracy=evaluation.accuracy,
        facts=facts,
    )
