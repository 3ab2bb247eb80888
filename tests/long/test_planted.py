"""Real faults, planted into every phase of a real training, are named with operation and kind."""

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
SETTINGS = {
    "unseeded randomness": ("determinism=none",),
    "hash order": ("determinism=seed",),
    "uninitialised memory": ("determinism=seed", "determinism.python_hash_seed=0"),
    RACE: ("determinism=seed", "determinism.python_hash_seed=0"),
}
NATURES = {
    "unseeded randomness": "outside",
    "hash order": "outside",
    "uninitialised memory": "fresh memory",
    "data order": "outside",
}
OPERATIONS = {
    "unseeded randomness": "aten.mul",
    "hash order": "aten.add",
    "uninitialised memory": "aten.nan_to_num",
    RACE: "aten.index_put",
    "algorithm choice": "planted.chosen",
    "stateful kernel": "planted.counting",
    "data order": "aten.roll",
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
        last = 2 if self.kind == "observer" else 6  # of the steps that an observer's log has
        return random.Random(str(self)).randint(1, last)


PHASES = ("forward", "backward", "optimizer")
PLANTED = [
    *(Case(kind, where) for kind in OPERATIONS if kind != "data order" for where in PHASES),
    *(
        Case("algorithm choice", where, form)
        for where in PHASES
        for form in ("in place", "view", "sparse", "integer")
    ),
    *(Case("algorithm choice", "forward", form) for form in ("autocast", "checkpoint")),
    *(Case(RACE, where, "view") for where in PHASES),
    *(Case("stateful kernel", where, "in place") for where in PHASES),
    Case("unseeded randomness", "forward", "checkpoint"),
    Case("data order", "data"),
    Case(RACE, "backward", hidden=True),
]
WATCHED = [Case("observer", where) for where in PHASES]


def diagnosed(case: Case, folder: Path) -> dict[str, Any]:
    return told(
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


def told(folder: Path, *words: str) -> dict[str, Any]:
    mine = str(ROOT / "tests" / "long" / "planted")
    done = harness("diagnose", "--config-dir", mine, *words, "device=cpu", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((study_of(done, folder) / "diagnosis.json").read_text())
    return found


@pytest.mark.long
@pytest.mark.parametrize("case", PLANTED, ids=str)
def test_a_fault_is_named_with_its_operation_and_kind(case: Case, tmp_path: Path) -> None:
    if torch.get_num_threads() == 1 and case.kind == RACE:
        pytest.skip("atomics cannot race on one thread; run this on two cores")
    found = diagnosed(case, tmp_path)
    origin = found["origin_evidence"]["origin"]
    assert origin["operation"]["name"].startswith(OPERATIONS[case.kind]), origin
    assert origin["operation"]["phase"] == case.where, origin
    assert origin["operation"]["step"] == case.step, origin
    assert origin["kind"] == NATURES.get(case.kind, "operation"), origin
    assert found["faults"] == [case.kind], found["trials"]


@pytest.mark.long
@pytest.mark.parametrize("case", WATCHED, ids=str)
def test_a_training_that_notices_being_watched_is_told(case: Case, tmp_path: Path) -> None:
    found = diagnosed(case, tmp_path)
    assert (found["verdict"], found["faults"]) == ("identical", ["observer"])


@pytest.mark.long
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_fault_on_another_rank_is_named_with_the_rank(where: str, tmp_path: Path) -> None:
    words = ["scenario=planted_rank", f"scenario.where={where}", *SETTINGS[RACE], "diagnose.runs=6"]
    found = told(tmp_path, *words)
    origin = found["origin_evidence"]["origin"]
    assert (origin["rank"], origin["operation"]["step"]) == (1, 3), origin
    assert origin["operation"]["name"] == "aten.index_put_.default", origin
    assert origin["operation"]["phase"] == where, origin
    assert found["faults"] == [RACE], found["trials"]


def test_more_than_thirty_faults_are_planted_in_every_phase() -> None:
    assert len(PLANTED) >= 30
    assert {one.where for one in PLANTED} == {"data", *PHASES}
    assert {one.kind for one in (*PLANTED, *WATCHED)} == {*OPERATIONS, "observer"}
    assert len({one.step for one in PLANTED}) == 6
