"""The one door from a run to its framework: nothing before it knows torch or Keras."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from harness.core.record import Repeat, Timed
from harness.core.spec import RunSpec, Scenario

# By name, so that a worker of one framework never imports the other.
MODULES = {
    "torch": "harness.worker.torch_backend.backend",
    "script": "harness.worker.script_backend.backend",
    "keras": "harness.worker.keras_backend.backend",
}


@dataclass(frozen=True)
class TimedRun:
    timed: Timed
    setup_s: float
    peak_mb: float  # before evaluation and digests, which may need more


class Backend(Protocol):
    """A module with these names."""

    # What it says where an operation has no deterministic version; the first group is its name.
    REFUSALS: tuple[re.Pattern[str], ...]

    def warm_up(self, scenario: Scenario) -> None:
        """Loads what a first training would load; draws nothing, makes no device context."""

    def run_trace(self, spec: RunSpec, snapshots: Path) -> Repeat:
        """One training from a full reset, watched step by step."""

    def run_timing(self, spec: RunSpec) -> TimedRun:
        """One training with a clock around it; nothing is digested before that has stopped."""

    def run_operations(self, spec: RunSpec, folder: Path, repeat: int) -> dict[str, str]:
        """One training whose operations in the window are logged, into ``folder``.

        Gives the outcome digests where the training was to come to its end.
        """

    def run_replay(self, spec: RunSpec, states: Path) -> Repeat:
        """A training saved before one of its steps, or gone on with from there.

        Raises UsageError where nothing of a training can be saved from outside.
        """

    def effective_settings(self) -> dict[str, Any]:
        """The switches in effect, under the names of Determinism's fields."""

    def threads(self) -> int: ...


def load_backend(name: str) -> Backend:
    return cast(Backend, importlib.import_module(MODULES[name]))
