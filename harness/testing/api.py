"""The functions ``compare_runs`` and ``assert_reproducible``."""

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
from harness.core.files import write_json
from harness.core.function_ref import FunctionRef, reference_to
from harness.core.leaf_file import FAILURE, IN_RUN, REQUEST
from harness.core.spec import Determinism
from harness.core.spec_json import to_json
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
    """Assert that ``train_fn`` returns bitwise identical results in ``runs`` fresh processes.

    Takes the same arguments as ``compare_runs`` and raises the same exceptions, and AssertionError
    if any two results differ.

    A few runs detect frequent differences but cannot rule out rare ones. If all n runs agree, the
    probability that another run differs is at most 1 - 0.05^(1/(n-1)), with 95 % confidence: 78 %
    for 3 runs, 28 % for 10, 5 % for 60.
    """
    comparison = compare_runs(train_fn, runs, determinism, threads=threads, timeout_s=timeout_s)
    if comparison.difference is not None:
        raise AssertionError(
            f"{_name_of(train_fn)} under determinism={determinism}: {comparison.describe()}"
        )


def compare_runs(
    train_fn: Callable[[], Any],
    runs: int = 3,
    determinism: str = "full",
    *,
    threads: int | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Comparison:
    """Call ``train_fn`` once in each of ``runs`` fresh processes and compare the results bitwise.

    ``train_fn`` is a module-level function without arguments. It returns tensors, NumPy arrays,
    numbers, strings, objects with a ``state_dict``, or dictionaries, lists, tuples and dataclasses
    of these.

    ``determinism`` names a setting (``python -m harness list`` shows them all). It is applied
    before the function's module is imported; seeding DataLoaders is left to the function.
    ``threads`` is the number of threads torch uses and defaults to the setting's value.
    ``timeout_s`` is the time limit for each run, in seconds.

    Runs inherit the caller's environment, except for the variables that a setting controls
    (PYTHONHASHSEED, CUBLAS_WORKSPACE_CONFIG, OMP_NUM_THREADS, MKL_NUM_THREADS,
    ATEN_CPU_CAPABILITY). They execute one after another, so they do not compete for the machine.

    Raises TypeError if a fresh process cannot find the function, or if its result is empty or has
    no defined bits; ValueError if another argument is invalid; TimeoutError, with the stacks of all
    threads, if a run exceeds ``timeout_s``; and TrainingFailedError, with the run's own traceback,
    if a run fails.
    """
    if runs < 2:
        raise ValueError(f"runs={runs}: at least 2 runs are required")
    if IN_RUN in os.environ:
        raise RuntimeError(
            "compare_runs and assert_reproducible cannot be called from within a run: this call "
            "was reached while a run imported or called its function. Move the call into a test, "
            'or under `if __name__ == "__main__":`'
        )
    target, setting = reference_to(train_fn), presets.load_preset(determinism, threads)
    with tempfile.TemporaryDirectory(prefix="harness-runs-") as scratch:
        return compare(_completed_runs(target, setting, Path(scratch), runs, timeout_s))


def _completed_runs(
    target: FunctionRef, setting: Determinism, scratch: Path, runs: int, timeout_s: float
) -> Iterator[Path]:
    """Yield the folder of each run once the run has succeeded."""
    for number in range(1, runs + 1):
        folder = scratch / f"run-{number}"
        folder.mkdir()
        write_json(folder / REQUEST, {"target": asdict(target), "determinism": to_json(setting)})
        label = f"{target.qualname} (run {number} of {runs})"
        try:
            status = fresh_process.run(PROGRAM, [], setting, folder, timeout_s)
        except TimeoutError as error:
            raise TimeoutError(f"{label} {error}") from None
        if status != 0:
            raise _build_error(label, status, folder)
        yield folder


def _build_error(label: str, status: int, folder: Path) -> Exception:
    """Build the exception for a failed run from its failure document, or else its exit status."""
    output = fresh_process.printed(folder)
    captured = f"\nCaptured output:\n{output}" if output else ""
    try:
        failure = json.loads((folder / FAILURE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return TrainingFailedError(f"{label} exited with status {status}{captured}")
    if "unusable" in failure:
        return TypeError(f"{label}: {failure['unusable']}")
    return TrainingFailedError(f"{label} raised an exception:\n{failure['traceback']}{captured}")


def _name_of(function: Callable[[], Any]) -> str:
    return getattr(function, "__qualname__", repr(function))
