"""The order of the runs, by itself."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

import pytest

from harness.core.errors import UsageError
from harness.core.role import Role
from harness.core.spec import Algorithms, Cell, Cudnn, Determinism, Kind, Scenario
from harness.study.plan import Plan, plan
from harness.study.request import Launch, Request, RequestedCell, Runs, Study, Timing, Trace

MakeCell = Callable[..., Cell]


def request(
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


def settings(make_cell: MakeCell) -> list[Cell]:
    return [
        make_cell("full", determinism=Determinism(seed=42, python_hash_seed=1)),
        make_cell("none", determinism=Determinism()),
    ]


def made(make_cell: MakeCell, **changes: int) -> Plan:
    return plan(request(settings(make_cell), make_cell("seed"), **changes), "cpu")


def test_a_missing_baseline_is_added_once_with_a_twin(make_cell: MakeCell) -> None:
    planned = made(make_cell)
    roles = {one.cell.setting: one.role for one in planned.cells}
    assert roles == {"full": Role.asked, "none": Role.asked, "seed": Role.baseline}
    assert {spec.cell.setting for spec in planned.runs if spec.twin} == {"seed"}


def test_every_timing_block_holds_every_cell_and_twin_once(make_cell: MakeCell) -> None:
    for block in range(1, 5):
        runs = [
            one for one in made(make_cell).runs if one.kind is Kind.timing and one.number == block
        ]
        assert Counter((one.cell.setting, one.twin) for one in runs) == {
            ("full", False): 1,
            ("none", False): 1,
            ("seed", False): 1,
            ("seed", True): 1,
        }


def test_blocks_follow_each_other_and_are_never_mixed(make_cell: MakeCell) -> None:
    blocks = [(one.kind, one.number) for one in made(make_cell).runs]
    changes = [one for one, before in zip(blocks, [None, *blocks], strict=False) if one != before]
    assert len(changes) == len(set(changes)) == 3 + 4


def test_the_order_is_random_within_blocks_and_fixed_by_the_seed(make_cell: MakeCell) -> None:
    orders = [
        [one.run_id for one in made(make_cell, timing=9, seed=seed).runs] for seed in (0, 0, 1)
    ]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])
    per_block = {
        tuple(
            (one.cell.setting, one.twin)
            for one in made(make_cell, timing=9).runs
            if one.kind is Kind.timing and one.number == block
        )
        for block in range(1, 10)
    }
    assert len(per_block) > 3


def test_settings_that_differ_only_where_nothing_asks_run_once(make_cell: MakeCell) -> None:
    cudnn = make_cell("cudnn", determinism=Determinism(seed=42, cudnn=Cudnn(deterministic=True)))
    on_cpu = plan(request([cudnn], make_cell("seed")), "cpu")
    assert next(one for one in on_cpu.cells if one.cell == cudnn).same_as == "mlp-seed-cpu"
    assert {one.cell.setting for one in on_cpu.runs} == {"seed"}


def test_the_same_settings_are_two_experiments_on_cuda(make_cell: MakeCell) -> None:
    cells = [
        dataclasses.replace(cell, device="auto")
        for cell in (
            make_cell("cudnn", determinism=Determinism(seed=42, cudnn=Cudnn(deterministic=True))),
            make_cell("seed"),
        )
    ]
    on_cuda = plan(request(cells[:1], cells[1]), "cuda")
    assert all(one.same_as is None and one.cell.device == "cuda" for one in on_cuda.cells)


def test_an_added_control_is_traced_and_never_timed(make_cell: MakeCell) -> None:
    control = make_cell("seed", scenario="indexing")
    planned = plan(request([make_cell("seed")], make_cell("seed"), controls=(control,)), "cpu")
    kinds = {one.kind for one in planned.runs if one.cell == control}
    assert kinds == {Kind.trace}


@pytest.mark.parametrize(("device", "cells"), [("cpu", 1), ("cuda", 2)])
def test_some_settings_are_only_run_on_cuda(make_cell: MakeCell, device: str, cells: int) -> None:
    warn = make_cell("warn", device="auto", determinism=Determinism(algorithms=Algorithms.warn))
    seed = make_cell("seed", device="auto")
    assert len(plan(request([warn, seed], seed), device).cells) == cells


def test_run_ids_differ_where_anything_asked_differs(make_cell: MakeCell) -> None:
    runs = made(make_cell).runs
    assert len({one.run_id for one in runs}) == len(runs)
    changed = dataclasses.replace(runs[0], environment={"PYTHONHASHSEED": "7"})
    assert changed.run_id != runs[0].run_id


def test_without_a_baseline_there_is_no_twin(make_cell: MakeCell) -> None:
    planned = plan(request([make_cell("full")], None), "cpu")
    assert not any(spec.twin for spec in planned.runs)
    assert len(planned.cells) == 1


def test_equal_settings_run_as_the_plainest_of_them(make_cell: MakeCell) -> None:
    fancy = make_cell("a", determinism=Determinism(seed=1, cudnn=Cudnn(enabled=False)))
    plain = make_cell("b", determinism=Determinism(seed=1))
    planned = plan(request([fancy, plain], None), "cpu").cells
    assert [one.same_as for one in planned] == [plain.id, None]


def test_what_is_asked_for_is_timed_though_a_control_is_the_same(make_cell: MakeCell) -> None:
    asked = make_cell("cudnn", determinism=Determinism(seed=42, cudnn=Cudnn(deterministic=True)))
    planned = plan(request([asked], None, controls=(make_cell("seed"),)), "cpu")
    assert {one.cell.setting for one in planned.runs if one.kind is Kind.timing} == {"cudnn"}


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_infinite_numbers_are_refused_before_anything_is_created(
    bad: float, make_cell: MakeCell
) -> None:
    asked = request([make_cell()], None)
    with pytest.raises(UsageError, match="timeout_s"):
        dataclasses.replace(asked, launch=Launch(timeout_s=bad)).check()
    scenario = Scenario("mlp", "mlp", {"learning_rate": bad})
    endless = dataclasses.replace(make_cell(), scenario=scenario)
    with pytest.raises(UsageError, match=r"scenario.learning_rate=.*a finite number"):
        request([endless], None).check()


def test_what_only_torch_asks_makes_no_other_experiment_of_a_keras_cell(
    make_cell: MakeCell,
) -> None:
    scenario = Scenario("keras_mlp", "keras_mlp", {}, framework="keras")
    cudnn = Determinism(seed=42, cudnn=Cudnn(deterministic=True), algorithms=Algorithms.warn)
    require = Determinism(seed=42, algorithms=Algorithms.require)
    cells = [make_cell(device="cuda", determinism=one) for one in (cudnn, require)]
    cells = [
        dataclasses.replace(one, scenario=scenario, setting=name)
        for one, name in zip(cells, ("cudnn", "full"), strict=True)
    ]
    seed = dataclasses.replace(make_cell(device="cuda"), scenario=scenario)
    planned = plan(request(cells, seed), "cuda")
    assert {one.cell.setting: one.same_as for one in planned.cells} == {
        "cudnn": "keras_mlp-seed-cuda",
        "full": None,
        "seed": None,
    }
    assert {run.environment["KERAS_BACKEND"] for run in planned.runs} == {"tensorflow"}
