"""Runs of Keras' scenarios: what harness/worker/backend.py asks for; torch's are alike."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from harness.core.errors import UsageError
from harness.core.record import Components, Repeat, Timed, number
from harness.core.spec import RunSpec, Scenario
from harness.host.system_load import resident_mb
from harness.keras_scenario import Context, Evaluation, Training
from harness.worker import scenario_loader
from harness.worker.backend import TimedRun
from harness.worker.keras_backend import components, settings
from harness.worker.keras_backend.settings import effective, threads
from harness.worker.snapshot_policy import is_due
from harness.worker.timing import Clock, elapsed, read

__all__ = ["REFUSALS", "effective", "replayed", "threads", "timed", "traced", "warm", "watched"]

# TensorFlow has no one sentence for an operation without a deterministic version; these are its
# kernels' and its Python side's.
REFUSALS = (
    re.compile(r"[Dd]eterministic GPU implementation of ([^,]+?)(?:,| is | not )"),
    re.compile(r"GPU implementation of (\S+) that would have been executed is not deterministic"),
    re.compile(r"(\S+) cannot be called when determinism is enabled"),
    re.compile(r"([Rr]andom ops) require a seed to be set when determinism is enabled"),
)


def warm(asked: Scenario) -> None:
    """Importing this file was all of Keras: it and TensorFlow load nothing later that is slow."""
    scenario_loader.load(asked)


def traced(spec: RunSpec, snapshots: Path) -> Repeat:
    """One training from a full reset: everything built anew, the setting applied again."""
    training = begun(spec)
    initial = components.digest([*components.params(training), *components.buffers(training)])
    steps: list[Components] = []
    losses: list[float | str] = []
    kept: dict[str, str] = {}
    rng_before = components.rng(training)
    loss = None
    for batch in training.batches():
        loss = training.step(batch)
        steps.append(components.of_step(training, rng_before, batch, loss))
        losses.append(scalar(loss))
        if is_due(len(steps)):
            kept[str(len(steps))] = components.keep(training, snapshots)
        rng_before = components.rng(training)
    if not steps:
        raise ValueError("the training made no step: give it more steps, epochs or data")
    if not is_due(len(steps)):
        kept[str(len(steps))] = components.keep(training, snapshots)
    evaluation = training.evaluate()
    return Repeat(
        initial=initial,
        steps=steps,
        losses=losses,
        final=components.final(training, loss, evaluation),
        predictions=predictions(evaluation),
        accuracy=evaluation.accuracy,
        facts=training.facts(),
        snapshots=kept,
    )


def timed(spec: RunSpec) -> TimedRun:
    """Nothing is digested before the clock has stopped."""
    began = time.perf_counter()
    training = begun(spec)
    setup_s = time.perf_counter() - began
    synchronise = tf.test.experimental.sync_devices  # returns at once where nothing is under way
    reading = read(training, spec.warmup, Clock(time.perf_counter, elapsed, synchronise))
    peak = peak_mb(spec.cell.device)
    evaluation = training.evaluate()
    return TimedRun(
        setup_s=setup_s,
        peak_mb=peak,
        timed=Timed(
            counted_s=reading.counted_s,
            counted_steps=reading.counted_steps,
            step_s=reading.step_s,
            final=components.final(training, reading.loss, evaluation),
            loss=scalar(reading.loss),
            accuracy=evaluation.accuracy,
            facts=training.facts(),
        ),
    )


def watched(spec: RunSpec, folder: Path, repeat: int) -> dict[str, str]:  # noqa: ARG001
    raise UsageError("the operations of TensorFlow are not logged: diagnose knows torch's only")


def replayed(spec: RunSpec, states: Path) -> Repeat:  # noqa: ARG001
    raise UsageError("trainings of TensorFlow are not replayed: replay knows torch's only")


def begun(spec: RunSpec) -> Training:
    """A training from a full reset: Keras counts its layers' names anew, as in a fresh process."""
    keras.utils.clear_session()
    cell = spec.cell
    settings.apply(spec.determinism, cell.device)
    training: Training = scenario_loader.build(cell.scenario, Context(cell.device))
    return training


def peak_mb(device: str) -> float:
    """Highest device memory allocated on CUDA; elsewhere the highest resident set."""
    if device.startswith("cuda"):
        used: int = tf.config.experimental.get_memory_info("GPU:0")["peak"]  # the one it sees
        return used / 2**20
    return resident_mb()


def scalar(loss: Any) -> float | str:
    """The step's loss as one number; several losses (two models) give their mean."""
    return number(float(components.array_of(loss).astype(np.float64).mean()))


def predictions(evaluation: Evaluation) -> list[float | int | str]:
    values = evaluation.predictions
    if np.issubdtype(values.dtype, np.floating):
        return [number(value) for value in values.astype(np.float64).tolist()]
    found: list[float | int | str] = values.tolist()
    return found
