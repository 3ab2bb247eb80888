"""The plan of a study: which cells run, and in what order."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from harness.core.errors import UsageError
from harness.core.role import Role
from harness.core.spec import (
    Algorithms,
    Arm,
    Cell,
    Cudnn,
    Determinism,
    Isolation,
    Kind,
    RunSpec,
    Scenario,
)
from harness.study.plan import Plan, plan
from harness.study.request import Launch, Request, RequestedCell, Runs, Study, Timing, Trace
from harness.study.request_limits import check_request

MakeCell = Callable[..., Cell]


def make_request(
    cells: list[Cell],
    baseline: Cell | None,
    trace: int = 3,
    timing: int = 4,
    seed: int = 0,
    controls: tuple[Cell, ...] = (),
) -> Request:
    return Request(
        asked=tuple(RequestedCell(cell, baseline) for cell in cells),
        controls=controls,
        runs=Runs(trace, timing, 2),
        timing=Timing(),
        trace=Trace(),
        study=Study(seed=seed),
        launch=Launch(),
        matrix=None,
        not_for_conclusions=False,
        settings_for_cuda=("warn",),
        words=(),
    )


def make_cells(make_cell: MakeCell) -> list[Cell]:
    return [
        make_cell("full", determinism=Determinism(seed=42, python_hash_seed=1)),
        make_cell("none", determinism=Determinism()),
    ]


def make_plan(make_cell: MakeCell, **changes: int) -> Plan:
    return plan(make_request(make_cells(make_cell), make_cell("seed"), **changes), "cpu")


def timed_arms(runs: Iterable[RunSpec]) -> list[Arm]:
    """What the timing runs among these time, in order."""
    timed = [run for run in runs if run.kind is Kind.timing]
    return [arm for run in timed for arm in run.arms or (Arm(run.cell, run.twin),)]


def isolated(request: Request, isolation: Isolation, **launch: int) -> Request:
    return dataclasses.replace(request, launch=Launch(isolation=isolation, **launch))


def test_a_missing_baseline_is_added_once_with_a_twin(make_cell: MakeCell) -> None:
    """A baseline that is not among the requested cells is planned once, and only it has a twin."""
    planned = make_plan(make_cell)
    roles = {cell.cell.setting: cell.role for cell in planned.cells}
    assert roles == {"full": Role.asked, "none": Role.asked, "seed": Role.baseline}
    assert {arm.cell.setting for arm in timed_arms(planned.runs) if arm.twin} == {"seed"}


@pytest.mark.parametrize(("isolation", "processes"), [("spawn", 4), ("mixed", 1), ("fork", 1)])
def test_a_block_is_one_process_unless_every_run_is_a_fresh_interpreter(
    make_cell: MakeCell, isolation: str, processes: int
) -> None:
    """One process times a baseline, its twin and the cells that it can switch between."""
    request = make_request(make_cells(make_cell), make_cell("seed"), timing=2)
    runs = plan(isolated(request, Isolation(isolation)), "cpu").runs
    blocks = Counter(run.number for run in runs if run.kind is Kind.timing)
    assert blocks == {1: processes, 2: processes}
    assert {run.forked for run in runs if run.kind is Kind.timing} == {isolation != "spawn"}


def test_a_cell_that_needs_another_environment_is_timed_in_its_own_process(
    make_cell: MakeCell,
) -> None:
    """The instruction set of torch is fixed when a process starts."""
    slow = make_cell("slow", determinism=Determinism(seed=42, cpu_capability="default"))
    runs = plan(make_request([slow], make_cell("seed"), timing=2), "cpu").runs
    blocks = [run for run in runs if run.kind is Kind.timing and run.number == 1]
    assert sorted(len(run.arms) for run in blocks) == [0, 2]
    alone = next(run for run in blocks if not run.arms)
    assert alone.environment == {"ATEN_CPU_CAPABILITY": "default"}


@pytest.mark.parametrize(
    ("isolation", "forked"),
    [("spawn", [False] * 3), ("mixed", [False, False, True]), ("fork", [True] * 3)],
)
def test_the_first_trace_runs_of_a_cell_are_fresh_interpreters(
    make_cell: MakeCell, isolation: str, forked: list[bool]
) -> None:
    """Of three trace runs, ``mixed`` forks the one after the first ``launch.spawned``."""
    request = make_request([make_cell()], None, timing=0)
    runs = plan(isolated(request, Isolation(isolation), spawned=2), "cpu").runs
    assert [run.forked for run in runs] == forked


def test_a_budget_spares_the_trace_runs(make_cell: MakeCell) -> None:
    """Timing blocks after the third come last, if a budget may end the study before them."""
    request = make_request(make_cells(make_cell), make_cell("seed"), trace=5, timing=5)
    limited = dataclasses.replace(request, study=Study(budget_s=60))
    kinds = [(run.kind, run.number) for run in plan(limited, "cpu").runs]
    assert set(kinds[-2:]) == {(Kind.timing, 4), (Kind.timing, 5)}
    assert (Kind.timing, 3) in kinds[: kinds.index((Kind.trace, 4))]
    assert [kind for kind, _ in kinds].count(Kind.trace) == 15


def test_trace_runs_after_the_first_stage_train_once(make_cell: MakeCell) -> None:
    """Repeats tell calls from processes, which a few runs do; later runs only count processes."""
    request = make_request([make_cell()], None, trace=4, timing=0)
    staged = dataclasses.replace(request, runs=Runs(trace=4, timing=0, repeats=2, first=2))
    assert [run.repeats for run in plan(request, "cpu").runs] == [2, 2, 2, 2]
    assert [run.repeats for run in plan(staged, "cpu").runs] == [2, 2, 1, 1]


def test_every_timing_block_has_every_cell_and_twin_once(make_cell: MakeCell) -> None:
    """Each of the four timing blocks runs three cells and one twin, each exactly once."""
    for block in range(1, 5):
        runs = [run for run in make_plan(make_cell).runs if run.number == block]
        assert Counter((arm.cell.setting, arm.twin) for arm in timed_arms(runs)) == {
            ("full", False): 1,
            ("none", False): 1,
            ("seed", False): 1,
            ("seed", True): 1,
        }


def test_cells_with_a_common_baseline_are_timed_next_to_each_other(make_cell: MakeCell) -> None:
    """In a block, neither scenario stands between two cells of the other, in changing orders."""
    asked = [
        RequestedCell(make_cell(setting, scenario), make_cell("seed", scenario))
        for scenario in ("mlp", "cnn")
        for setting in ("none", "full")
    ]
    request = dataclasses.replace(make_request([], None), asked=tuple(asked))
    orders = set()
    for block in range(1, 5):
        runs = [run for run in plan(request, "cpu").runs if run.number == block]
        arms = timed_arms(runs)
        names = [arm.cell.scenario.label for arm in arms]
        assert sorted(names) in (names, names[::-1])
        orders.add(tuple(f"{arm.cell.id} {arm.twin}" for arm in arms))
    assert len(orders) > 1


def test_blocks_are_never_mixed(make_cell: MakeCell) -> None:
    """All runs of a block are consecutive, in three trace and four timing blocks."""
    blocks = [(run.kind, run.number) for run in make_plan(make_cell).runs]
    changes = [now for now, before in zip(blocks, [None, *blocks], strict=False) if now != before]
    assert len(changes) == len(set(changes)) == 3 + 4


def test_the_order_is_random_within_blocks_and_fixed_by_the_seed(make_cell: MakeCell) -> None:
    """Equal seeds give equal orders, another seed another order, and blocks differ in theirs."""
    orders = [
        [run.run_id for run in make_plan(make_cell, timing=9, seed=seed).runs] for seed in (0, 0, 1)
    ]
    assert orders[0] == orders[1] != orders[2]
    traces = [sorted(name for name in order if ".trace." in name) for order in orders]
    assert traces[0] == traces[2]  # of a block, the order is part of the request
    per_block = {
        tuple(
            (arm.cell.setting, arm.twin)
            for arm in timed_arms(
                run for run in make_plan(make_cell, timing=9).runs if run.number == block
            )
        )
        for block in range(1, 10)
    }
    assert len(per_block) > 3


def test_settings_that_differ_only_on_cuda_run_once_on_a_cpu(make_cell: MakeCell) -> None:
    """On a CPU, a setting that adds only a cuDNN option is not run beside the baseline."""
    cudnn = make_cell("cudnn", determinism=Determinism(seed=42, cudnn=Cudnn(deterministic=True)))
    on_cpu = plan(make_request([cudnn], make_cell("seed")), "cpu")
    assert next(cell for cell in on_cpu.cells if cell.cell == cudnn).same_as == "mlp-seed-cpu"
    assert {run.cell.setting for run in on_cpu.runs} == {"seed"}
    assert {arm.cell.setting for arm in timed_arms(on_cpu.runs)} == {"seed"}


def test_the_same_settings_are_two_experiments_on_cuda(make_cell: MakeCell) -> None:
    """On CUDA, a setting that adds only a cuDNN option runs beside the baseline."""
    cells = [
        dataclasses.replace(cell, device="auto")
        for cell in (
            make_cell("cudnn", determinism=Determinism(seed=42, cudnn=Cudnn(deterministic=True))),
            make_cell("seed"),
        )
    ]
    on_cuda = plan(make_request(cells[:1], cells[1]), "cuda")
    assert all(cell.same_as is None and cell.cell.device == "cuda" for cell in on_cuda.cells)


def test_an_added_control_is_traced_and_never_timed(make_cell: MakeCell) -> None:
    """A control that was not requested has trace runs only."""
    control = make_cell("seed", scenario="indexing")
    planned = plan(make_request([make_cell("seed")], make_cell("seed"), controls=(control,)), "cpu")
    kinds = {run.kind for run in planned.runs if run.cell == control}
    assert kinds == {Kind.trace}
    assert control not in [arm.cell for arm in timed_arms(planned.runs)]


@pytest.mark.parametrize(("device", "cells"), [("cpu", 1), ("cuda", 2)])
def test_some_settings_are_only_run_on_cuda(make_cell: MakeCell, device: str, cells: int) -> None:
    """A setting in ``settings_for_cuda`` is planned on CUDA and left out on a CPU."""
    warn = make_cell("warn", device="auto", determinism=Determinism(algorithms=Algorithms.warn))
    seed = make_cell("seed", device="auto")
    assert len(plan(make_request([warn, seed], seed), device).cells) == cells


def test_run_ids_are_unique(make_cell: MakeCell) -> None:
    """No two runs of a plan have the same ID, and another environment changes the ID of a run."""
    runs = make_plan(make_cell).runs
    assert len({run.run_id for run in runs}) == len(runs)
    changed = dataclasses.replace(runs[0], environment={"PYTHONHASHSEED": "7"})
    assert changed.run_id != runs[0].run_id


def test_without_a_baseline_there_is_no_twin(make_cell: MakeCell) -> None:
    """Without a baseline, the requested cell is the only one and has no twin."""
    planned = plan(make_request([make_cell("full")], None), "cpu")
    assert not any(arm.twin for arm in timed_arms(planned.runs))
    assert len(planned.cells) == 1


def test_equal_settings_run_as_the_one_with_fewest_overrides(make_cell: MakeCell) -> None:
    """Of two cells that are the same experiment, the one with fewer overrides runs for both."""
    overridden = make_cell("a", determinism=Determinism(seed=1, cudnn=Cudnn(enabled=False)))
    simple = make_cell("b", determinism=Determinism(seed=1))
    planned = plan(make_request([overridden, simple], None), "cpu").cells
    assert [cell.same_as for cell in planned] == [simple.id, None]


def test_a_requested_cell_is_timed_even_if_a_control_equals_it(make_cell: MakeCell) -> None:
    """If a requested cell and a control are one experiment, the requested cell is timed."""
    cudnn = make_cell("cudnn", determinism=Determinism(seed=42, cudnn=Cudnn(deterministic=True)))
    planned = plan(make_request([cudnn], None, controls=(make_cell("seed"),)), "cpu")
    assert {arm.cell.setting for arm in timed_arms(planned.runs)} == {"cudnn"}


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_that_are_not_finite_are_refused(value: float, make_cell: MakeCell) -> None:
    """A timeout or a scenario option that is infinite or NaN raises UsageError with its name."""
    valid = make_request([make_cell()], None)
    with pytest.raises(UsageError, match="timeout_s"):
        check_request(dataclasses.replace(valid, launch=Launch(timeout_s=value)))
    scenario = Scenario("mlp", "mlp", {"learning_rate": value})
    invalid = dataclasses.replace(make_cell(), scenario=scenario)
    with pytest.raises(UsageError, match=r"scenario.learning_rate=.*a finite number"):
        check_request(make_request([invalid], None))


def test_torch_settings_do_not_split_keras_cells(make_cell: MakeCell) -> None:
    """A setting that adds only torch's options to a Keras cell is not run beside the baseline."""
    scenario = Scenario("keras_mlp", "keras_mlp", {}, framework="keras")
    cudnn = Determinism(seed=42, cudnn=Cudnn(deterministic=True), algorithms=Algorithms.warn)
    require = Determinism(seed=42, algorithms=Algorithms.require)
    cells = [make_cell(device="cuda", determinism=determinism) for determinism in (cudnn, require)]
    cells = [
        dataclasses.replace(cell, scenario=scenario, setting=name)
        for cell, name in zip(cells, ("cudnn", "full"), strict=True)
    ]
    seed = dataclasses.replace(make_cell(device="cuda"), scenario=scenario)
    planned = plan(make_request(cells, seed), "cuda")
    assert {cell.cell.setting: cell.same_as for cell in planned.cells} == {
        "cudnn": "keras_mlp-seed-cuda",
        "full": None,
        "seed": None,
    }
    assert {run.environment["KERAS_BACKEND"] for run in planned.runs} == {"tensorflow"}
