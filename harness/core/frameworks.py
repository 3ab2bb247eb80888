"""What a scenario may be written in, and what that needs of this machine. Standard library only."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, field

from harness.core.spec import Cell


@dataclass(frozen=True)
class Framework:
    packages: tuple[str, ...]  # what must be importable
    extra: str | None = None  # the extra that brings them, where the harness itself does not
    environment: dict[str, str] = field(default_factory=dict)  # only counts before the start
    one_training_per_process: bool = False  # a process can train only once
    logs_operations: bool = True  # as torch dispatches them

    def repeats(self, wanted: int) -> int:
        """How many trainings of those wanted fit into one process."""
        return 1 if self.one_training_per_process else wanted

    @property
    def missing(self) -> str | None:
        """Why nothing of it can run in this Python; None where it can."""
        if all(importlib.util.find_spec(package) for package in self.packages):
            return None
        return f"extra '{self.extra}' not installed"


FRAMEWORKS = {
    "torch": Framework(("torch",)),
    "script": Framework(("torch",), one_training_per_process=True),
    "keras": Framework(
        packages=("keras", "tensorflow"),
        extra="keras",
        logs_operations=False,
        environment={
            "KERAS_BACKEND": "tensorflow",
            "KERAS_HOME": os.devnull,  # ~/.keras/keras.json would set precision and layout
            "PYTHONDONTWRITEBYTECODE": "1",  # of the files that AutoGraph generates in /tmp
            "TF_CPP_MIN_LOG_LEVEL": "2",  # errors; else each log tells of the CPU's features
        },
    ),
}


def environment_of(cell: Cell) -> dict[str, str]:
    """The variables that a cell's worker begins with: its framework's and its setting's."""
    is_script = cell.scenario.framework == "script"
    own = (is_script and cell.scenario.options["environment"]) or {}
    return {
        # a script chooses its device itself, of those that it can see
        **({"CUDA_VISIBLE_DEVICES": ""} if is_script and cell.device == "cpu" else {}),
        **{name: str(value) for name, value in own.items()},
        **FRAMEWORKS[cell.scenario.framework].environment,
        **cell.determinism.environment(),
    }
