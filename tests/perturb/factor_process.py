"""A process that is started as a run of a perturbed cell is, to read back what was varied."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from dataclasses import replace

from harness.core.frameworks import environment_of
from harness.core.protocol import module_command
from harness.core.spec import Cell
from harness.core.spec_json import to_json
from harness.factors.catalog import beside, started
from harness.factors.factor import Level
from harness.study.child_process import environment

# Prints what a factor reads while a training runs, and after it.
READ = """
import json, sys
from harness.core.spec import Cell
from harness.factors.catalog import FACTORS, inside
cell, factor = Cell.from_json(json.loads(sys.argv[1])), FACTORS[sys.argv[2]]
if sys.argv[3]:
    import torch
with inside(cell):
    exec(sys.argv[3])
    during = factor.read()
print(json.dumps([during, factor.read()]))
"""


def perturbed(cell: Cell, factor: str, level: Level) -> Cell:
    determinism = cell.determinism.with_switches(level.switches)
    return replace(cell, determinism=determinism, perturbed=(f"{factor}:{level.name}",))


def read(cell: Cell, factor: str, training: str = "") -> list[str]:
    """What the factor reads in a process that is started as a run of the cell is.

    The code of a training may use torch.
    """
    interpreter = module_command("")[:-2]
    with ExitStack() as stack, beside(cell):
        how = started(cell, {}, stack)
        done = subprocess.run(
            [*how.prefix, *interpreter, "-c", READ, json.dumps(to_json(cell)), factor, training],
            env=environment({**environment_of(cell), **how.variables}),
            capture_output=True,
            text=True,
            check=True,
        )
    found: list[str] = json.loads(done.stdout)
    return found
