"""Distances between the parameters of two runs: ``python -m harness.analysis.distances``.

The study calls it between runs, so that a run's snapshots (45 MB each for a ResNet-18) can be
deleted before the next run starts.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from harness.core.files import write_json
from harness.core.paths import snapshots_of
from harness.core.record import (
    Distances,
    Repeat,
    RunRecord,
    json_number,
    load_record,
    read_distances,
)

Array = npt.NDArray[Any]
UNSIGNED = {2: np.uint16, 4: np.uint32, 8: np.uint64}


@dataclass(frozen=True)
class Distance:
    """Distance between two sets of parameters w and w1 with equal names and shapes."""

    rel_l2: float  # ||w - w1|| / ||w1||, over all parameters together, in float64
    max_ulp: int  # largest distance in units in the last place, ignoring NaNs
    differing: float  # share of elements whose bits differ, 0 to 1


def distance(reference: dict[str, Array], other: dict[str, Array]) -> Distance:
    """Return how far ``other`` is from ``reference``; ValueError if names or shapes differ."""
    if {k: v.shape for k, v in reference.items()} != {k: v.shape for k, v in other.items()}:
        raise ValueError("the two runs' parameters differ in their names or shapes")
    squares = reference_squares = 0.0
    differing = elements = 0
    ulp = 0
    for name, w1 in reference.items():
        w = other[name]
        squares += float(np.square(w.astype(np.float64) - w1.astype(np.float64)).sum())
        reference_squares += float(np.square(w1.astype(np.float64)).sum())
        differing += int(np.count_nonzero(bit_pattern(w) != bit_pattern(w1)))
        elements += w.size
        ulp = max(ulp, max_ulp(w1, w))
    rel_l2 = (squares / reference_squares) ** 0.5 if reference_squares else float(squares > 0)
    return Distance(rel_l2, ulp, differing / elements if elements else 0.0)


def max_ulp(x: Array, y: Array) -> int:
    """Return the largest elementwise distance in units in the last place, ignoring NaNs.

    ``x`` and ``y`` have equal shape and dtype. Floats map to integer positions in numerical order,
    with +0 and -0 at the same position (Dawson, "Comparing Floating Point Numbers", 2012). For
    integers, the distance is the difference.
    """
    comparable = ~(np.isnan(x) | np.isnan(y))
    if not comparable.any():
        return 0
    a, b = _ulp_positions(x[comparable]), _ulp_positions(y[comparable])
    larger, smaller = np.maximum(a, b), np.minimum(a, b)
    return (
        int((larger.astype(object) - smaller).max())
        if x.itemsize == 8
        else int((larger - smaller).max())
    )


def _ulp_positions(values: Array) -> npt.NDArray[np.int64]:
    if not np.issubdtype(values.dtype, np.floating):
        return values.astype(np.int64)
    raw = bit_pattern(values).astype(np.int64)
    sign = np.int64(1) << np.int64(8 * values.itemsize - 1)
    magnitude = raw & (sign - np.int64(1)) if values.itemsize < 8 else raw & np.int64(2**63 - 1)
    negative = np.signbit(values)
    return np.where(negative, -magnitude, magnitude)


def bit_pattern(values: Array) -> Array:
    """Return the bytes as unsigned integers, so that NaN equals itself and +0 differs from -0."""
    kind = UNSIGNED.get(values.itemsize, np.uint8)
    return np.ascontiguousarray(values).view(kind)


def _measure_trajectory(snapshots: Path, reference: Repeat, other: Repeat) -> dict[str, Any]:
    """Return the distances at each step where both trainings have a snapshot."""
    distances = {}
    for step, name in reference.snapshots.items():
        if step in other.snapshots:
            pair = [
                load_file(snapshots / f"{key}.safetensors") for key in (name, other.snapshots[step])
            ]
            distances[step] = {
                key: json_number(value) for key, value in asdict(distance(*pair)).items()
            }
    return distances


def main(study: Path, run_ids: Sequence[str]) -> None:
    """Add the distances of runs to their cells' files; each is named after its reference."""
    documents: dict[Path, Distances] = {}
    for reference_id, run_id in zip(run_ids[::2], run_ids[1::2], strict=True):
        reference, run = (_load(study / "runs" / f"{name}.json") for name in (reference_id, run_id))
        cell = run.spec.cell.id
        path = study / "runs" / f"distances-{cell}.json"
        document = documents.setdefault(path, read_distances(path))
        first = reference.repeats[0]
        with suppress(FileNotFoundError):  # a snapshot has gone: this distance stays unknown
            trajectories = [
                _measure_trajectory(snapshots_of(study, cell), first, repeat)
                for repeat in run.repeats
            ]
            document[run_id] = {"reference": first.final["params"], "repeats": trajectories}
    for path, document in documents.items():
        write_json(path, document)


@lru_cache(maxsize=4)  # the same reference again and again
def _load(path: Path) -> RunRecord:
    return load_record(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
