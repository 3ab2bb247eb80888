"""The interface between a run and its framework: code above it imports neither torch nor Keras."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from harness.core.record import Repeat, Timed
from harness.core.spec import RunSpec, Scenario

# Imported by name, so that the worker of one framework never imports another.
MODULES = {
    "torch": "harness.worker.torch_backend.backend",
    "script": "harness.worker.script_backend.backend",
    "keras": "harness.worker.keras_backend.backend",
}


@dataclass(frozen=True)
class TimedRun:
    timed: Timed
    setup_s: float | None  # None if others prepared the process
    # MiB, read before evaluation and digests, which may need more; None if others share the process
    peak_mb: float | None


@dataclass(frozen=True)
class BlockArm:
    """What a block found about one of its arms: a timed run, or the error that ended it."""

    run: TimedRun | None = None
    error: Exception | None = None
    effective: dict[str, Any] = field(default_factory=dict)  # settings, as in Backend
    threads: int | None = None


class Backend(Protocol):
    """The names that a backend module defines. ``study`` is the study's folder."""

    # Errors for an operation without a deterministic implementation; group 1 is the operation.
    REFUSALS: tuple[re.Pattern[str], ...]

    def warm_up(self) -> None:
        """Import what the first training would import; draw nothing, create no device context."""

    def load_scenario(self, scenario: Scenario) -> None:
        """Import the scenario's program, unless importing it has side effects."""

    def run_trace(self, spec: RunSpec, study: Path) -> Repeat:
        """Train once from a full reset, digest every step, and save parameter snapshots."""

    def run_timing(self, spec: RunSpec, study: Path) -> TimedRun:
        """Train once with a clock around it; compute digests only after the clock has stopped."""

    def run_block(self, spec: RunSpec) -> list[BlockArm]:
        """Time the arms of a run in turn. Only if the framework ``times_blocks``."""

    def run_operations(self, spec: RunSpec, study: Path, repeat: int) -> dict[str, str]:
        """Train once and log the operations of ``spec.window``.

        Returns the outcome digests by component, or an empty dictionary unless ``spec.to_end``.
        Raises UsageError if the backend cannot log operations.
        """

    def run_replay(self, spec: RunSpec, study: Path) -> Repeat:
        """Save a training before step ``spec.begin``, or resume it from there.

        Raises UsageError if the training's state cannot be saved from outside.
        """

    def effective_settings(self) -> dict[str, Any]:
        """Return the switches in effect, keyed by the field names of Determinism."""

    def threads(self) -> int: ...


def load_backend(name: str) -> Backend:
    return cast(Backend, importlib.import_module(MODULES[name]))
