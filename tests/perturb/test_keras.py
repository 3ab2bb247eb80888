"""perturb of Keras scenarios: only what TensorFlow or the process depends on is varied."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.frameworks import FRAMEWORKS
from harness.core.spec import Cell
from harness.factors.catalog import FACTORS
from tests.conftest import harness, study_of

INSTALLED = FRAMEWORKS["keras"].missing is None
OF_TORCH = {"seed_torch", "wait_policy", "openmp_schedule", "first_calls", "compile_cache"}
OF_LOADERS = {"loader_workers", "loader_start", "prefetch", "evaluation_batch"}
OF_GPUS = {"visible_gpus", "cublas_workspace", "kernel_choice"}
FEW = ["perturb.runs=4", "perturb.pairs=4", "perturb.most=4", "scenario.steps=5"]


def test_what_only_torch_uses_is_not_varied(make_cell: Callable[..., Cell]) -> None:
    """Nor is TensorFlow's seed, if the training uses torch."""
    cell = make_cell(perturbed=())
    scenario = replace(cell.scenario, framework="keras")
    reasons = {name: one.missing(replace(cell, scenario=scenario)) for name, one in FACTORS.items()}
    # others can be missing because of the machine
    assert {*OF_TORCH, *OF_LOADERS, *OF_GPUS} <= {name for name, why in reasons.items() if why}
    assert {reasons[name] for name in OF_TORCH} == {"Keras computes with TensorFlow"}
    assert not {"threads", "instruction_set", "umask"} & {n for n, why in reasons.items() if why}
    assert FACTORS["seed_tensorflow"].missing(cell) == "the training does not use TensorFlow"


@pytest.mark.keras
@pytest.mark.skipif(not INSTALLED, reason="extra 'keras' not installed: make test-keras")
def test_a_keras_training_depends_on_its_seeds(tmp_path: Path) -> None:
    """Its data are drawn with NumPy's; the report names no command to diagnose it."""
    factors = "perturb.factors=[seed_numpy,seed_torch,umask]"
    done = harness("perturb", "scenario=keras_mlp", *FEW, factors, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads((study_of(done, tmp_path) / "dependence.json").read_text())
    findings = {name: one["finding"] for name, one in answer["factors"].items()}
    assert findings == {
        "seed_numpy": "depends",
        "seed_torch": "not varied",
        "umask": "no dependence seen",
    }
    assert answer["diagnose"] == ""
    assert "diagnose" not in (study_of(done, tmp_path) / "report.md").read_text()
