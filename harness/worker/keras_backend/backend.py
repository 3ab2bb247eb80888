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
from harness.core.record import Components, Repeat, Timed, json_number
from harness.core.spec import RunSpec, Scenario
from harness.host.system_load import peak_resident_mb
from harness.keras_scenario import Context, Evaluation, Training
from harness.worker import scenario_loader
from harness.worker.backend import TimedRun
from harness.worker.keras_backend import components, settings
from harness.worker.keras_backend.settings import effective_settings, threads
from harness.worker.snapshot_policy import is_due
from harness.worker.timing import Clock, elapsed, time_steps

__all__ = [
    "REFUSALS",
    "effective_settings",
    "run_operations",
    "run_replay",
    "run_timing",
    "run_trace",
    "threads",
    "warm_up",
]

# TensorFlow has no one sentence for an operation without a deterministic version; these are its
# kernels' and its Python side's.
REFUSALS = (
    re.compile(r"[Dd]eterministic GPU implementation of ([^,]+?)(?:,| is | not )"),
    re.compile(r"GPU implementation of (\S+) that would have been executed is not deterministic"),
    re.compile(r"(\S+) cannot be called when determinism is enabled"),
    re.compile(r"([Rr]andom ops) require a seed to be set when determinism is enabled"),
)


def warm_up(asked: Scenario) -> None:
    """Importing this file was all of Keras: it and TensorFlow load nothing later that is slow."""
    scenario_loader.load_module(asked)


def run_trace(spec: RunSpec, snapshots: Path) -> Repeat:
    """One training from a full reset: everything built anew, the setting applied again."""
    training = _build_training(spec)
    initial = components.digest([*components.params(training), *components.buffers(training)])
    steps: list[Components] = []
    losses: list[float | str] = []
    kept: dict[str, str] = {}
    rng_before = components.rng(training)
    loss = None
    for batch in training.batches():
        loss = training.step(batch)
        steps.append(components.step_digests(training, rng_before, batch, loss))
        losses.append(_mean_loss(loss))
        if is_due(len(steps)):
            kept[str(len(steps))] = components.save_snapshot(training, snapshots)
        rng_before = components.rng(training)
    if not steps:
        raise ValueError("the training made no step: give it more steps, epochs or data")
    if not is_due(len(steps)):
        kept[str(len(steps))] = components.save_snapshot(training, snapshots)
    evaluation = training.evaluate()
    return Repeat(
        initial=initial,
        steps=steps,
        losses=losses,
        final=components.final_digests(training, loss, evaluation),
        predictions=_to_json_predictions(evaluation),
        accuracy=evaluation.accuracy,
        facts=training.facts(),
        snapshots=kept,
    )


def run_timing(spec: RunSpec) -> TimedRun:
    """Nothing is digested before the clock has stopped."""
    began = time.perf_counter()
    training = _build_training(spec)
    setup_s = time.perf_counter() - began
    synchronise = tf.test.experimental.sync_devices  # returns at once where nothing is under way
    reading = time_steps(training, spec.warmup, Clock(time.perf_counter, elapsed, synchronise))
    peak = _peak_mb(spec.cell.device)
    evaluation = training.evaluate()
    return TimedRun(
        setup_s=setup_s,
        peak_mb=peak,
        timed=Timed(
            counted_s=reading.counted_s,
            counted_steps=reading.counted_steps,
            step_s=reading.step_s,
            final=components.final_digests(training, reading.loss, evaluation),
            loss=_mean_loss(reading.loss),
            accuracy=evaluation.accuracy,
            facts=training.facts(),
        ),
    )


def run_operations(spec: RunSpec, folder: Path, repeat: int) -> dict[str, str]:  # noqa: ARG001
    raise UsageError("the operations of TensorFlow are not logged: diagnose knows torch's only")


def run_replay(spec: RunSpec, states: Path) -> Repeat:  # noqa: ARG001
    raise UsageError("trainings of TensorFlow are not replayed: replay knows torch's only")


def _build_training(spec: RunSpec) -> Training:
    """A training from a full reset: Keras counts its layers' names anew, as in a fresh process."""
    keras.utils.clear_session()
    cell = spec.cell
    settings.apply(spec.determinism, cell.device)
    training: Training = scenario_loader.build_scenario(cell.scenario, Context(cell.device))
    return training


def _peak_mb(device: str) -> float:
    """Highest device memory allocated on CUDA; elsewhere the highest resident set."""
    if device.startswith("cuda"):
        used: int = tf.config.experimental.get_memory_info("GPU:0")["peak"]  # the one it sees
        return used / 2**20
    return peak_resident_mb()


def _mean_loss(loss: Any) -> float | str:
    """The step's loss as one number; several losses (two models) give their mean."""
    return json_number(float(components.to_array(loss).astype(np.float64).mean()))


def _to_json_predictions(evaluation: Evaluation) -> list[float | int | str]:
    values = evaluation.predictions
    if np.issubdtype(values.dtype, np.floating):
        return [json_number(value) for value in values.astype(np.float64).tolist()]
    found: list[float | int | str] = values.tolist()
    return found
