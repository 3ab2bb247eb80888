"""Reproducibility as a test that fails: a function called in fresh processes, its results compared
bit by bit.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.config import presets
from harness.core.errors import TrainingFailedError
from harness.core.function_ref import FunctionRef, reference_to
from harness.core.leaf_file import FAILURE, IN_RUN, REQUEST
from harness.core.record import write_json
from harness.core.spec import Determinism, to_json
from harness.testing import fresh_process
from harness.testing.comparison import Comparison, compare

__all__ = ["Comparison", "assert_reproducible", "compare_runs"]

PROGRAM = "from harness.testing.call import main; main()"
TIMEOUT_S = 600.0


def assert_reproducible(
    train_fn: Callable[[], Any],
    runs: int = 3,
    determinism: str = "full",
    *,
    threads: int | None = None,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Raises AssertionError where fresh runs of a training differ in any bit of what it returns.

    Takes what ``compare_runs`` takes and raises what that raises. That n runs were equal bounds the
    chance that another one differs, at 95 % confidence, by 1 - 0.05^(1/(n-1)): 78 % for 3 runs,
    28 % for 10, 5 % for 60. Few runs find what differs often; they do not show that nothing does.
    """
    found = compare_runs(train_fn, runs, determinism, threads=threads, timeout_s=timeout_s)
    if found.difference is not None:
        raise AssertionError(
            f"{_name_of(train_fn)} under determinism={determinism}: {found.describe()}"
        )


def compare_runs(
    train_fn: Callable[[], Any],
    runs: int = 3,
    determinism: str = "full",
    *,
    threads: int | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Comparison:
    """Calls a module-level function without arguments once in each of ``runs`` fresh processes.

    What it returns is compared: tensors, NumPy arrays, numbers, strings, what has a state_dict, and
    dictionaries, lists, tuples and dataclasses of them. ``determinism`` names a setting
    (`python -m harness list`), which is applied before the function's module is imported; how its
    DataLoaders are seeded stays the function's own. ``threads`` is torch's number of threads, the
    setting's where not given; ``timeout_s`` holds for each run.

    The environment is the caller's, but for the variables that a setting can set (PYTHONHASHSEED,
    CUBLAS_WORKSPACE_CONFIG, OMP_NUM_THREADS, MKL_NUM_THREADS, ATEN_CPU_CAPABILITY). Runs follow one
    another, so that none computes beside another.

    Raises TypeError for a function that a fresh process cannot find and for a result without
    defined bits, ValueError for other arguments, TimeoutError with the stacks of a run that took
    too long, and TrainingFailedError with the run's own traceback where one failed.
    """
    if runs < 2:
        raise ValueError(f"runs={runs}: at least 2 are needed to compare")
    if IN_RUN in os.environ:
        raise RuntimeError(
            "a run cannot compare runs: this call was reached while a run imported "
            "or called its function; keep it in a test, or under "
            '`if __name__ == "__main__":`'
        )
    target, setting = reference_to(train_fn), presets.load_preset(determinism, threads)
    with tempfile.TemporaryDirectory(prefix="harness-runs-") as scratch:
        return compare(_completed_runs(target, setting, Path(scratch), runs, timeout_s))


def _completed_runs(
    target: FunctionRef, setting: Determinism, scratch: Path, runs: int, timeout_s: float
) -> Iterator[Path]:
    """Each run's folder when it has ended well."""
    for number in range(1, runs + 1):
        folder = scratch / f"run-{number}"
        folder.mkdir()
        write_json(folder / REQUEST, {"target": asdict(target), "determinism": to_json(setting)})
        which = f"run {number} of {runs} of {target.qualname}"
        try:
            status = fresh_process.run(PROGRAM, [], setting, folder, timeout_s)
        except TimeoutError as error:
            raise TimeoutError(f"{which}: {error}") from None
        if status != 0:
            raise _build_error(which, status, folder)
        yield folder


def _build_error(which: str, status: int, folder: Path) -> Exception:
    """What the run says of itself, else its exit status; and all that it printed."""
    text = fresh_process.printed(folder)
    printed = f"\nand had printed\n{text}" if text else ""
    try:
        said = json.loads((folder / FAILURE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return TrainingFailedError(f"{which} ended with exit status {status}{printed}")
    if "unusable" in said:
        return TypeError(f"{which}: {said['unusable']}")
    return TrainingFailedError(f"{which} raised\n{said['traceback']}{printed}")


def _name_of(function: Callable[[], Any]) -> str:
    return getattr(function, "__qualname__", repr(function))
