"""The audit's table, on made-up records both ways; its data name operations that exist."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Callable, Sequence

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
from harness.diagnose.command import ADVICE
from tests.conftest import repeat

SAME, VARIES = Verdict.identical, Verdict.varies


def ended(own: str, loss: str, steps: Sequence[str]) -> Repeat:
    final = {"buffers": own, "grads": own, "loss": loss}
    return dataclasses.replace(repeat(steps=steps), final=final)


ONE, OTHER = ended("a", "a", ("a", "a")), ended("b", "b", ("a", "b"))
OTHER_SUM = ended("a", "b", ("a", "b"))


Row = Callable[..., dict[str, str]]


@pytest.fixture
def row(make_cell: Callable[..., Cell], trace: Callable[..., RunRecord]) -> Row:
    """The audit's row of an operation whose cells gave these repeats, one a run."""

    def make(operation: str, seed: str, full: str, one_thread: str) -> dict[str, str]:
        runs = {
            "same": [ONE, ONE],
            "other": [OTHER, OTHER],
            "varies": [ONE, OTHER],
            "other sum": [OTHER_SUM, OTHER_SUM],
        }
        cells = []
        for setting, what in (("seed", seed), ("full", full), ("full_one_thread", one_thread)):
            outcome = Outcome.refused if what == "refused" else Outcome.ok
            asked = dataclasses.replace(
                make_cell(setting), scenario=Scenario("atomics", "atomics", {"op": operation})
            )
            traces = [
                trace(n, one, outcome=outcome)
                for n, one in enumerate(runs.get(what, [ONE, ONE]), 1)
            ]
            cells.append(CellData(setting, asked, "asked", None, None, traces=traces))
        study = StudyData("s", {"request": {"matrix": "audit"}}, cells, [], 0)
        (found,) = audit_table(study).to_dict("records")
        return {str(key): str(value) for key, value in found.items()}

    return make


def test_numbers_of_elements_stand_side_by_side(
    make_cell: Callable[..., Cell], trace: Callable[..., RunRecord]
) -> None:
    cells = []
    for length, ends in ((32768, [ONE, OTHER]), (32767, [ONE, ONE])):
        options = {"op": "put", "length": length, "dtype": "float32"}
        asked = dataclasses.replace(
            make_cell("seed"), scenario=Scenario("atomics", "atomics", options)
        )
        traces = [trace(n, one) for n, one in enumerate(ends, 1)]
        cells.append(CellData("seed", asked, "asked", None, None, traces=traces))
    study = StudyData("s", {"request": {"matrix": "audit"}}, cells, [], 0)
    assert audit_table(study).empty
    (found,) = lengths_table(study).to_dict("records")
    assert list(found.values())[1:] == [asked.device, "float32", "identical", "varies"]
    assert list(found)[3:] == ["32,767 elements", "32,768 elements"]


def test_an_operation_that_varies_and_is_cured_agrees_with_its_document(row: Row) -> None:
    found = row("index_put", "varies", "same", "same")
    assert found["documented"] == "deterministic"
    assert (found["alert"], found["bits"], found["bits_full"]) == ("none", "varies", "identical")
    assert (found["threads"], found["disagree"]) == ("same bits", "")


def test_a_refusal_of_what_never_differed_is_told(row: Row) -> None:
    found = row("max_unpool2d", "same", "refused", "refused")
    assert found["alert"] == "refuses"
    assert found["disagree"] == "refused, but no difference was seen"
    assert found["threads"] == "not known"


def test_a_number_of_threads_that_changes_bits_is_told(row: Row) -> None:
    assert row("conv2d", "same", "same", "other")["threads"] == "other bits"


def test_a_loss_that_adds_up_otherwise_is_not_the_operations(row: Row) -> None:
    assert row("conv2d", "same", "same", "other sum")["threads"] == "same bits"


@pytest.mark.parametrize(
    ("documented", "refused", "seed", "full", "told"),
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
def test_documents_alerts_and_bits_are_held_against_each_other(
    documented: str, refused: bool, seed: Verdict, full: Verdict, told: str
) -> None:
    assert "; ".join(find_disagreements(documented, refused, {"seed": seed, "full": full})) == told


def test_what_is_documented_is_an_operation_of_the_scenario() -> None:
    known = set(typing.get_args(Op))
    table = tomllib.loads(DOCUMENTED.read_text(encoding="utf-8"))
    for listed in table.values():
        assert set(listed["deterministic"]) | set(listed["refused"]) <= known
        assert not set(listed["deterministic"]) & set(listed["refused"])
    assert documented_as("cpu", "index_put") == "deterministic"
    assert documented_as("cuda", "gather") == "deterministic"


def test_every_advice_is_whole() -> None:
    for one in tomllib.loads(ADVICE.read_text(encoding="utf-8"))["advice"]:
        assert one.keys() == {"operations", "device", "do", "source", "torch"}
        assert one["device"] in ("cpu", "cuda", "any")
        assert all(name.startswith("aten.") for name in one["operations"])
