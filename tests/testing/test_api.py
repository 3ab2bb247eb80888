"""``compare_runs`` and ``assert_reproducible`` with real fresh processes."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness import assert_reproducible, compare_runs
from harness.core.errors import TrainingFailedError
from harness.core.function_ref import reference_to
from harness.core.verdict import Verdict
from tests.conftest import ROOT

WORDS = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"}


def small_training() -> dict[str, Any]:
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    losses = []
    for _ in range(3):
        net.zero_grad()
        loss = net(torch.randn(16, 4)).square().mean()
        loss.backward()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.sub_(0.1 * parameter.grad)
        losses.append(loss.item())
    return {"net": net, "losses": losses, "step": 3, "array": np.arange(2)}


def inject_one_ulp() -> list[Any]:
    """Change one element by 1 ulp in every run but the first, which leaves a marker file."""
    marker = Path(os.environ["HARNESS_IN_RUN"]).parent / "marker"
    layer = nn.Linear(4, 3).double()
    if marker.exists():
        with torch.no_grad():
            layer.weight[2, 1] = torch.nextafter(layer.weight[2, 1], torch.tensor(9.0).double())
    marker.touch()
    return [small_training(), {"layer": layer}]


def hash_order() -> list[str]:
    return list(WORDS)


def crashes() -> None:
    print("before the end")
    raise FileNotFoundError("the data are not there")


def kills_itself() -> None:
    print("goodbye", flush=True)
    os.kill(os.getpid(), 9)


def hangs() -> None:
    time.sleep(600)


def returns_none() -> None:
    return None


def checks_full_setting() -> dict[str, Any]:
    names = ("OMP_NUM_THREADS", "PYTHONHASHSEED", "CUBLAS_WORKSPACE_CONFIG", "CALLERS_OWN")
    values = [os.environ.get(name) for name in names]
    assert values == ["1", "42", ":4096:8", "kept"], values
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    return {"training": small_training(), "order": hash_order()}


class Holder:
    @staticmethod
    def train() -> float:
        return torch.rand(()).item()


@pytest.mark.slow
def test_an_unseeded_training_is_not_reproducible() -> None:
    """assert_reproducible fails for an unseeded training and names the first difference."""
    with pytest.raises(AssertionError) as raised:
        assert_reproducible(small_training, 2, "none", threads=1)
    message = str(raised.value)
    assert message.startswith(
        "small_training under determinism=none: 1 of 2 runs differs from run 1 "
        "(2 distinct results).\nresult.net.0.weight[0, 0] is "
    )
    assert "in run 1 and" in message
    assert re.search(r"ulp apart\. [\d,]+ of [\d,]+ elements differ, by at most ", message)


@pytest.mark.slow
def test_a_difference_of_one_ulp_is_located() -> None:
    """A difference of 1 ulp in one element is reported with the element's name and index."""
    comparison = compare_runs(inject_one_ulp, 2, "seed", threads=1)
    assert (comparison.verdict, comparison.distinct, comparison.differing) == (Verdict.varies, 2, 1)
    assert comparison.parted == 2
    assert comparison.difference is not None
    assert comparison.difference.name == "result.1.layer.weight"
    assert comparison.difference.element == (2, 1)
    assert (comparison.difference.ulp, comparison.difference.max_ulp) == (1, 1)
    assert comparison.difference.differing == 1


def test_the_callers_hash_seed_is_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set order varies between runs under `seed` even if the caller sets PYTHONHASHSEED."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    comparison = compare_runs(hash_order, 2, "seed", threads=1)
    assert comparison.verdict is Verdict.varies
    assert comparison.difference is not None
    assert comparison.difference.name.startswith("result.")
    assert not comparison.difference.is_tensor


@pytest.mark.slow
def test_runs_are_identical_under_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `full`, runs agree, with the setting's variables and the caller's other variables."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("CALLERS_OWN", "kept")
    comparison = compare_runs(checks_full_setting, 2, "full", threads=1)
    assert (comparison.verdict, comparison.runs, comparison.distinct) == (Verdict.identical, 2, 1)
    assert comparison.difference is None


@pytest.mark.slow
def test_an_exception_is_raised_with_the_runs_traceback() -> None:
    """An exception in a run raises TrainingFailedError with the run's traceback and output."""
    with pytest.raises(TrainingFailedError) as raised:
        compare_runs(crashes, 2, threads=1)
    message = str(raised.value)
    assert message.startswith("crashes (run 1 of 2) raised an exception:\nTraceback")
    assert "in crashes" in message
    assert message.endswith(
        "FileNotFoundError: the data are not there\nCaptured output:\nbefore the end"
    )


@pytest.mark.slow
def test_a_killed_run_is_reported_with_its_output() -> None:
    """A run killed by a signal raises TrainingFailedError with its exit status and output."""
    message = r"exited with status -9\nCaptured output:\ngoodbye$"
    with pytest.raises(TrainingFailedError, match=message):
        compare_runs(kills_itself, 2, threads=1)


def test_a_hanging_run_times_out_with_its_stack() -> None:
    """A run that exceeds the time limit is killed, and TimeoutError contains its stack."""
    message = r"(?s)hangs \(run 1 of 2\) timed out after 2 s\n.*most recent call first"
    with pytest.raises(TimeoutError, match=message):
        compare_runs(hangs, 2, threads=1, timeout_s=2)


@pytest.mark.slow
def test_an_empty_result_is_rejected() -> None:
    """A function that returns None raises TypeError."""
    message = (
        r"returns_none \(run 1 of 2\): 'result' is None, which says nothing about the training"
    )
    with pytest.raises(TypeError, match=message):
        compare_runs(returns_none, 2, threads=1)


def test_a_function_that_cannot_be_imported_is_rejected() -> None:
    """Closures, lambdas, partials and shadowed functions are rejected; static methods are not."""

    def closure() -> int:
        return 1

    for function, message in (
        (closure, "is a nested function, which a fresh process cannot find: move it"),
        (lambda: 1, "is a lambda"),
        (functools.partial(small_training), "write a module-level function"),
        (functools.wraps(hash_order)(lambda: 1), "is now a different object"),
    ):
        with pytest.raises(TypeError, match=message):
            compare_runs(function, 2)
    assert reference_to(Holder.train).qualname == "Holder.train"


def test_invalid_arguments_are_rejected() -> None:
    """A single run and an unknown setting raise ValueError."""
    with pytest.raises(ValueError, match="runs=1: at least 2"):
        compare_runs(small_training, 1)
    with pytest.raises(
        ValueError, match="unknown determinism setting 'ful': allowed are benchmark, cudnn"
    ):
        compare_runs(small_training, 2, "ful")


@pytest.mark.slow
def test_a_script_can_compare_its_own_function(tmp_path: Path) -> None:
    """A script with local imports and child processes works, and needs a `__main__` guard."""
    (tmp_path / "neighbor.py").write_text("def value():\n    return 0.5\n")
    script = (
        "import harness\n"
        "import multiprocessing\n"
        "import sys\n"
        "from neighbor import value\n"
        "def half(number):\n"
        "    return number * value()\n"
        "def train():\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        return pool.map(half, [1, 2])\n"
        "if __name__ == '__main__':\n"
        "    assert 'torch' not in sys.modules\n"
        "    harness.assert_reproducible(train, 2, threads=1)\n"
        "    print('reached', __name__)\n"
    )
    (tmp_path / "train.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "reached __main__\n", done.stderr
    (tmp_path / "bare.py").write_text(
        script.replace("__name__ == '__main__'", "True").replace("assert 'torch'", "#")
    )
    bare = subprocess.run(
        [sys.executable, "bare.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "compare_runs and assert_reproducible cannot be called from within a run" in bare.stderr


def test_importing_the_harness_is_cheap() -> None:
    """Importing harness and the pytest plugin imports neither torch nor NumPy nor Hydra."""
    code = (
        "import sys, harness, harness.testing.pytest_plugin\n"
        "heavy = {'torch', 'numpy', 'omegaconf', 'hydra', 'safetensors'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 0
