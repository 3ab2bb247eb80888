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
from harness.worker.torch_backend.checkpoint import Recorder, parts_of, restore, save
from harness.worker.torch_backend.digest import digest
from harness.worker.torch_backend.op_window import whole_state
from harness.worker.torch_backend.trace import reset, scalar, steps_of
from harness.worker.torch_backend.training import prepared


def replayed(spec: RunSpec, folder: Path) -> Repeat:
    """Of the steps that this process makes. A saving run tells in its facts what it has saved."""
    assert spec.begin is not None
    device = torch.device(spec.cell.device)
    path = op_log.state_path(folder, spec.cell.id, spec.begin)
    reset(device)
    training = prepared(spec, device)
    initial = digest([*components.params(training), *components.buffers(training)])
    if spec.parts is None:
        recorder = Recorder()
        batches = noted(training.batches(), recorder)
        made = list(steps_of(training, islice(batches, spec.begin - 1)))
        save(path, training, recorder, whole_state(training))
        return repeat(initial, made, training, {"parts": parts_of(path)})
    batches = iter(training.batches())
    restore(path, training, batches, spec.parts)
    return repeat(initial, list(steps_of(training, batches)), training, {})


def noted(batches: Iterator[Any], recorder: Recorder) -> Iterator[Any]:
    """Where the generators stood before each batch is kept."""
    while True:
        recorder.note()
        try:
            yield next(batches)
        except StopIteration:
            return


def repeat(
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
        losses=[scalar(loss) for _, loss in made],
        final=components.final(training, made[-1][1], evaluation),
        predictions=[],
        accuracy=evaluation.accuracy,
        facts=facts,
    )
