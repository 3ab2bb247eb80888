"""A traced step against a plain one, alternating inside one process, on the resnet scenario.

Two traces: the digests of a step's components, and the log of all its operations.
"""

from __future__ import annotations

import torch

from benchmarks.alternate import in_words, ratio_of
from harness.worker import state
from harness.worker.watch import Watch
from scenarios import resnet
from scenarios.base import Context, Supervised

HALF_WIDTH = 0.03
LIMIT_S = 120.0


def run() -> None:
    training = resnet.build(resnet.Options(), Context(torch.device("cpu")))
    digested = ratio_of(lambda: by_components(training), lambda: plainly(training),
                        HALF_WIDTH, LIMIT_S)  # fmt: skip
    print(f"step with digests of its components / plain step: {in_words(digested)}  (≤ 1.15)")
    logged = ratio_of(lambda: by_operations(training), lambda: plainly(training),
                      HALF_WIDTH, LIMIT_S)  # fmt: skip
    print(f"step with its operations logged / plain step: {in_words(logged)}  (≤ 2.0)")


def plainly(training: Supervised) -> None:
    for batch in training.batches():
        training.step(batch)


def by_components(training: Supervised) -> None:
    rng = state.rng()
    for batch in training.batches():
        loss = training.step(batch)
        state.of_step(training, rng, batch, loss)
        rng = state.rng()


def by_operations(training: Supervised) -> None:
    watch = Watch()
    watch.know(training)
    batches = training.batches()
    for number in range(1, training.steps + 1):
        with watch.of_step(number):
            batch = next(batches)
            watch.step_itself()
            training.step(batch)
