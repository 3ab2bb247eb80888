"""A traced step compared with an untraced one, alternating in one process, on resnet.

Two kinds of trace: digests of a step's components, and a log of all its operations.
"""

from __future__ import annotations

import torch
from harness.scenarios import resnet

from benchmarks.alternate import format_ratio, ratio_of
from harness.scenario import Context, Supervised
from harness.worker.torch_backend import components
from harness.worker.torch_backend.op_recorder import OpRecorder

HALF_WIDTH = 0.03
LIMIT_S = 120.0


def run() -> None:
    training = resnet.build(resnet.Options(), Context(torch.device("cpu")))
    digested = ratio_of(
        lambda: by_components(training), lambda: plainly(training), HALF_WIDTH, LIMIT_S
    )
    print(f"step with digests of its components / plain step: {format_ratio(digested)}  (≤ 1.15)")
    logged = ratio_of(
        lambda: by_operations(training), lambda: plainly(training), HALF_WIDTH, LIMIT_S
    )
    print(f"step with its operations logged / plain step: {format_ratio(logged)}  (≤ 2.0)")


def plainly(training: Supervised) -> None:
    for batch in training.batches():
        training.step(batch)


def by_components(training: Supervised) -> None:
    rng = components.rng()
    for batch in training.batches():
        loss = training.step(batch)
        components.step_digests(training, rng, components.batch_digest(batch), loss)
        rng = components.rng()


def by_operations(training: Supervised) -> None:
    recorder = OpRecorder()
    recorder.name_modules(training)
    batches = training.batches()
    for number in range(1, training.steps + 1):
        with recorder.record_step(number):
            batch = next(batches)
            recorder.begin_step()
            training.step(batch)
