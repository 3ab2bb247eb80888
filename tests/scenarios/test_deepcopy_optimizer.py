"""Two copied models: which weights each optimizer holds, and when the models stay equal."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.scenarios.conftest import copy_weights, train

# torch warns that a copied scheduler drives an optimizer that never steps
pytestmark = pytest.mark.filterwarnings("ignore:Seems like `optimizer.step")


def train_pair(**options: Any) -> dict[str, Any]:
    return train("deepcopy_optimizer", **options).facts()


def test_a_separately_copied_optimizer_holds_no_weights() -> None:
    """A separately copied optimizer holds no model's weights, so the copied model never learns."""
    facts = train_pair(variant="shared_optimizer")
    assert facts["first"]["optimizer_holds"] == "own"
    assert facts["second"] | {"accuracy": 0, "training_accuracy": 0} == {
        "optimizer_holds": "none",
        "scheduler_drives_optimizer": False,
        "weights_changed": False,
        "batch_norm_statistics_changed": True,
        "accuracy": 0,
        "training_accuracy": 0,
    }


def test_neither_of_two_copies_is_optimized() -> None:
    """Of two copies, neither has an optimizer that holds its weights, and both stay equal."""
    facts = train_pair(variant="shared_optimizer", pair="two_copies")
    assert [facts[name]["optimizer_holds"] for name in ("first", "second")] == ["none", "none"]
    assert facts["equal_bits"]


@pytest.mark.parametrize(
    ("variant", "equal"),
    [
        ("rebuilt_optimizer", True),
        ("rebuilt_model_seed_inside", True),
        ("rebuilt_model_seed_outside", False),
    ],
)
def test_rebuilt_pairs_learn_and_the_place_of_the_seed_decides_equality(
    variant: str, equal: bool
) -> None:
    """Rebuilt pairs learn, and differ only if the seed is set outside the constructor."""
    facts = train_pair(variant=variant)
    for name in ("first", "second"):
        assert facts[name]["optimizer_holds"] == "own"
        assert facts[name]["weights_changed"]
        assert facts[name]["scheduler_drives_optimizer"]
    assert facts["equal_bits"] is equal


def test_copies_stay_equal_at_batch_size_one() -> None:
    """With batches of one example, a copy with a rebuilt optimizer still equals the original."""
    facts = train_pair(variant="rebuilt_optimizer", batch_size=1, size=16)
    assert facts["equal_bits"]
    assert facts["training_accuracy_equal"]
    assert 0 <= facts["first"]["training_accuracy"] <= 1


def test_a_seed_in_the_constructor_fixes_the_data_order_too() -> None:
    """With a seed in the constructor, all global seeds give the same trained weights."""
    weights = [
        copy_weights(train("deepcopy_optimizer", seed=seed, variant="rebuilt_model_seed_inside"))
        for seed in (1, 2)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
