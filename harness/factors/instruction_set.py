"""Which vector instructions ATen, MKL and oneDNN use, as on an older CPU."""

from __future__ import annotations

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, loaded, variables

SETS = {"avx2": ("avx2", "AVX2", "AVX2"), "sse4": ("default", "SSE4_2", "SSE41")}


def _levels(_: Cell) -> list[Level]:
    return [
        Level(
            name,
            f"instructions up to {name.upper()}",
            start=variables(
                ATEN_CPU_CAPABILITY=aten, MKL_ENABLE_INSTRUCTIONS=mkl, ONEDNN_MAX_CPU_ISA=onednn
            ),
        )
        for name, (aten, mkl, onednn) in SETS.items()
    ]


def _missing(cell: Cell) -> str:
    return "the setting chooses it" if cell.determinism.cpu_capability else ""


def _read() -> str:
    torch = loaded("torch")
    return str(torch.backends.cpu.get_cpu_capability()) if torch else ""


INSTRUCTION_SET = Factor(
    "instruction_set", "CPU instruction set", Group.alone, _levels, _read, _missing
)
