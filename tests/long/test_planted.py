"""Faults planted into every phase of a training are named with their operation and kind."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT, harness, study_of

FULL = ("determinism=full",)
RACE = "atomics or reduction order"
DATA = "order or content of the data"
SETTINGS = {
    "unseeded randomness": ("determinism=none",),
    "hash order": ("determinism=seed",),
    "uninitialized memory": ("determinism=seed", "determinism.python_hash_seed=0"),
    RACE: ("determinism=seed", "determinism.python_hash_seed=0"),
}
ORIGIN_KINDS = {
    "unseeded randomness": "outside",
    "hash order": "outside",
    "uninitialized memory": "uninitialized memory",
    DATA: "outside",
}
OPERATIONS = {
    "unseeded randomness": "aten.mul",
    "hash order": "aten.add",
    "uninitialized memory": "aten.nan_to_num",
    RACE: "aten.index_put",
    "algorithm choice": "planted.chosen",
    "stateful kernel": "planted.counting",
    DATA: "aten.roll",
}


@dataclass(frozen=True)
class Case:
    kind: str
    where: str
    form: str = "plain"
    hidden: bool = False

    def __str__(self) -> str:
        return ", ".join([self.kind, self.where, self.form, *["hidden state"] * self.hidden])

    @property
    def step(self) -> int:
        last = 2 if self.kind == "observer" else 6  # a log of an observer fault has two steps
        return random.Random(str(self)).randint(1, last)


PHASES = ("forward", "backward", "optimizer")
PLANTED = [
    *(Case(kind, where) for kind in OPERATIONS if kind != DATA for where in PHASES),
    *(
        Case("algorithm choice", where, form)
        for where in PHASES
        for form in ("in place", "view", "sparse", "integer")
    ),
    *(Case("algorithm choice", "forward", form) for form in ("autocast", "checkpoint")),
    *(Case(RACE, where, "view") for where in PHASES),
    *(Case("stateful kernel", where, "in place") for where in PHASES),
    Case("unseeded randomness", "forward", "checkpoint"),
    Case(DATA, "data"),
    Case(RACE, "backward", hidden=True),
]
OBSERVERS = [Case("observer", where) for where in PHASES]


def diagnose_case(case: Case, folder: Path) -> dict[str, Any]:
    return diagnose(
        folder,
        "scenario=planted",
        f"scenario.kind={case.kind}",
        f"scenario.where={case.where}",
        f"scenario.form={case.form}",
        f"scenario.step={case.step}",
        f"scenario.hidden={case.hidden}",
        "diagnose.runs=5",
        *SETTINGS.get(case.kind, FULL),
    )


def diagnose(folder: Path, *words: str) -> dict[str, Any]:
    configs = str(ROOT / "tests" / "long" / "planted")
    done = harness("diagnose", "--config-dir", configs, *words, "device=cpu", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    diagnosis: dict[str, Any] = json.loads((study_of(done, folder) / "diagnosis.json").read_text())
    return diagnosis


@pytest.mark.long
@pytest.mark.parametrize("case", PLANTED, ids=str)
def test_a_fault_is_named_with_its_operation_and_kind(case: Case, tmp_path: Path) -> None:
    """The diagnosis names the operation, phase and step of the fault, and no other fault."""
    if torch.get_num_threads() == 1 and case.kind == RACE:
        pytest.skip("atomics cannot race on one thread; run this on two cores")
    diagnosis = diagnose_case(case, tmp_path)
    origin = diagnosis["origin_evidence"]["origin"]
    assert origin["operation"]["name"].startswith(OPERATIONS[case.kind]), origin
    assert origin["operation"]["phase"] == case.where, origin
    assert origin["operation"]["step"] == case.step, origin
    assert origin["kind"] == ORIGIN_KINDS.get(case.kind, "operation"), origin
    assert diagnosis["faults"] == [case.kind], diagnosis["trials"]


@pytest.mark.long
@pytest.mark.parametrize("case", OBSERVERS, ids=str)
def test_a_training_that_detects_observation_is_reported(case: Case, tmp_path: Path) -> None:
    """A training that changes only while it is observed is identical and an observer fault."""
    diagnosis = diagnose_case(case, tmp_path)
    assert (diagnosis["verdict"], diagnosis["faults"]) == ("identical", ["observer"])


@pytest.mark.long
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_fault_on_another_rank_is_named_with_the_rank(where: str, tmp_path: Path) -> None:
    """A race on rank 1 is named with its rank, step, operation and phase."""
    words = ["scenario=planted_rank", f"scenario.where={where}", *SETTINGS[RACE], "diagnose.runs=6"]
    diagnosis = diagnose(tmp_path, *words)
    origin = diagnosis["origin_evidence"]["origin"]
    assert (origin["rank"], origin["operation"]["step"]) == (1, 3), origin
    assert origin["operation"]["name"] == "aten.index_put_.default", origin
    assert origin["operation"]["phase"] == where, origin
    assert diagnosis["faults"] == [RACE], diagnosis["trials"]


def test_at_least_thirty_faults_cover_every_phase() -> None:
    """The planted faults are at least 30 and cover all phases, kinds and steps."""
    assert len(PLANTED) >= 30
    assert {case.where for case in PLANTED} == {"data", *PHASES}
    assert {case.kind for case in (*PLANTED, *OBSERVERS)} == {*OPERATIONS, "observer"}
    assert len({case.step for case in PLANTED}) == 6
