"""How far two runs' results of one operation differ: python -m harness.analysis.op_difference.

Called by `diagnose`, which has no NumPy, on what both runs kept of the operation.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from harness.analysis.distances import Array, bit_pattern, max_ulp


def _measure_difference(one: dict[str, Array], other: dict[str, Array]) -> dict[str, Any]:
    """Elements whose bits differ, of how many, by how many units in the last place at most.

    Tensors of other shapes differ in all of their elements, and have no distance.
    """
    elements = differing = ulp = 0
    same_shapes = {k: v.shape for k, v in one.items()} == {k: v.shape for k, v in other.items()}
    for name, a in one.items():
        elements += a.size
        if same_shapes:
            differing += int(np.count_nonzero(bit_pattern(a) != bit_pattern(other[name])))
            ulp = max(ulp, max_ulp(a, other[name]))
    if not same_shapes:
        return {"differing": elements, "elements": elements, "max_ulp": None}
    return {"differing": differing, "elements": elements, "max_ulp": ulp}


if __name__ == "__main__":
    print(json.dumps(_measure_difference(*(load_file(Path(name)) for name in sys.argv[1:3]))))
