"""Made-up records for tests of pure functions, and one real study that many tests read."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from filelock import FileLock

from harness.__main__ import main
from harness.core.record import Outcome, Repeat, RunRecord, Timed
from harness.core.spec import Cell, Determinism, Kind, RunSpec, Scenario
from harness.core.steps import Components, Steps

ROOT = Path(__file__).resolve().parent.parent
FORK = "launch.isolation=fork"
SMALL = ["runs.trace=2", "runs.timing=2", "timing.min_s=0.05", "study.repeat_failed=false", FORK]
ALONE = ["study.baseline=null", "study.control=null"]
TRACES_ONLY = ["runs.timing=0", *ALONE]


Main = Callable[[Sequence[str]], int]
Done = subprocess.CompletedProcess[str]


def command(*words: str, cwd: Path, program: Main = main, **environment: str) -> Done:
    """Runs a command of the program inside this process, which has imported all that it needs.

    For commands that are refused, or that only read a study; ``harness`` is the program itself.
    """
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        mock.patch.dict(os.environ, environment),
        mock.patch.object(sys, "argv", sys.argv),
    ):
        status = program(words)
    return subprocess.CompletedProcess(words, status, stdout.getvalue(), stderr.getvalue())


def harness(*words: str, cwd: Path, **environment: str) -> Done:
    """Runs the program itself, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "harness", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def study_of(done: Done, cwd: Path) -> Path:
    """The study that the last line of the output names."""
    last = done.stdout.strip().split("\n")[-1]
    assert last.startswith("study: "), done.stdout + done.stderr
    return cwd / last.removeprefix("study: ")


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real study of the positive control and a plain net under three settings.

    The processes of pytest-xdist share it: the first that needs it makes it, and each has a copy.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with FileLock(shared / "study.lock"):
        made = shared / "bench"
        if not (made / "results" / "it" / "report.html").exists():
            _make_study(made)
    return Path(shutil.copytree(made, own / "copy-of-bench")) / "results" / "it"


def _make_study(cwd: Path) -> None:
    cwd.mkdir(exist_ok=True)
    done = harness(
        "-m",
        "scenario=mlp,indexing",
        "determinism=none,seed,full",
        "scenario.steps=12",
        "study.dir=results/it",
        *SMALL,
        cwd=cwd,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr  # 1: a twin fails by chance


@pytest.fixture
def make_cell() -> Callable[..., Cell]:
    def make(setting: str = "seed", scenario: str = "mlp", **changes: object) -> Cell:
        cell = Cell(
            scenario=Scenario(scenario, scenario, {"steps": 3}, uses_loader=scenario == "loader"),
            setting=setting,
            determinism=Determinism(seed=42),
            device="cpu",
        )
        return dataclasses.replace(cell, **changes)  # type: ignore[arg-type]

    return make


def with_slow(names: Iterable[str], *slow: str) -> list[Any]:
    """The names as parameters, those that start with one of ``slow`` marked so."""
    mark = pytest.mark.slow
    return [
        pytest.param(name, marks=mark) if name.startswith(slow) else pytest.param(name)
        for name in names
    ]


def repeat(final: str = "a", steps: Sequence[str] = ("a", "a"), **changes: object) -> Repeat:
    """A training whose step digests are the given letters."""
    rows = [Components("r", "b", buffers=x, loss=x, grads=x, params=x, optimizer=x) for x in steps]
    made = Repeat(
        initial="start",
        steps=Steps.of(rows),
        losses=[1.0] * len(rows),
        final={"params": final, "predictions": final},
        predictions=[1, 2, 3, 4],
        accuracy=0.5,
        facts={},
        snapshots={"1": final},
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def trace(make_cell: Callable[..., Cell]) -> Callable[..., RunRecord]:
    """Makes a trace run with these repeats."""

    def make(number: int, *repeats: Repeat, outcome: Outcome = Outcome.ok) -> RunRecord:
        spec = RunSpec(make_cell(), Kind.trace, number, repeats=len(repeats))
        return RunRecord(spec.run_id, spec, outcome, repeats=list(repeats))

    return make


@pytest.fixture
def timing(make_cell: Callable[..., Cell]) -> Callable[..., RunRecord]:
    """Makes a timing run with this time per step and these final digests."""

    def make(block: int, step_s: float, final: str = "a", twin: bool = False) -> RunRecord:
        spec = RunSpec(make_cell(), Kind.timing, block, twin=twin, warmup=1)
        ends = {"params": final, "predictions": final}
        timed = Timed(step_s * 10, 10, [step_s] * 11, ends, 1.0, 0.5, {})
        return RunRecord(spec.run_id, spec, Outcome.ok, timed=timed, peak_mb=100.0, setup_s=0.1)

    return make


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--image", action="store_true", help="run what needs a Docker engine")
    parser.addoption("--slow", action="store_true", help="run what starts many processes")
    parser.addoption("--long", action="store_true", help="run what takes an hour")
    parser.addoption("--cluster", action="store_true", help="run what starts Slurm or Ray")
    parser.addoption("--browser", action="store_true", help="run what drives Chromium")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    targets = {
        "slow": "test-all",
        "long": "test-long",
        "browser": "test-browser",
        "cluster": "test-cluster",
    }
    for name, target in targets.items():
        if config.getoption(f"--{name}"):
            continue
        skip = pytest.mark.skip(reason=f"{name}: run by `make {target}`")
        for item in items:
            if item.get_closest_marker(name):
                item.add_marker(skip)
