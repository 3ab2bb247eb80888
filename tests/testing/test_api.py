"""Functions compared over real fresh processes: equal, differing, failing and refused ones."""

from __future__ import annotations

import functools
import os
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


def plant_an_ulp() -> list[Any]:
    """The first run leaves a mark beside its own folder; later ones find it."""
    mark = Path(os.environ["HARNESS_IN_RUN"]).parent / "mark"
    layer = nn.Linear(4, 3).double()
    if mark.exists():
        with torch.no_grad():
            layer.weight[2, 1] = torch.nextafter(layer.weight[2, 1], torch.tensor(9.0).double())
    mark.touch()
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


def gives_nothing() -> None:
    return None


def under_full() -> dict[str, Any]:
    names = ("OMP_NUM_THREADS", "PYTHONHASHSEED", "CUBLAS_WORKSPACE_CONFIG", "OF_THE_CALLER")
    values = [os.environ.get(name) for name in names]
    assert values == ["1", "42", ":4096:8", "kept"], values
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    return {"training": small_training(), "order": hash_order()}


class Holder:
    @staticmethod
    def train() -> float:
        return torch.rand(()).item()


def test_an_unseeded_training_is_told_apart_in_every_run() -> None:
    with pytest.raises(AssertionError) as raised:
        assert_reproducible(small_training, 2, "none", threads=1)
    told = str(raised.value)
    assert told.startswith(
        "small_training under determinism=none: of 2 runs 1 differs from run 1 "
        "(2 different results).\nresult.net.0.weight[0, 0] is "
    )
    assert "in run 1 and" in told
    assert "ulp apart. Of " in told


def test_a_planted_ulp_is_named_with_its_element() -> None:
    found = compare_runs(plant_an_ulp, 2, "seed", threads=1)
    assert (found.verdict, found.distinct, found.differing) == (Verdict.varies, 2, 1)
    assert found.parted == 2
    assert found.difference is not None
    assert found.difference.name == "result.1.layer.weight"
    assert found.difference.element == (2, 1)
    assert (found.difference.ulp, found.difference.max_ulp) == (1, 1)
    assert found.difference.differing == 1


def test_hash_order_is_seen_also_where_the_caller_has_a_hash_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    found = compare_runs(hash_order, 2, "seed", threads=1)
    assert found.verdict is Verdict.varies
    assert found.difference is not None
    assert found.difference.name.startswith("result.")
    assert not found.difference.is_tensor


def test_a_training_and_a_hash_order_are_equal_under_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the setting's variables and beside the caller's others."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("OF_THE_CALLER", "kept")
    found = compare_runs(under_full, 2, "full", threads=1)
    assert (found.verdict, found.runs, found.distinct) == (Verdict.identical, 2, 1)
    assert found.difference is None


def test_a_crash_is_raised_with_the_runs_own_traceback() -> None:
    with pytest.raises(TrainingFailedError) as raised:
        compare_runs(crashes, 2, threads=1)
    told = str(raised.value)
    assert told.startswith("run 1 of 2 of crashes raised\nTraceback")
    assert "in crashes" in told
    assert told.endswith(
        "FileNotFoundError: the data are not there\nand had printed\nbefore the end"
    )


def test_a_killed_run_is_told_with_what_it_printed() -> None:
    with pytest.raises(TrainingFailedError, match=r"(?s)exit status -9\nand had printed\ngoodbye$"):
        compare_runs(kills_itself, 2, threads=1)


def test_a_run_that_hangs_is_ended_and_asked_where_it_was() -> None:
    told = r"(?s)run 1 of 2 of hangs: not done after 2 s\n.*most recent call first"
    with pytest.raises(TimeoutError, match=told):
        compare_runs(hangs, 2, threads=1, timeout_s=2)


def test_a_result_that_says_nothing_is_refused() -> None:
    told = "run 1 of 2 of gives_nothing: 'result' is None, which says nothing of a training"
    with pytest.raises(TypeError, match=told):
        compare_runs(gives_nothing, 2, threads=1)


def test_what_a_fresh_process_cannot_find_is_refused_before_anything_runs() -> None:
    def closure() -> int:
        return 1

    for function, told in (
        (closure, "is a function inside a function, which a fresh process cannot find: move it"),
        (lambda: 1, "is a lambda"),
        (functools.partial(small_training), "write a module-level function"),
        (functools.wraps(hash_order)(lambda: 1), "is another object by now"),
    ):
        with pytest.raises(TypeError, match=told):
            compare_runs(function, 2)
    assert reference_to(Holder.train).qualname == "Holder.train"


def test_arguments_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="runs=1: at least 2"):
        compare_runs(small_training, 1)
    with pytest.raises(
        ValueError, match="no determinism setting 'ful': there are benchmark, cudnn"
    ):
        compare_runs(small_training, 2, "ful")


def test_a_script_compares_its_own_function(tmp_path: Path) -> None:
    """Its module is `__main__`, it has a neighbour and processes of its own, and no guard is
    forgotten silently.
    """
    (tmp_path / "neighbour.py").write_text("def value():\n    return 0.5\n")
    script = (
        "import harness\n"
        "import multiprocessing\n"
        "import sys\n"
        "from neighbour import value\n"
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
    assert "a run cannot compare runs" in bare.stderr


def test_importing_the_harness_imports_nothing_heavy() -> None:
    code = (
        "import sys, harness, harness.testing.pytest_plugin\n"
        "heavy = {'torch', 'numpy', 'omegaconf', 'hydra', 'safetensors'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 0
