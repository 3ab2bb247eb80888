"""Which cells share a process of a timing block, and what becomes of their results."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from harness.core.blocks import group_for_timing, runs_apart, shared_environment, split_blocks
from harness.core.record import ArmResult, Outcome, RunRecord, Timed
from harness.core.spec import Arm, Cell, Cudnn, Determinism, Kind, RunSpec, Scenario
from harness.core.spec_json import to_json

MakeCell = Callable[..., Cell]
SEED = Determinism(seed=42)
FULL = Determinism(seed=42, python_hash_seed=0, cublas_workspace=":4096:8")
ONE_THREAD = Determinism(seed=42, threads=1)
BENCHMARK = Determinism(seed=42, cudnn=Cudnn(benchmark=True))
AVX2 = Determinism(seed=42, cpu_capability="avx2")
TIMED = Timed(1.0, 10, [0.1] * 11, {"params": "a"}, 1.0, None, {})


def environment_of_all(make_cell: MakeCell, *settings: Determinism, device: str = "cpu") -> object:
    cells = [make_cell(determinism=setting, device=device) for setting in settings]
    return shared_environment(cells)


@pytest.mark.parametrize(
    ("settings", "device", "environment"),
    [
        ((SEED, FULL), "cpu", {"PYTHONHASHSEED": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}),
        ((SEED, FULL), "cuda", None),
        ((FULL, FULL), "cuda", {"PYTHONHASHSEED": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}),
        ((SEED, ONE_THREAD), "cpu", None),
        ((SEED, BENCHMARK), "cuda", None),
        ((SEED, BENCHMARK), "cpu", {}),
        ((ONE_THREAD, ONE_THREAD), "cpu", {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}),
        ((SEED, AVX2), "cpu", None),
        ((FULL, dataclasses.replace(FULL, python_hash_seed=1)), "cpu", None),
    ],
)
def test_cells_share_a_process_if_it_can_switch_between_their_settings(
    make_cell: MakeCell,
    settings: tuple[Determinism, ...],
    device: str,
    environment: dict[str, str] | None,
) -> None:
    """Variables without cost are set for all; others must agree, and so must benchmarking."""
    assert environment_of_all(make_cell, *settings, device=device) == environment


def test_scripts_do_not_share_a_process(make_cell: MakeCell) -> None:
    """A script is run once in a process."""
    script = make_cell(scenario="x")
    script = dataclasses.replace(
        script, scenario=Scenario("script", "script", {"processes": 1}, framework="script")
    )
    assert shared_environment([script, script]) is None


def test_groups_keep_the_order_of_their_first_items(make_cell: MakeCell) -> None:
    """A cell joins the first group that it can share a process with."""
    cells = [make_cell(determinism=setting) for setting in (AVX2, SEED, AVX2, FULL)]
    groups = group_for_timing(cells, lambda cell: cell)
    assert groups == [[cells[0], cells[2]], [cells[1], cells[3]]]


@pytest.fixture
def block(make_cell: MakeCell) -> RunSpec:
    seed, full = make_cell("seed"), make_cell("full", determinism=FULL)
    arms = (Arm(seed), Arm(full), Arm(seed, twin=True))
    return RunSpec(seed, Kind.timing, 1, arms=arms)


def test_a_spec_with_arms_reads_back_equal(block: RunSpec) -> None:
    """The arms of a block survive the journey to the worker."""
    assert RunSpec.from_json(to_json(block)) == block


def test_each_arm_becomes_a_record_of_its_cell(block: RunSpec) -> None:
    """An arm that was refused has no times and leaves the others theirs."""
    results = [
        ArmResult(Outcome.ok, timed=TIMED),
        ArmResult(Outcome.refused, operation="op"),
        ArmResult(Outcome.ok, timed=TIMED),
    ]
    record = RunRecord(block.run_id, block, Outcome.ok, arms=results)
    seed, full, twin = split_blocks([record])
    assert (seed.outcome, full.outcome, twin.outcome) == (Outcome.ok, Outcome.refused, Outcome.ok)
    assert full.operation == "op"
    assert (seed.spec.twin, twin.spec.twin) == (False, True)
    assert full.spec.cell.setting == "full"
    assert len({seed.run_id, full.run_id, twin.run_id}) == 3


def test_a_shared_gpu_makes_every_timed_arm_contended(block: RunSpec) -> None:
    """What disturbs the process disturbs all its arms, but a refusal stays one."""
    results = [
        ArmResult(Outcome.ok, timed=TIMED),
        ArmResult(Outcome.refused),
        ArmResult(Outcome.ok),
    ]
    record = RunRecord(block.run_id, block, Outcome.contended, arms=results)
    assert [arm.outcome for arm in record.of_arms()] == [
        Outcome.contended,
        Outcome.refused,
        Outcome.contended,
    ]


def test_arms_that_were_timed_alone_replace_those_of_a_block_that_died(block: RunSpec) -> None:
    """A crash counts against the cell that crashed, not against those that shared its process."""
    died = RunRecord(block.run_id, block, Outcome.crashed, message="ended by SIGSEGV")
    assert [arm.outcome for arm in split_blocks([died])] == [Outcome.crashed] * 3
    outcomes = [Outcome.ok, Outcome.crashed, Outcome.ok]
    apart = [
        RunRecord(spec.run_id, spec, outcome)
        for spec, outcome in zip(runs_apart(block), outcomes, strict=True)
    ]
    assert [arm.outcome for arm in split_blocks([died, *apart])] == outcomes
