"""The pytest plugin in real pytest processes, in a folder outside this project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.testing.golden import Golden
from tests.conftest import ROOT

TESTS = """
import os
import pytest

def weights():
    import torch
    state = {"bias": torch.zeros(2), "weight": torch.arange(12.0).reshape(3, 4)}
    if "CHANGE" in os.environ:
        state["weight"][2, 1] = torch.nextafter(state["weight"][2, 1], torch.tensor(99.0))
    return state

def test_without_values():
    import sys
    parts = {"harness.testing.fixture", "harness.testing.golden"}
    assert not {"torch", "safetensors", *parts} & set(sys.modules)

def test_training(same_across_runs):
    same_across_runs("weights", weights())
    same_across_runs("steps", 3)

@pytest.mark.parametrize("size", [1, 2])
class TestSized:
    def test_size(self, size, same_across_runs):
        same_across_runs("size", float(size))

def test_that_fails(same_across_runs):
    same_across_runs("value", 1.0)
    assert "CHANGE" in os.environ
"""

MARKED = """
import random
import pytest

DRAWN_AT_THE_TOP = random.random()

@pytest.fixture
def noise():
    import torch
    return torch.rand(3)

@pytest.mark.reproducible(runs=2, threads=1)
def test_seeded(noise, same_across_runs):
    import torch
    assert torch.are_deterministic_algorithms_enabled()
    same_across_runs("noise", noise)
    same_across_runs("top", DRAWN_AT_THE_TOP)
    same_across_runs("order", list({"a", "b", "c", "d", "e", "f", "g", "h"}))

@pytest.mark.parametrize("name", ["c::d [1] "])
@pytest.mark.reproducible(2, "seed", threads=1)
def test_by_chance(name, same_across_runs):
    same_across_runs("value", {name: random.SystemRandom().random()})

@pytest.mark.reproducible(runs=2, threads=1)
def test_without_a_value():
    pass

@pytest.mark.reproducible(runs=2, threads=1)
def test_broken(same_across_runs):
    raise FileNotFoundError("the data are not there")

@pytest.mark.reproducible
def test_skipped(same_across_runs):
    pytest.skip("no such device")

@pytest.mark.skip(reason="not today")
@pytest.mark.reproducible
def test_marked_to_be_skipped(same_across_runs):
    raise AssertionError

def test_ordinary():
    pass
"""

INI = "[pytest]\nfilterwarnings = error\naddopts = --strict-markers\n"

# Load the plugin by module name, because the package may or may not be installed here.
PYTEST = [sys.executable, "-m", "pytest", "--color=no", "-p", "harness.testing.pytest_plugin"]

ENVIRONMENT = {
    **{
        name: value
        for name, value in os.environ.items()
        if name not in ("CI", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST")
    },
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
}


def run_pytest(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PYTEST, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**ENVIRONMENT, **environment},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_own.py").write_text(TESTS)
    return tmp_path


@pytest.mark.slow
def test_golden_values_are_recorded_compared_and_updated(folder: Path) -> None:
    """A passing test records its values; later runs must match until --update-golden."""
    first = run_pytest(folder)
    assert "1 failed, 4 passed" in first.stdout
    assert "test_that_fails: value" not in first.stdout
    assert "golden values recorded in __reproducible__/" in first.stdout
    assert "tests/test_own.py::test_training: weights\n" in first.stdout
    assert "tests/test_own.py::TestSized::test_size[2]: size\n" in first.stdout
    later = run_pytest(folder, "-k", "training or Sized", CI="true")
    assert later.returncode == 0, later.stdout
    assert "golden values" not in later.stdout
    changed = run_pytest(folder, "-k", "training", CHANGE="1")
    assert changed.returncode == 1
    assert (
        "weights.weight[2, 1] is 9.0 in the golden file and 9.000001 in this run, 1 ulp apart. "
        "1 of 14 elements differs, by at most 1 ulp."
    ) in changed.stdout
    assert "Recorded in the same environment (torch" in changed.stdout
    assert "pytest 'tests/test_own.py::test_training' --update-golden" in changed.stdout
    assert run_pytest(folder, "-k", "training", "--update-golden", CHANGE="1").returncode == 0
    assert run_pytest(folder, "-k", "training", CHANGE="1").returncode == 0
    golden = Golden(folder / "tests" / "test_own.py")
    entries = golden.entries()
    assert set(entries) == {"test_training", "TestSized::test_size[1]", "TestSized::test_size[2]"}
    used = {
        entry.tensors for values in entries.values() for entry in values.values() if entry.tensors
    }
    assert {path.stem for path in golden.tensors.glob("*")} == used  # the old weights are deleted


@pytest.mark.slow
def test_concurrent_processes_lose_no_value(folder: Path) -> None:
    """Two pytest processes that record into one golden file at once keep all values."""
    many = "".join(
        f"def test_{n}(same_across_runs):\n    same_across_runs('n', {n})\n" for n in range(40)
    )
    (folder / "tests" / "test_own.py").write_text(many)
    started = [
        subprocess.Popen(
            [*PYTEST, *(f"tests/test_own.py::test_{n}" for n in range(start, 40, 2))],
            cwd=folder,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
        )
        for start in range(2)
    ]
    assert [process.wait() for process in started] == [0, 0]
    assert len(Golden(folder / "tests" / "test_own.py").entries()) == 40


@pytest.mark.slow
def test_marked_tests_are_compared_across_fresh_processes(folder: Path) -> None:
    """With --reproducible, each marked test runs in fresh processes and fails if they differ."""
    (folder / "tests" / "test_own.py").write_text(MARKED)
    done = run_pytest(folder, "--reproducible", "-rA")
    output = done.stdout
    assert "3 failed, 2 passed, 2 skipped" in output, output
    assert "PASSED tests/test_own.py::test_seeded\n" in output
    assert "PASSED tests/test_own.py::test_ordinary\n" in output
    assert (
        "under determinism=seed: 1 of 2 runs differs from run 1 (2 distinct results).\n"
        "value.c::d [1]  is "
    ) in output
    assert "nothing to compare: pass at least one value to the fixture" in output
    assert "run 1 of 2: pytest exited with status 1" in output
    assert "FileNotFoundError: the data are not there" in output
    assert "no such device" in output
    assert not (folder / "tests" / "__reproducible__").exists()


@pytest.mark.slow
def test_without_the_option_a_marked_test_uses_the_golden_file(folder: Path) -> None:
    """Without --reproducible, a marked test runs once and records a golden value."""
    (folder / "tests" / "test_own.py").write_text(
        "import pytest\n"
        "@pytest.mark.reproducible(runs=2)\n"
        "def test_one(same_across_runs):\n"
        "    same_across_runs('one', 1)\n"
    )
    done = run_pytest(folder)
    assert done.returncode == 0, done.stdout
    assert "tests/test_own.py::test_one: one\n" in done.stdout
