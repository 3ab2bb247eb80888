"""The frameworks that a scenario can use, and what each one requires."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.core.record import RunRecord
from harness.core.spec import Cell

# Read when cuBLAS first computes, so a forked child can set it; others when a process starts.
LATE_VARIABLES = ("CUBLAS_WORKSPACE_CONFIG",)
OLD_FORK_SERVERS = 2  # for each environment, when records did not name them yet


@dataclass(frozen=True)
class Framework:
    packages: tuple[str, ...]  # that must be importable
    extra: str | None = None  # that installs them; None if the harness itself does
    environment: dict[str, str] = field(default_factory=dict)  # must be set before the start
    one_training_per_process: bool = False
    fork_server: str | None = None  # module that forks workers; None: each is spawned
    times_blocks: bool = False  # one process can time several cells in turn
    logs_operations: bool = True  # as dispatched by torch
    merges_settings: bool = True  # that differ only in switches without effect

    def repeats(self, requested: int) -> int:
        """Return how many of the requested repeats one process can run."""
        return 1 if self.one_training_per_process else requested

    @property
    def missing(self) -> str | None:
        """Why scenarios of this framework cannot run in this Python; None if they can."""
        if all(importlib.util.find_spec(package) for package in self.packages):
            return None
        return f"extra '{self.extra}' not installed"


FRAMEWORKS = {
    "torch": Framework(
        packages=("torch",),
        fork_server="harness.worker.torch_backend.fork_server",
        times_blocks=True,
    ),
    # What a script consults is unknown.
    "script": Framework(("torch",), one_training_per_process=True, merges_settings=False),
    "keras": Framework(
        packages=("keras", "tensorflow"),
        extra="keras",
        logs_operations=False,
        environment={
            "KERAS_BACKEND": "tensorflow",
            "KERAS_HOME": os.devnull,  # otherwise ~/.keras/keras.json sets precision and layout
            "PYTHONDONTWRITEBYTECODE": "1",  # for the files that AutoGraph generates in /tmp
            "TF_CPP_MIN_LOG_LEVEL": "2",  # errors only; otherwise each log lists the CPU's features
        },
    ),
}


def can_fork(cell: Cell) -> bool:
    """Whether runs of a cell can be forked; those of scripts and Keras are always spawned.

    So are those of a perturbation, whose processes may have to be started in another way.
    """
    return FRAMEWORKS[cell.scenario.framework].fork_server is not None and cell.perturbed is None


def independent_runs(runs: Sequence[RunRecord], forked: bool = False) -> int:
    """How many of a cell's runs are independent evidence that a fresh process agrees.

    Runs forked from one server share its hash seed and address layout: they count as one.
    ``forked`` is for studies of earlier versions, whose forked runs do not name their server.
    """
    servers = {run.server for run in runs if run.server is not None}
    if forked and not servers:
        return min(len(runs), OLD_FORK_SERVERS)
    return len(servers) + sum(run.server is None for run in runs)


def environment_of(cell: Cell) -> dict[str, str]:
    """Return the variables that the framework, the setting and a script's options require."""
    is_script = cell.scenario.framework == "script"
    return {
        **(_script_environment(cell) if is_script else {}),
        **FRAMEWORKS[cell.scenario.framework].environment,
        **cell.determinism.environment(),
    }


def _script_environment(cell: Cell) -> dict[str, str]:
    options = cell.scenario.options
    return {
        # a script chooses its own device among those that are visible
        **({"CUDA_VISIBLE_DEVICES": ""} if cell.device == "cpu" else {}),
        **({"OMP_NUM_THREADS": "1"} if options["processes"] > 1 else {}),  # as torchrun does
        **{name: str(value) for name, value in (options["environment"] or {}).items()},
    }
