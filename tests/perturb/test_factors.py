"""Each factor is varied in a real process, reads back as varied, and is undone."""

from __future__ import annotations

import glob
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.core.frameworks import environment_of
from harness.core.protocol import module_command
from harness.core.spec import Cell
from harness.core.spec_json import to_json
from harness.factors.catalog import FACTORS, beside, started
from harness.factors.factor import Group, Level, variables
from harness.study.child_process import environment

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
OF_GPUS = ("visible_gpus", "cublas_workspace", "kernel_choice")
SETTLED = [
    name
    for name, factor in FACTORS.items()
    if name not in (*OF_TORCH, *NEEDS_SCRIPT, *OF_GPUS) and factor.group is not Group.seeds
]
# Prints what a factor reads while a training runs, and after it.
READ = """
import json, sys
from harness.core.spec import Cell
from harness.factors.catalog import FACTORS, inside
cell, factor = Cell.from_json(json.loads(sys.argv[1])), FACTORS[sys.argv[2]]
if sys.argv[3]:
    import torch
with inside(cell):
    exec(sys.argv[3])
    during = factor.read()
print(json.dumps([during, factor.read()]))
"""
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
TIMED = """
x = torch.ones(256, 256, device="cuda")
torch.compile(lambda x: x @ x, mode="max-autotune-no-cudagraphs")(x)
"""


def perturbed(cell: Cell, factor: str, level: Level) -> Cell:
    determinism = cell.determinism.with_switches(level.switches)
    return replace(cell, determinism=determinism, perturbed=(f"{factor}:{level.name}",))


def read(cell: Cell, factor: str, training: str = "") -> list[str]:
    """What the factor reads in a process that is started as a run of the cell is.

    The code of a training may use torch.
    """
    interpreter = module_command("")[:-2]
    with ExitStack() as stack, beside(cell):
        how = started(cell, {}, stack)
        done = subprocess.run(
            [*how.prefix, *interpreter, "-c", READ, json.dumps(to_json(cell)), factor, training],
            env=environment({**environment_of(cell), **how.variables}),
            capture_output=True,
            text=True,
            check=True,
        )
    found: list[str] = json.loads(done.stdout)
    return found


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


@pytest.mark.parametrize("name", OF_GPUS)
def test_nothing_of_a_gpu_is_varied_on_a_cpu(name: str, make_cell: MakeCell) -> None:
    """With the reason; nor what the setting or the user's choice of a device decides."""
    factor, cell = FACTORS[name], make_cell(perturbed=())
    assert factor.missing(cell) == "the training uses no GPU"
    assert factor.missing(replace(cell, device="cuda")) == ""
    assert [level.name for level in factor.levels(cell)]


def test_what_was_chosen_for_a_gpu_is_not_varied(make_cell: MakeCell) -> None:
    """The setting chooses the workspace, and a device's number counts the visible ones."""
    cell = make_cell(perturbed=(), device="cuda:1")
    cell = replace(cell, determinism=cell.determinism.with_switches({"cublas_workspace": ":16:8"}))
    assert FACTORS["cublas_workspace"].missing(cell) == "the setting chooses it"
    assert FACTORS["visible_gpus"].missing(cell) == "cuda:1 was chosen"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device; run this on one")
@pytest.mark.parametrize(
    ("name", "training"),
    [("cublas_workspace", "pass"), ("kernel_choice", TIMED), ("visible_gpus", "pass")],
)
def test_what_is_varied_about_gpus_reads_back(
    name: str, training: str, make_cell: MakeCell
) -> None:
    """In a process that computes on one."""
    if name == "visible_gpus" and torch.cuda.device_count() < 2:
        pytest.skip("one GPU; run this with two")
    cell = make_cell(perturbed=(), device="cuda")
    usual, _ = read(cell, name, training)
    (level,) = FACTORS[name].levels(cell)
    assert read(perturbed(cell, name, level), name, training)[0] not in (usual, "")


WAITS = """
import asyncio, concurrent.futures, multiprocessing, queue, subprocess, threading, time
def waiting(wait):
    start = time.perf_counter()
    try:
        wait()
    except (TimeoutError, queue.Empty, subprocess.TimeoutExpired):
        pass
    return time.perf_counter() - start
worker = concurrent.futures.ThreadPoolExecutor(1)
waits = [
    waiting(lambda: time.sleep(0.1)),
    waiting(lambda: subprocess.run(["sleep", "60"], timeout=0.1)),
    waiting(lambda: threading.Event().wait(0.1)),
    waiting(lambda: queue.Queue().get(timeout=0.1)),
    waiting(lambda: threading.Semaphore(0).acquire(timeout=0.1)),
    waiting(lambda: multiprocessing.Semaphore(0).acquire(timeout=0.1)),
    waiting(lambda: multiprocessing.Queue().get(timeout=0.1)),
    waiting(lambda: asyncio.run(asyncio.sleep(0.1))),
    waiting(lambda: worker.submit(time.sleep, 0.5).result(timeout=0.1)),
]
assert all(0.05 < wait < 10 for wait in waits), waits
child = subprocess.run(["date", "+%s"], capture_output=True, text=True, check=True)
assert abs(int(child.stdout) - time.time()) < 10
"""


@pytest.mark.parametrize(("level", "hours"), [("ahead", 247), ("behind", -9605)])
def test_a_shifted_clock_leaves_every_wait_as_it_is(
    level: str, hours: int, make_cell: MakeCell
) -> None:
    """Also those that end at a time of day; processes that it starts have the same clock."""
    cell = make_cell(perturbed=())
    (found,) = [one for one in FACTORS["clock"].levels(cell) if one.name == level]
    assert read(perturbed(cell, "clock", found), "clock", WAITS)[0] == f"{hours} hours ahead"


@pytest.mark.parametrize("name", ["thread_switches", "directory_order"])
def test_what_is_changed_inside_a_process_is_undone(name: str, make_cell: MakeCell) -> None:
    """At the end of the training."""
    factor, cell = FACTORS[name], make_cell(perturbed=())
    usual, _ = read(cell, name)
    for level in factor.levels(cell):
        _, after = read(perturbed(cell, name, level), name)
        assert after == usual


@pytest.mark.parametrize("level", FACTORS["directory_order"].levels(None), ids=lambda one: one.name)
def test_every_way_to_list_a_folder_is_reordered(level: Level, tmp_path: Path) -> None:
    """By the os module, glob and pathlib, whose ways differ between versions of Python."""
    for number in (2, 0, 3, 1):
        (tmp_path / f"f{number}").touch()
    with level.inside():
        listed = [tmp_path.iterdir(), tmp_path.glob("*"), tmp_path.rglob("f*")]
        listed += [next(os.walk(tmp_path))[2], os.listdir(tmp_path)]  # noqa: PTH208 - one of them
        listed += [glob.glob(f"{tmp_path}/*")]  # noqa: PTH207 - as above
        listed += [[entry.name for entry in os.scandir(tmp_path)]]
        names = {" ".join(Path(entry).name for entry in entries) for entries in listed}
    assert names == {"f0 f1 f2 f3" if level.name == "sorted" else "f3 f2 f1 f0"}


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
