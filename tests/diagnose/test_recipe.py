"""What a set of switches means: its cell, its code, and what the report says of it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from harness.analysis.cost import Ratio
from harness.config.presets import load_preset
from harness.core.spec import Algorithms, Cell, Determinism, Seeds
from harness.core.switches import SEEDS, same_experiment
from harness.diagnose.recipe_switches import BY_COST, Switches
from harness.report.content.recipe import describe_recipe
from harness.report.content.recipe_snippets import snippets
from tests.conftest import ROOT

ONLY_DURING = "Python, deterministic algorithms for these operations only"
RACE = """
import sys, warnings
import torch
from tests.worker.torch_backend.race import different_gradients
warnings.simplefilter("ignore")
exec(sys.argv[1])
print(torch.are_deterministic_algorithms_enabled(), different_gradients())
"""
Make = Callable[..., Cell]


@pytest.fixture
def full(make_cell: Make) -> Cell:
    cell = make_cell()
    scenario = dataclasses.replace(cell.scenario, uses_loader=False)
    return dataclasses.replace(cell, scenario=scenario, determinism=load_preset("full"))


def on_cuda(cell: Cell) -> Cell:
    return dataclasses.replace(cell, device="cuda:0")


def test_every_switch_has_its_place() -> None:
    """A new switch must be put among those that cost more and less."""
    assert {*BY_COST, "seed"} == Determinism().switches().keys()
    assert len(BY_COST) == len(set(BY_COST))


def test_switches_without_effect_are_left_out(full: Cell) -> None:
    """On a CPU, no cuDNN and no cuBLAS; without a DataLoader, no switch of one."""
    switches = Switches.of(full)
    assert switches.names == (
        *("seeds.torch", "seeds.numpy", "seeds.python", "python_hash_seed"),
        *("algorithms", "fill_uninitialized_memory"),
    )
    assert "cublas_workspace" in switches.without_effect
    assert "loader.generator" in switches.without_effect
    assert "cublas_workspace" in Switches.of(on_cuda(full)).names


def test_a_script_without_a_gpu_consults_no_cuda_switch(full: Cell) -> None:
    """Whatever the script does."""
    scenario = dataclasses.replace(full.scenario, framework="script")
    switches = Switches.of(dataclasses.replace(full, scenario=scenario))
    assert set(switches.without_effect) == {
        *("cudnn.benchmark", "cudnn.deterministic", "cublas_workspace")
    }


def test_all_switches_turn_no_other(full: Cell) -> None:
    """Not even those of the setting that nothing consults: their variables need processes."""
    switches = Switches.of(full)
    everything = switches.cell(frozenset(switches.names))
    assert same_experiment(everything, full)
    assert everything.determinism.cublas_workspace is None


def test_each_generator_has_a_seed_of_its_own(full: Cell) -> None:
    """The setting with one of them seeds nothing else; without any there is no seed."""
    switches = Switches.of(full)
    only_numpy = switches.cell(frozenset({"seeds.numpy"}))
    assert only_numpy.determinism == Determinism(seed=42, seeds=Seeds(python=False, torch=False))
    assert switches.cell(frozenset({"algorithms"})).determinism.seed is None


def test_what_the_program_sets_itself_is_in_no_set(full: Cell) -> None:
    """All other switches stay in their order."""
    switches = Switches.of(full).but({"algorithms", "python_hash_seed"})
    assert switches.names == (*SEEDS, "fill_uninitialized_memory")


def test_a_set_turns_its_switches_and_no_others(full: Cell) -> None:
    """Everything else is at the default of torch and Python, and the overrides say so."""
    cell = Switches.of(full).cell(frozenset({*SEEDS, "algorithms", "fill_uninitialized_memory"}))
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
    cell = Switches.of(full).cell(frozenset(SEEDS))
    assert (cell.setting, cell.overrides) == ("seed", ())
    assert cell.determinism == load_preset("seed")


@pytest.mark.parametrize(("kept", "fill"), [({"algorithms"}, False), (set(), None)])
def test_leaving_out_the_filling_switches_it_off(
    full: Cell, kept: set[str], fill: bool | None
) -> None:
    """Torch fills by default under deterministic algorithms, and never without them."""
    cell = Switches.of(full).cell(frozenset({*SEEDS, *kept}))
    assert cell.determinism.fill_uninitialized_memory is fill


@pytest.mark.parametrize("setting", ["full", "cudnn", "full_warm", "full_one_thread", "warn"])
def test_snippets_do_what_the_setting_does(setting: str) -> None:
    """The code for Python runs as it stands, and sets what the setting asks for."""
    preset = load_preset(setting)
    turned = {name: value for name, value in preset.turned().items() if name != "seed"}
    texts = snippets({**dict.fromkeys(SEEDS, 42), **turned})
    code = texts["Python, before the model is built"]
    compile(code, setting, "exec")
    assert ("use_deterministic_algorithms(True" in code) is (
        preset.algorithms is not Algorithms.allow
    )
    assert ("torch.set_num_threads(1)" in code) is (preset.threads == 1)
    assert "manual_seed(42)" in code
    assert all(compile(texts[name], name, "exec") for name in ("Lightning", "Accelerate"))


def test_deterministic_algorithms_for_one_operation_are_code_too() -> None:
    """The code makes a racing sum of index_put reproducible, and changes no other operation."""
    code = snippets({"seeds.torch": 42}, "index_put")[ONLY_DURING]
    done = subprocess.run(
        [sys.executable, "-c", RACE, code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.stdout, done.returncode) == ("False 1\n", 0), done.stderr


def document(**changes: Any) -> dict[str, Any]:
    evidence = {
        "cell": "c",
        "verdict": "varies",
        "agrees": False,
        "differ": "all 6 processes differ",
        "runs": 6,
    }
    evidence |= {"step": 1, "component": "grads", "failure": ""}
    return {
        "cell": "recipe",
        "full": "full",
        "kept": {"seeds.torch": 42, "algorithms": "require"},
        "without": {"seeds.torch": evidence, "algorithms": evidence},
        "overridden": {},
        "unneeded": ["python_hash_seed"],
        "without_effect": ["cublas_workspace"],
        "runs": 30,
        "rate": 0.0981,
        "screen": 6,
        "missed": 0.451,
        "sets": 8,
        "alternatives": {},
        "contradictions": [],
        "added": {"algorithms": "added"},
        "taken": {},
        "diagnose": "python -m harness diagnose",
        **changes,
    }


def costs(**ratios: float) -> pd.DataFrame:
    rows = [
        {"cell": cell, "twin": False, "cost_ratio": r, "cost_low": r - 0.01, "cost_high": r + 0.01}
        for cell, r in ratios.items()
    ]
    columns = ["cell", "twin", "cost_ratio", "cost_low", "cost_high"]
    return pd.DataFrame(rows, columns=columns).astype({"twin": bool})


def test_the_headline_names_the_set_its_bound_and_its_cost() -> None:
    """With the interval, relative to seeds alone."""
    found = describe_recipe(document(), costs(recipe=1.05), {})
    assert found.headline == (
        "This training needs the seed of torch (42) and `algorithms=require`, and nothing else: "
        "30 runs agree, so at most 9.8 % of new runs differ (95 % confidence). A step takes 1.050 "
        "times (95 % interval 1.040–1.060) as long as with seeds alone."
    )


def test_a_cost_that_was_not_measured_is_not_named() -> None:
    """Without timing runs, the headline and the table have none."""
    found = describe_recipe(document(), costs(), {})
    assert "A step takes" not in found.headline
    assert all(row[3:] == ("–", "–") for row in found.rows)


def test_without_a_recipe_it_says_where_to_look() -> None:
    """It names the first divergence, and the command that finds the operation."""
    evidence = document()["without"]["algorithms"]
    found = describe_recipe(document(cell="", kept={}, without={"": evidence}), costs(), {})
    assert found.headline.startswith("There is no recipe: with every switch, the training varies")
    assert "first at step 1, grads" in found.headline
    assert "`python -m harness diagnose`" in found.headline
    assert found.snippets == {}


def test_a_contradiction_is_reported() -> None:
    """A set that suffices beside a larger one that does not."""
    found = describe_recipe(document(contradictions=[(["seed"], ["seed", "warm"])]), costs(), {})
    assert any("more switches are not always better" in text for text in found.sentences)


def test_alternatives_are_judged_and_priced() -> None:
    """What does the work of deterministic algorithms, and what does not."""
    good = {**document()["without"]["algorithms"], "cell": "fast", "agrees": True, "runs": 30}
    bad = {**good, "agrees": False, "runs": 6}
    words = {"deterministic_operations=index_put": good, "threads=1": bad}
    found = describe_recipe(document(alternatives=words), costs(fast=1.01), {})
    one_operation, one_thread, *_ = found.sentences
    assert one_operation == (
        "`deterministic_operations=index_put` in place of `algorithms`: 30 runs agree. A step "
        "takes 1.010 times (95 % interval 1.000–1.020) as long as with seeds alone."
    )
    assert one_thread == (
        "`threads=1` in place of `algorithms`: the training varies (all 6 processes differ, first "
        "at step 1, grads)."
    )


def test_switches_that_the_program_sets_are_listed() -> None:
    """With the value that was in effect."""
    found = describe_recipe(document(overridden={"cudnn.benchmark": True}), costs(), {})
    text = "Left out, as the program sets them itself (values at its end): `cudnn.benchmark=true`."
    assert text in found.sentences


def test_code_sets_what_the_runs_had() -> None:
    """Torch fills memory with deterministic algorithms unless told not to, and the runs did not."""
    own = document(unneeded=["fill_uninitialized_memory"])
    texts = describe_recipe(own, costs(), {}).snippets
    assert "fill_uninitialized_memory = False" in texts["Python, before the model is built"]
    assert all("fill_uninitialized_memory" in text for text in texts.values())


@pytest.mark.parametrize(("agrees", "expected"), [(True, True), (False, False)])
def test_single_operations_have_code_only_if_they_suffice(agrees: bool, expected: bool) -> None:
    """An operation that failed to be confirmed is no advice."""
    evidence = {**document()["without"]["algorithms"], "agrees": agrees}
    own = document(alternatives={"deterministic_operations=index_put": evidence})
    assert (ONLY_DURING in describe_recipe(own, costs(), {}).snippets) is expected


def test_the_cost_within_all_switches_is_that_of_the_switch() -> None:
    """With all switches relative to all but one, not relative to the seeds."""
    ratio = Ratio(point=1.2, low=1.1, high=1.3, blocks=6, log_sd=0.1, freedom=5)
    found = describe_recipe(document(), costs(), {"algorithms": ratio})
    assert found.rows[1][-1] == "1.200 × (1.100–1.300)"


def test_a_noisy_machine_is_named_in_the_headline() -> None:
    """If equal trainings differ by more than a tenth, a cost means little."""
    table = costs(recipe=1.05, twin=1.1)
    table["twin"] = table["cell"] == "twin"
    table.loc[table["twin"], "cost_high"] = 1.5
    found = describe_recipe(document(), table, {})
    assert found.headline.endswith("the interval of two equal trainings is ± 20 %.")


def test_a_script_s_loaders_are_out_of_reach(full: Cell) -> None:
    """The harness cannot give them a generator, so it does not say that they need none."""
    scenario = dataclasses.replace(full.scenario, framework="script")
    switches = Switches.of(dataclasses.replace(full, scenario=scenario))
    assert switches.out_of_reach == ("loader.generator", "loader.worker_init")
    assert not {*switches.out_of_reach} & {*switches.names, *switches.without_effect}


def test_a_recipe_of_seeds_has_no_cost() -> None:
    """Whatever was measured: it does the same work."""
    found = describe_recipe(document(kept={"seeds.torch": 42}), costs(recipe=0.97), {})
    assert found.headline.endswith("(95 % confidence). Seeds cost no time.")
