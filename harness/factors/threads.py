"""How many threads compute: sums are split by it, and so rounded differently."""

from __future__ import annotations

from harness.core.cores import usable_cores
from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, loaded


def _levels(cell: Cell) -> list[Level]:
    usual = cell.determinism.threads or len(usable_cores())
    numbers = sorted({1, usual - 1, usual + 1} - {0, usual})
    return [
        Level(str(number), f"{number} thread{'s' * (number != 1)}", switches={"threads": number})
        for number in numbers
    ]


def _read() -> str:
    if torch := loaded("torch"):
        return str(torch.get_num_threads())
    tensorflow = loaded("tensorflow")
    return str(tensorflow.config.threading.get_intra_op_parallelism_threads()) if tensorflow else ""


THREADS = Factor("threads", "number of threads", Group.alone, _levels, _read, keeps_threads=False)
