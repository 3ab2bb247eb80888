"""Difference between two results of an operation: ``python -m harness.analysis.op_difference``.

`diagnose` calls it as a process because it does not import NumPy; the arguments are the files that
the two runs saved of the operation.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from harness.analysis.distances import Array, bit_pattern, max_ulp


def _measure_difference(first: dict[str, Array], second: dict[str, Array]) -> dict[str, Any]:
    """Count the elements whose bits differ, and measure the largest distance in ulp.

    If names or shapes differ, all elements count as differing and ``max_ulp`` is None.
    """
    elements = differing = ulp = 0
    same_shapes = {k: v.shape for k, v in first.items()} == {k: v.shape for k, v in second.items()}
    for name, a in first.items():
        elements += a.size
        if same_shapes:
            differing += int(np.count_nonzero(bit_pattern(a) != bit_pattern(second[name])))
            ulp = max(ulp, max_ulp(a, second[name]))
    if not same_shapes:
        return {"differing": elements, "elements": elements, "max_ulp": None}
    return {"differing": differing, "elements": elements, "max_ulp": ulp}


if __name__ == "__main__":
    print(json.dumps(_measure_difference(*(load_file(Path(name)) for name in sys.argv[1:3]))))
