"""The backend of Keras scenarios; implements the protocol of harness/worker/backend.py."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from harness.core.errors import UsageError
from harness.core.paths import snapshots_of
from harness.core.record import Repeat, Timed, json_number
from harness.core.spec import RunSpec, Scenario
from harness.core.steps import Components, Steps
from harness.host.peak_memory import peak_resident_mb
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
    "load_scenario",
    "run_operations",
    "run_replay",
    "run_timing",
    "run_trace",
    "threads",
    "warm_up",
]

# TensorFlow has no uniform error for an operation without a deterministic implementation. These
# patterns match the errors of its kernels and of its Python code.
REFUSALS = (
    re.compile(r"[Dd]eterministic GPU implementation of ([^,]+?)(?:,| is | not )"),
    re.compile(r"GPU implementation of (\S+) that would have been executed is not deterministic"),
    re.compile(r"(\S+) cannot be called when determinism is enabled"),
    re.compile(r"([Rr]andom ops) require a seed to be set when determinism is enabled"),
)


def warm_up() -> None:
    """Does nothing: this module imports all of Keras and TensorFlow that is slow to import."""


def load_scenario(scenario: Scenario) -> None:
    scenario_loader.load_module(scenario)


def run_trace(spec: RunSpec, study: Path) -> Repeat:
    """Train once from a full reset: build everything and apply the setting again."""
    snapshots = snapshots_of(study, spec.cell.id)
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
        raise ValueError("the training made no step: increase its steps, epochs or data")
    if not is_due(len(steps)):
        kept[str(len(steps))] = components.save_snapshot(training, snapshots)
    evaluation = training.evaluate()
    return Repeat(
        initial=initial,
        steps=Steps.of(steps),
        losses=losses,
        final=components.final_digests(training, loss, evaluation),
        predictions=_to_json_predictions(evaluation),
        accuracy=evaluation.accuracy,
        facts=training.facts(),
        snapshots=kept,
    )


def run_timing(spec: RunSpec, study: Path) -> TimedRun:  # noqa: ARG001
    """Train once with a clock around it; digest nothing before the clock has stopped."""
    start = time.perf_counter()
    training = _build_training(spec)
    setup_s = time.perf_counter() - start
    synchronize = tf.test.experimental.sync_devices  # returns at once if nothing is pending
    reading = time_steps(training, spec.warmup, Clock(time.perf_counter, elapsed, synchronize))
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


def run_operations(spec: RunSpec, study: Path, repeat: int) -> dict[str, str]:  # noqa: ARG001
    raise UsageError("diagnose does not support Keras scenarios: only torch operations are logged")


def run_replay(spec: RunSpec, study: Path) -> Repeat:  # noqa: ARG001
    raise UsageError("replay does not support Keras scenarios: only torch training state is saved")


def _build_training(spec: RunSpec) -> Training:
    """Build a training from a full reset; layer names count from zero as in a fresh process."""
    keras.utils.clear_session()
    cell = spec.cell
    settings.apply(spec.determinism, cell.device)
    training: Training = scenario_loader.build_scenario(cell.scenario, Context(cell.device))
    return training


def _peak_mb(device: str) -> float:
    """Peak allocated device memory on CUDA, peak resident set size elsewhere, in MiB."""
    if device.startswith("cuda"):
        # settings.apply makes one GPU visible
        peak_bytes: int = tf.config.experimental.get_memory_info("GPU:0")["peak"]
        return peak_bytes / 2**20
    return peak_resident_mb()


def _mean_loss(loss: Any) -> float | str:
    """Return the mean of a step's losses; there are several if a scenario has two models."""
    return json_number(float(components.to_array(loss).astype(np.float64).mean()))


def _to_json_predictions(evaluation: Evaluation) -> list[float | int | str]:
    values = evaluation.predictions
    if np.issubdtype(values.dtype, np.floating):
        return [json_number(value) for value in values.astype(np.float64).tolist()]
    classes: list[float | int | str] = values.tolist()
    return classes
