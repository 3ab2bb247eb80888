"""The plugin in real pytest processes, in a folder that has never seen this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.testing.fixture import GoldenFixture, GoldenOptions
from harness.testing.golden import BadGoldenError, Golden
from tests.conftest import ROOT

TESTS = """
import os
import pytest

def weights():
    import torch
    found = {"bias": torch.zeros(2), "weight": torch.arange(12.0).reshape(3, 4)}
    if "PLANT" in os.environ:
        found["weight"][2, 1] = torch.nextafter(found["weight"][2, 1], torch.tensor(99.0))
    return found

def test_without_values():
    import sys
    ours = {"harness.testing.fixture", "harness.testing.golden"}
    assert not {"torch", "safetensors", *ours} & set(sys.modules)

def test_training(same_across_runs):
    same_across_runs("weights", weights())
    same_across_runs("steps", 3)

@pytest.mark.parametrize("size", [1, 2])
class TestSized:
    def test_size(self, size, same_across_runs):
        same_across_runs("size", float(size))

def test_that_fails(same_across_runs):
    same_across_runs("value", 1.0)
    assert "PLANT" in os.environ
"""
MARKED = """
import random
import pytest

@pytest.fixture
def drawn():
    import torch
    return torch.rand(3)

@pytest.mark.reproducible(runs=2, threads=1)
def test_seeded(drawn, same_across_runs):
    import torch
    assert torch.are_deterministic_algorithms_enabled()
    same_across_runs("drawn", drawn)
    same_across_runs("order", list({"a", "b", "c", "d", "e", "f", "g", "h"}))

@pytest.mark.parametrize("name", ["c::d [1] "])
@pytest.mark.reproducible(2, "seed", threads=1)
def test_by_chance(name, same_across_runs):
    same_across_runs("value", {name: random.SystemRandom().random()})

@pytest.mark.reproducible(runs=2, threads=1)
def test_gives_nothing():
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


# By its module's name: pytest takes a plugin once, and it may be installed here or not.
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


def test_a_value_is_recorded_then_held_and_renewed_when_asked(folder: Path) -> None:
    first = run_pytest(folder)
    assert "1 failed, 4 passed" in first.stdout
    assert "test_that_fails: value" not in first.stdout
    assert "golden values recorded in __reproducible__/" in first.stdout
    assert "tests/test_own.py::test_training: weights\n" in first.stdout
    assert "tests/test_own.py::TestSized::test_size[2]: size\n" in first.stdout
    later = run_pytest(folder, "-k", "training or Sized", CI="true")
    assert later.returncode == 0, later.stdout
    assert "golden values" not in later.stdout
    changed = run_pytest(folder, "-k", "training", PLANT="1")
    assert changed.returncode == 1
    assert (
        "weights.weight[2, 1] is 9.0 in the golden file and 9.000001 in this run, 1 ulp apart. "
        "Of 14 elements 1 differs, by at most 1 ulp."
    ) in changed.stdout
    assert "Recorded in an equal environment (torch" in changed.stdout
    assert "pytest 'tests/test_own.py::test_training' --update-golden" in changed.stdout
    assert run_pytest(folder, "-k", "training", "--update-golden", PLANT="1").returncode == 0
    assert run_pytest(folder, "-k", "training", PLANT="1").returncode == 0
    golden = Golden(folder / "tests" / "test_own.py")
    entries = golden.entries()
    assert set(entries) == {"test_training", "TestSized::test_size[1]", "TestSized::test_size[2]"}
    named = {one.tensors for values in entries.values() for one in values.values() if one.tensors}
    assert {path.stem for path in golden.tensors.glob("*")} == named  # the old weights' are gone


def test_processes_side_by_side_lose_no_value(folder: Path) -> None:
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


def test_marked_tests_are_compared_over_fresh_processes(folder: Path) -> None:
    (folder / "tests" / "test_own.py").write_text(MARKED)
    done = run_pytest(folder, "--reproducible", "-rA")
    told = done.stdout
    assert "3 failed, 2 passed, 2 skipped" in told, told
    assert "PASSED tests/test_own.py::test_seeded\n" in told
    assert "PASSED tests/test_own.py::test_ordinary\n" in told
    assert (
        "under determinism=seed, of 2 runs 1 differs from run 1 (2 different results).\n"
        "value.c::d [1]  is "
    ) in told
    assert "nothing was compared, for the test gave nothing to its fixture" in told
    assert "run 1 of 2 ended with pytest's exit status 1" in told
    assert "FileNotFoundError: the data are not there" in told
    assert "no such device" in told
    assert not (folder / "tests" / "__reproducible__").exists()


def test_without_the_option_a_marked_test_runs_once_and_remembers(folder: Path) -> None:
    (folder / "tests" / "test_own.py").write_text(
        "import pytest\n"
        "@pytest.mark.reproducible(runs=2)\n"
        "def test_one(same_across_runs):\n"
        "    same_across_runs('one', 1)\n"
    )
    done = run_pytest(folder)
    assert done.returncode == 0, done.stdout
    assert "tests/test_own.py::test_one: one\n" in done.stdout


def remembered(folder: Path, **changes: Any) -> GoldenFixture:
    terms = {
        "test": "test_a",
        "node": "test_x.py::test_a",
        "updates": False,
        "in_ci": False,
        "limit_mb": 1.0,
        **changes,
    }
    return GoldenFixture(Golden(folder / "test_x.py"), GoldenOptions(**terms))  # type: ignore[arg-type]


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., None]:
    def record(value: Any, **changes: Any) -> None:
        same = remembered(tmp_path, **changes)
        same("value", value)
        assert same.finish() == ["value"]

    return record


def test_another_torch_and_another_machine_are_named(
    tmp_path: Path, recorded: Callable[..., None]
) -> None:
    recorded(torch.tensor([1.0, 2.0]))
    path = tmp_path / "__reproducible__" / "test_x.json"
    document = json.loads(path.read_text())
    environment = document["values"]["test_a"]["value"]["environment"]
    environment |= {"torch": "2.0.0", "device": "cuda (Tesla T4)"}
    path.write_text(json.dumps(document))
    remembered(tmp_path)("value", torch.tensor([1.0, 2.0]))  # equal bits need no excuse
    with pytest.raises(AssertionError) as raised:
        remembered(tmp_path)("value", torch.tensor([1.0, 3.0]))
    assert "value[1] is 2.0 in the golden file and 3.0 in this run" in str(raised.value)
    assert (
        "Recorded in another environment, between which bits need not agree: torch was 2.0.0, "
        f"is {torch.__version__}; device was cuda (Tesla T4), is cpu"
    ) in str(raised.value)


def test_a_missing_value_fails_in_ci_and_is_recorded_there_when_asked(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"no golden value 'value' of test_a in .*commit the"):
        remembered(tmp_path, in_ci=True)("value", 1)
    assert not (tmp_path / "__reproducible__").exists()
    same = remembered(tmp_path, in_ci=True, updates=True)
    same("value", 1)
    same.finish()
    remembered(tmp_path, in_ci=True)("value", 1)


@pytest.mark.parametrize("text", ["", '{"format": 1, "val', "[]", '{"format": 1, "values": [1]}'])
@pytest.mark.parametrize("updates", [False, True])
def test_a_corrupt_golden_file_is_neither_believed_nor_overwritten(
    tmp_path: Path, recorded: Callable[..., None], text: str, updates: bool
) -> None:
    recorded(1)
    path = tmp_path / "__reproducible__" / "test_x.json"
    path.write_text(text)
    with pytest.raises(BadGoldenError, match=r"is no whole golden file .*take it from version"):
        remembered(tmp_path, updates=updates)("value", 2)
    assert path.read_text() == text


def test_a_golden_file_of_a_later_format_says_so(
    tmp_path: Path, recorded: Callable[..., None]
) -> None:
    recorded(1)
    path = tmp_path / "__reproducible__" / "test_x.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(BadGoldenError, match="has format 2, this version reads 1"):
        remembered(tmp_path)("value", 1)


@pytest.mark.parametrize(
    ("limit_mb", "why"),
    [(0.0, "the value is above golden_limit_mb"), (1.0, "is missing"), (2.0, "cannot be read")],
)
def test_without_kept_elements_the_tensor_is_named_and_why_no_more(
    tmp_path: Path, recorded: Callable[..., None], limit_mb: float, why: str
) -> None:
    recorded({"w": torch.zeros(2)}, limit_mb=limit_mb)
    for path in (tmp_path / "__reproducible__" / "test_x").glob("*"):
        path.write_text("damaged") if limit_mb == 2.0 else path.unlink()
    with pytest.raises(AssertionError) as raised:
        remembered(tmp_path)("value", {"w": torch.ones(2)})
    assert "value.w is torch.float32 of shape (2,) with digest " in str(raised.value)
    assert "Which elements differ is not known: " in str(raised.value)
    assert why in str(raised.value)


def test_a_name_is_given_once_in_a_test(tmp_path: Path) -> None:
    same = remembered(tmp_path)
    same("value", 1)
    with pytest.raises(ValueError, match="has given a value 'value' before"):
        same("value", 1)
