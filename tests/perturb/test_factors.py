"""Each factor is varied in a real process, reads back as varied, and is undone."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.protocol import module_command
from harness.core.spec import Cell
from harness.factors.catalog import FACTORS, beside, started
from harness.factors.factor import Group, Level, variables
from harness.study.child_process import environment
from tests.perturb.factor_process import perturbed, read
from tests.perturb.test_gpus import OF_GPUS

MakeCell = Callable[..., Cell]
# Read back from torch, which these processes do not import, or only while a training loads data.
OF_TORCH = (
    "threads",
    "instruction_set",
    "delays",
    "loader_workers",
    "loader_start",
    "prefetch",
    "first_calls",
    "openmp_schedule",
    "evaluation_batch",
    "compile_cache",
)
NEEDS_SCRIPT = ("folder",)
SETTLED = [
    name
    for name, factor in FACTORS.items()
    if name not in (*OF_TORCH, *NEEDS_SCRIPT, *OF_GPUS) and factor.group is not Group.seeds
]
EVALUATION = """
from torch.utils.data import DataLoader
loader = DataLoader(torch.arange(12.0), batch_size=4)
with torch.no_grad():
    sizes = [len(batch) for batch in loader]
assert len(sizes) == len(loader)  # by which programs divide
assert sizes[0] == loader.batch_size
assert [len(batch) for batch in loader] == [4, 4, 4]
assert len(loader) == 3
"""
COMPILED = "torch.compile(lambda x: x.sin() + 1)(torch.ones(8))"


@pytest.mark.parametrize("name", SETTLED)
def test_every_level_reads_back_as_varied(name: str, make_cell: MakeCell) -> None:
    """In the process of the run; what is changed inside it is as before at the end."""
    factor, cell = FACTORS[name], make_cell(perturbed=())
    if reason := factor.missing(cell):
        pytest.skip(f"{name}: {reason}")
    usual, after = read(
        replace(cell, determinism=replace(cell.determinism, python_hash_seed=0)), name
    )
    assert usual == after
    for level in factor.levels(cell):
        during, _ = read(perturbed(cell, name, level), name)
        assert during != usual, level.name


@pytest.mark.parametrize(
    ("name", "training", "usual", "varied"),
    [
        ("first_calls", "pass", "by the training", ["before"]),
        ("openmp_schedule", "pass", "dynamic,1", ["static,0", "guided,7"]),
        ("evaluation_batch", EVALUATION, "no pass over a DataLoader without gradients", ["2", "8"]),
        pytest.param(
            "compile_cache", COMPILED, "own", ["shared"], marks=pytest.mark.slow, id="compile_cache"
        ),
    ],
)
def test_a_level_of_a_training_reads_back(
    name: str, training: str, usual: str, varied: list[str], make_cell: MakeCell
) -> None:
    """Also that another pass over the same DataLoader, with gradients, has its own batch size."""
    cell = make_cell(perturbed=())
    assert read(cell, name, training)[0] == usual
    levels = FACTORS[name].levels(cell)
    found = [read(perturbed(cell, name, level), name, training)[0] for level in levels]
    assert found == varied


@pytest.mark.parametrize("name", ["thread_switches", "directory_order"])
def test_what_is_changed_inside_a_process_is_undone(name: str, make_cell: MakeCell) -> None:
    """At the end of the training."""
    factor, cell = FACTORS[name], make_cell(perturbed=())
    usual, _ = read(cell, name)
    for level in factor.levels(cell):
        _, after = read(perturbed(cell, name, level), name)
        assert after == usual


def fail_under(cell: Cell) -> None:
    """Raises ZeroDivisionError while a run of the cell would train."""
    with ExitStack() as stack, beside(cell):
        given = started(cell, {}, stack).variables
        assert all(Path(given[name]).is_dir() for name in ("HOME", "TMPDIR") if name in given)
        _ = 1 / 0


def test_nothing_is_left_behind(make_cell: MakeCell) -> None:
    """No neighbor, no folder, even if the run fails."""
    cell, before = make_cell(perturbed=()), set(Path(tempfile.gettempdir()).iterdir())
    neighbors = FACTORS["load"].read()
    for name in ("load", "home", "folder"):
        varied = perturbed(cell, name, FACTORS[name].levels(cell)[0])
        with pytest.raises(ZeroDivisionError):
            fail_under(varied)
    assert set(Path(tempfile.gettempdir()).iterdir()) == before
    assert FACTORS["load"].read() == neighbors


def test_a_neighbor_ends_with_its_parent() -> None:
    """Even if that is killed while neighbors load the machine."""
    code = (
        "import os, signal\n"
        "from harness.factors.load import _neighbors\n"
        "with _neighbors('cpu'): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([*module_command("")[:-2], "-c", code], env=environment({}), check=False)
    for _ in range(100):
        if FACTORS["load"].read() == "0 neighbors":
            return
        subprocess.run(["sleep", "0.1"], check=True)
    pytest.fail("a neighbor goes on")


def test_lists_of_several_factors_and_of_the_user_are_joined(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A factor that preloads a library replaces no other's, and not the user's own."""
    level = Level("one", "one", start=variables(LD_PRELOAD="/one.so", HOME="/one"))
    other = replace(level, name="two", start=variables(LD_PRELOAD="/two.so", HOME="/two"))
    clock = replace(FACTORS["clock"], levels=lambda _: [level, other])
    monkeypatch.setitem(FACTORS, "clock", clock)
    cell = make_cell(perturbed=("clock:one", "clock:two"))
    with ExitStack() as stack:
        how = started(cell, {"LD_PRELOAD": "/malloc.so", "HOME": "/user"}, stack)
    assert how.variables == {"LD_PRELOAD": "/malloc.so:/one.so:/two.so", "HOME": "/two"}


@pytest.mark.parametrize("framework", ["torch", "script"])
def test_a_longer_path_leaves_room_for_sockets(framework: str, make_cell: MakeCell) -> None:
    """Those of DataLoader workers lie in the folder of temporary files."""
    scenario = replace(make_cell().scenario, framework=framework)
    cell = replace(make_cell(perturbed=("folder:long",)), scenario=scenario)
    if reason := FACTORS["folder"].missing(cell):
        assert framework == "torch", reason
        return
    with ExitStack() as stack:
        folder = started(cell, {}, stack).variables["TMPDIR"]
        assert len(tempfile.gettempdir()) < len(folder) <= 64


def test_delays_reach_the_threads_of_torch(make_cell: MakeCell) -> None:
    """A parallel region of torch is delayed, and its result is the same."""
    if reason := FACTORS["delays"].missing(make_cell()):
        pytest.skip(reason)
    code = (
        "import torch\n"
        "from harness.factors.catalog import FACTORS\n"
        "print(torch.ones(200_000).mul(2).sum().item(), FACTORS['delays'].read())\n"
    )
    level = FACTORS["delays"].levels(make_cell())[0]
    usual, delayed = (
        subprocess.run(
            [*module_command("")[:-2], "-c", code],
            env=environment({"OMP_NUM_THREADS": "2", **variables}),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for variables in ({}, started_variables(perturbed(make_cell(), "delays", level)))
    )
    assert usual == ["400000.0", "none"]
    assert delayed == ["400000.0", "delays"]


def started_variables(cell: Cell) -> dict[str, str]:
    with ExitStack() as stack:
        return {**started(cell, {}, stack).variables}
