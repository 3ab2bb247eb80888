"""The tables of the operation audit on synthetic records, and the data that they read."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from harness.scenarios.atomics import Op

from harness.analysis.audit import (
    DOCUMENTED,
    audit_table,
    documented_as,
    find_disagreements,
    lengths_table,
)
from harness.analysis.study_data import CellData, StudyData
from harness.core.record import Outcome, Repeat, RunRecord
from harness.core.spec import Cell, Scenario
from harness.core.verdict import Verdict
from harness.diagnose.advice import ADVICE
from tests.conftest import repeat

SAME, VARIES = Verdict.identical, Verdict.varies


def make_repeat(own: str, loss: str, steps: Sequence[str]) -> Repeat:
    final = {"buffers": own, "grads": own, "loss": loss}
    return dataclasses.replace(repeat(steps=steps), final=final)


BASE, OTHER = make_repeat("a", "a", ("a", "a")), make_repeat("b", "b", ("a", "b"))
OTHER_SUM = make_repeat("a", "b", ("a", "b"))

Row = Callable[..., dict[str, str]]


def make_cell_data(cell: Cell, options: dict[str, Any], traces: list[RunRecord]) -> CellData:
    scenario = Scenario("atomics", "atomics", options)
    cell = dataclasses.replace(cell, scenario=scenario)
    return CellData(cell.setting, cell, "asked", None, None, traces=traces)


def make_study(cells: list[CellData]) -> StudyData:
    return StudyData(
        "s", {"request": {"matrix": "audit"}, "software": {"torch": "2.13.0"}}, cells, [], 0
    )


@pytest.fixture
def row(make_cell: Callable[..., Cell], trace: Callable[..., RunRecord]) -> Row:
    """Makes the audit's row of an operation from what its runs gave under each setting."""

    def make(operation: str, seed: str, full: str, one_thread: str | None) -> dict[str, str]:
        runs = {
            "same": [BASE, BASE],
            "other": [OTHER, OTHER],
            "varies": [BASE, OTHER],
            "other sum": [OTHER_SUM, OTHER_SUM],
        }
        cells = []
        for setting, result in (("seed", seed), ("full", full), ("full_one_thread", one_thread)):
            if result is None:
                continue
            outcome = Outcome.refused if result == "refused" else Outcome.ok
            traces = [
                trace(n, training, outcome=outcome)
                for n, training in enumerate(runs.get(result, [BASE, BASE]), 1)
            ]
            cells.append(make_cell_data(make_cell(setting), {"op": operation}, traces))
        (record,) = audit_table(make_study(cells)).to_dict("records")
        return {str(key): str(value) for key, value in record.items()}

    return make


LENGTH_VERDICTS = ["no difference seen (n = 2)", "varies (all 2)"]


def test_each_length_has_a_column(
    make_cell: Callable[..., Cell], trace: Callable[..., RunRecord]
) -> None:
    """Cells that set a length share a row, with a column for each length."""
    cells = []
    for length, trainings in ((32768, [BASE, OTHER]), (32767, [BASE, BASE])):
        options = {"op": "put", "length": length, "dtype": "float32"}
        traces = [trace(n, training) for n, training in enumerate(trainings, 1)]
        cells.append(make_cell_data(make_cell("seed"), options, traces))
    study = make_study(cells)
    assert audit_table(study).empty
    (record,) = lengths_table(study).to_dict("records")
    assert list(record.values())[1:] == [cells[0].cell.device, "float32", *LENGTH_VERDICTS]
    assert list(record)[3:] == ["32,767 elements", "32,768 elements"]


def test_a_fixed_operation_agrees_with_its_documentation(row: Row) -> None:
    """An operation documented as deterministic may vary where only seeds are set."""
    record = row("index_put", "varies", "same", "same")
    assert record["documented"] == "deterministic"
    assert record["alert"] == "none"
    assert record["bits"].startswith("varies (")
    assert record["bits_full"].startswith("no difference seen (n = ")
    assert (record["threads"], record["disagree"]) == ("same bits", "")


def test_a_needless_refusal_is_reported(row: Row) -> None:
    """Refusing an operation whose runs never differed is a disagreement."""
    record = row("max_unpool2d", "same", "refused", "refused")
    assert record["alert"] == "refuses"
    assert record["disagree"] == "refused, but no difference was seen"
    assert record["threads"] == "not known"


def test_bits_that_depend_on_threads_are_reported(row: Row) -> None:
    """The table says so if one thread computes other bits than all threads."""
    assert row("conv2d", "same", "same", "other")["threads"] == "other bits"


def test_threads_are_optional(row: Row) -> None:
    """A study without cells of one thread has the same table, and says what it did not compare."""
    assert row("conv2d", "same", "same", None)["threads"] == "not compared"


def test_the_loss_is_not_compared_between_threads(row: Row) -> None:
    """Threads that change only the sum in the loss do not change the operation's bits."""
    assert row("conv2d", "same", "same", "other sum")["threads"] == "same bits"


@pytest.mark.parametrize(
    ("documented", "refused", "seed", "full", "expected"),
    [
        ("refused", False, SAME, SAME, "documented as refused, but runs"),
        (
            "not listed",
            True,
            VARIES,
            Verdict.refused,
            "refused, but documented otherwise; varies, but is not listed",
        ),
        ("not listed", False, VARIES, SAME, "varies, but is not listed"),
        ("deterministic", False, VARIES, VARIES, "varies under deterministic algorithms"),
        ("deterministic", False, VARIES, SAME, ""),
    ],
)
def test_documentation_alert_and_bits_are_compared(
    documented: str, refused: bool, seed: Verdict, full: Verdict, expected: str
) -> None:
    """Every contradiction between documentation, alert and observed bits is named."""
    disagreements = find_disagreements(documented, refused, {"seed": seed, "full": full})
    assert "; ".join(disagreements) == expected


def test_documented_operations_are_in_the_scenario() -> None:
    """Every documented operation exists in the scenario and is listed in only one way."""
    known = set(typing.get_args(Op))
    table = tomllib.loads(DOCUMENTED.read_text(encoding="utf-8"))
    for kind in ("cpu", "cuda"):
        listed = table[kind]
        assert set(listed["deterministic"]) | set(listed["refused"]) <= known
        assert not set(listed["deterministic"]) & set(listed["refused"])
    assert documented_as("cpu", "index_put", "2.13.0+cpu") == "deterministic"
    assert documented_as("cuda", "gather", "2.13.0") == "deterministic"


def test_the_documentation_is_that_of_the_version_that_ran() -> None:
    """Torch 2.11 documents the backward pass of MaxPool3d as refused, 2.13 as deterministic."""
    assert documented_as("cuda", "max_pool3d", "2.11.0+cu130") == "refused"
    assert documented_as("cuda", "max_pool3d", "2.13.0+cu130") == "deterministic"


def test_every_advice_is_complete() -> None:
    """Every advice has all of its fields, a known device and ATen operations."""
    for advice in tomllib.loads(ADVICE.read_text(encoding="utf-8"))["advice"]:
        assert advice.keys() - {"origin"} == {"operations", "device", "do", "source", "torch"}
        assert advice["device"] in ("cpu", "cuda", "any")
        is_general = advice["operations"] == [""] and advice["origin"] == "outside"
        assert is_general or all(name.startswith("aten.") for name in advice["operations"])
