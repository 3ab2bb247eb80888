"""What a set of switches means: its cell, its code, and what the report says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from harness.config.presets import load_preset
from harness.core.spec import Algorithms, Cell, Determinism
from harness.diagnose.recipe_snippets import snippets
from harness.diagnose.recipe_switches import Switches
from harness.report.content.recipe import describe_recipe

Make = Callable[..., Cell]


@pytest.fixture
def full(make_cell: Make) -> Cell:
    cell = make_cell()
    scenario = dataclasses.replace(cell.scenario, uses_loader=False)
    return dataclasses.replace(cell, scenario=scenario, determinism=load_preset("full"))


def on_cuda(cell: Cell) -> Cell:
    return dataclasses.replace(cell, device="cuda:0")


def test_switches_without_effect_are_left_out(full: Cell) -> None:
    """On a CPU, no cuDNN and no cuBLAS; without a DataLoader, no switch of one."""
    switches = Switches.of(full)
    assert switches.names == (
        *("seed", "python_hash_seed", "algorithms", "fill_uninitialized_memory"),
    )
    assert "cublas_workspace" in switches.without_effect
    assert "loader.generator" in switches.without_effect
    assert "cublas_workspace" in Switches.of(on_cuda(full)).names


def test_all_switches_are_the_cell_itself(full: Cell) -> None:
    """Its runs need not be made again under another name."""
    switches = Switches.of(full)
    assert switches.cell(frozenset(switches.names)) is full


def test_a_set_turns_its_switches_and_no_others(full: Cell) -> None:
    """Everything else is at the default of torch and Python, and the overrides say so."""
    cell = Switches.of(full).cell(frozenset({"seed", "algorithms", "fill_uninitialized_memory"}))
    assert cell.determinism == Determinism(
        seed=42, algorithms=Algorithms.require, fill_uninitialized_memory=True
    )
    assert cell.overrides == (
        "determinism.algorithms=require",
        "determinism.fill_uninitialized_memory=true",
        "determinism.seed=42",
    )


def test_the_seed_alone_is_the_setting_of_that_name(full: Cell) -> None:
    """So that its runs count for both."""
    cell = Switches.of(full).cell(frozenset({"seed"}))
    assert (cell.setting, cell.overrides) == ("seed", ())
    assert cell.determinism == load_preset("seed")


@pytest.mark.parametrize(("kept", "fill"), [({"algorithms"}, False), (set(), None)])
def test_leaving_out_the_filling_switches_it_off(
    full: Cell, kept: set[str], fill: bool | None
) -> None:
    """Torch fills by default under deterministic algorithms, and never without them."""
    cell = Switches.of(full).cell(frozenset({"seed", *kept}))
    assert cell.determinism.fill_uninitialized_memory is fill


@pytest.mark.parametrize("setting", ["full", "cudnn", "full_warm", "full_one_thread", "warn"])
def test_snippets_do_what_the_setting_does(setting: str) -> None:
    """The code for Python runs as it stands, and sets what the setting asks for."""
    preset = load_preset(setting)
    texts = snippets(preset.turned())
    code = texts["Python, before the model is built"]
    compile(code, setting, "exec")
    assert ("use_deterministic_algorithms(True" in code) is (
        preset.algorithms is not Algorithms.allow
    )
    assert ("torch.set_num_threads(1)" in code) is (preset.threads == 1)
    assert "manual_seed(42)" in code
    assert all(compile(texts[name], name, "exec") for name in ("Lightning", "Accelerate"))


def document(**changes: Any) -> dict[str, Any]:
    evidence = {
        "cell": "c",
        "verdict": "varies",
        "agrees": False,
        "differ": "all 6 processes differ",
    }
    evidence |= {"step": 1, "component": "grads", "failure": ""}
    return {
        "cell": "recipe",
        "full": "full",
        "kept": {"seed": 42, "algorithms": "require"},
        "without": {"seed": evidence, "algorithms": evidence},
        "unneeded": ["python_hash_seed"],
        "without_effect": ["cublas_workspace"],
        "runs": 30,
        "rate": 0.0981,
        "screen": 6,
        "missed": 0.451,
        "sets": 8,
        "alternative": None,
        "contradictions": [],
        "added": {"algorithms": "added"},
        "taken": {},
        "snippets": {"shell": "export A=1"},
        "diagnose": "python -m harness diagnose",
        **changes,
    }


def costs(**ratios: float) -> pd.DataFrame:
    rows = [
        {"cell": cell, "twin": False, "cost_ratio": r, "cost_low": r - 0.01, "cost_high": r + 0.01}
        for cell, r in ratios.items()
    ]
    return pd.DataFrame(rows, columns=["cell", "twin", "cost_ratio", "cost_low", "cost_high"])


def test_the_headline_names_the_set_its_bound_and_its_cost() -> None:
    """With the interval, relative to seeds alone."""
    found = describe_recipe(document(), costs(recipe=1.05))
    assert found is not None
    assert found.headline == (
        "This training needs `seed=42` and `algorithms=require`, and nothing else: 30 runs agree, "
        "so that at most 9.8 % of fresh ones differ (95 % confidence), at 1.050 × (1.040–1.060) "
        "the time per step with `seed` alone."
    )


def test_a_cost_that_was_not_measured_is_not_named() -> None:
    """Without timing runs, the headline and the table have none."""
    found = describe_recipe(document(), costs())
    assert found is not None
    assert "time per step" not in found.headline
    assert all(row[3:] == ("–", "–") for row in found.rows)


def test_without_a_recipe_it_says_where_to_look() -> None:
    """It names the first divergence, and the command that finds the operation."""
    evidence = document()["without"]["seed"]
    found = describe_recipe(document(cell="", kept={}, without={"": evidence}), costs())
    assert found is not None
    assert found.headline.startswith("There is no recipe: with every switch, the training varies")
    assert "first at step 1, grads" in found.headline
    assert "`python -m harness diagnose`" in found.headline
    assert found.snippets == {}


def test_a_contradiction_is_reported() -> None:
    """A set that suffices beside a larger one that does not."""
    found = describe_recipe(document(contradictions=[(["seed"], ["seed", "warm"])]), costs())
    assert found is not None
    assert any("more switches are not always better" in text for text in found.sentences)
