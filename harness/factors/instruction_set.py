"""Which vector instructions ATen, MKL and oneDNN use, as on an older CPU.

TensorFlow computes with oneDNN, but cannot be asked which instructions that uses.
"""

from __future__ import annotations

import os

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, loaded, variables

ONEDNN = "ONEDNN_MAX_CPU_ISA"
SETS = {"avx2": ("avx2", "AVX2", "AVX2"), "sse4": ("default", "SSE4_2", "SSE41")}


def _levels(_: Cell) -> list[Level]:
    return [
        Level(
            name,
            f"instructions up to {name.upper()}",
            start=variables(
                ATEN_CPU_CAPABILITY=aten, MKL_ENABLE_INSTRUCTIONS=mkl, **{ONEDNN: onednn}
            ),
        )
        for name, (aten, mkl, onednn) in SETS.items()
    ]


def _missing(cell: Cell) -> str:
    return "the setting chooses it" if cell.determinism.cpu_capability else ""


def _read() -> str:
    if torch := loaded("torch"):
        return str(torch.backends.cpu.get_cpu_capability())
    return os.environ.get(ONEDNN, "all")


INSTRUCTION_SET = Factor(
    "instruction_set", "CPU instruction set", Group.alone, _levels, _read, _missing
)
