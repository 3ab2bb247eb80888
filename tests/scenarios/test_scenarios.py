"""Every scenario trains, and each shows what it was made to show."""

from __future__ import annotations

import importlib
import re
import typing
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from harness.scenarios import (
    atomics,
    attention,
    cnn,
    deepcopy_optimizer,
    loader,
    mlp,
    resnet,
    summation,
    upsample,
)
from sklearn.datasets import load_digits

from harness.core.paths import CONF, SCENARIOS
from harness.scenario import Context, Training, digits

# torch's only sign that deepcopy_optimizer's copied scheduler drives an optimizer that never steps
pytestmark = pytest.mark.filterwarnings("ignore:Seems like `optimizer.step")

CPU = Context(torch.device("cpu"))
SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"steps": 3},
    "cnn": {"steps": 3, "size": 12},
    "resnet": {"steps": 6, "width": 4, "depth": 1},
    "upsample": {"steps": 3, "width": 4},
    "loader": {"samples": 64, "epochs": 2},
    "deepcopy_optimizer": {"steps": 23, "width": 4},
    "indexing": {"steps": 2, "indices": 1000},
    "hash_order": {"steps": 3},
    "split": {"steps": 3},
    "summation": {"steps": 2, "numbers": 100},
    "atomics": {"steps": 2},
    "augmentation": {"steps": 3},
    "lstm": {"steps": 3, "width": 4},
    "attention": {"steps": 3, "width": 8},
    "ddp": {"steps": 3, "processes": 1},  # several: tests/scenarios/test_ddp.py
}
TRAINED = [name for name in SMALL if name != "summation"]  # which has no weights


def built(name: str, **options: Any) -> Training:
    module = importlib.import_module(f"scenarios.{name}")
    training: Training = module.build(module.Options(**{**SMALL[name], **options}), CPU)
    return training


def trained(name: str, seed: int = 1, **options: Any) -> Training:
    torch.manual_seed(seed)
    np.random.seed(seed)
    training = built(name, **options)
    for batch in training.batches():
        training.step(batch)
    return training


def weights(training: Training) -> list[torch.Tensor]:
    return [p.detach().clone() for model in training.models.values() for p in model.parameters()]


def test_every_scenario_file_is_tried_here() -> None:
    files = {path.stem for path in SCENARIOS.glob("*.py")}
    of_keras = {name for name in files if name.startswith("keras_")}  # tests/worker/test_keras.py
    assert files - {"__init__"} - of_keras == set(SMALL)


@pytest.mark.parametrize("name", TRAINED)
def test_training_moves_weights_and_ends_in_an_evaluation(name: str) -> None:
    training = built(name)
    before = weights(training)
    losses = [training.step(batch) for batch in training.batches()]
    assert any(not torch.equal(a, b) for a, b in zip(before, weights(training), strict=True))
    assert all(loss.isfinite().all() for loss in losses)
    evaluation = training.evaluate()
    assert evaluation.predictions.ndim == 1
    assert len(evaluation.predictions) > 0
    assert evaluation.accuracy is None or 0 <= evaluation.accuracy <= 1


@pytest.mark.parametrize("name", TRAINED)
def test_gradients_can_be_read_after_a_step(name: str) -> None:
    training = built(name)
    training.step(next(training.batches()))
    assert any(p.grad is not None for m in training.models.values() for p in m.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_evaluating_changes_no_state_and_draws_nothing(name: str) -> None:
    training = trained(name)
    state = [{k: v.clone() for k, v in m.state_dict().items()} for m in training.models.values()]
    drawn = torch.get_rng_state()
    training.evaluate()
    training.facts()
    for model, before in zip(training.models.values(), state, strict=True):
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)


def test_digits_are_scikit_learns() -> None:
    train, held_out = digits(CPU.device)
    theirs = load_digits()
    images = torch.cat([train.inputs, held_out.inputs]).squeeze(1).mul(16).numpy()
    assert np.array_equal(images, theirs.images.astype(np.float32))
    labels = torch.cat([train.targets, held_out.targets]).numpy()
    assert np.array_equal(labels, theirs.target)


def test_resnet_is_the_real_resnet18() -> None:
    parameters = sum(p.numel() for p in resnet.ResNet().parameters())
    # torchvision's 11,689,512 with 10 classes instead of 1000 and a 3×3 stem of one channel
    assert parameters == 11_689_512 - 990 * 513 - (7 * 7 * 3 - 3 * 3) * 64


@pytest.mark.parametrize("name", ["resnet", "deepcopy_optimizer"])
def test_a_scheduler_acts_within_the_default_steps(name: str) -> None:
    options = {"width": 4, **({"depth": 1} if name == "resnet" else {})}
    module = importlib.import_module(f"scenarios.{name}")
    training = module.build(module.Options(**options), CPU)
    optimizer = next(iter(training.optimizers.values()))
    before = optimizer.param_groups[0]["lr"]
    for batch in training.batches():
        training.step(batch)
    assert optimizer.param_groups[0]["lr"] < before


def test_nets_learn_digits() -> None:
    for name, options in [
        ("cnn", {"steps": 150, "size": 16}),
        ("mlp", {"data": "digits", "steps": 300}),
    ]:
        accuracy = trained(name, **options).evaluate().accuracy
        assert accuracy is not None
        assert accuracy > 0.7, name


def test_the_questions_net_has_its_layers() -> None:
    kinds = Counter(type(layer).__name__ for layer in cnn.question_net(28, 32, 512))
    assert (kinds["Conv2d"], kinds["Linear"], kinds["Dropout"]) == (2, 2, 2)
    assert kinds["BatchNorm2d"] + kinds["BatchNorm1d"] == 3


def test_expand_repeats_pixels_and_equals_nearest_bit_for_bit() -> None:
    x = torch.randn(2, 3, 4, 5)
    nearest = torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    assert torch.equal(upsample.expand(x), nearest)
    assert trained("upsample").facts()["nearest_equals_expand_forward"]


def drawn_again(rng: str) -> list[int]:
    epochs = trained("loader", rng=rng).facts()["epochs"]
    return [epoch["drawn_again"] for epoch in epochs]


def test_workers_repeat_each_other_where_the_dataset_owns_the_generator() -> None:
    assert drawn_again("owned") == [32, 32]


@pytest.mark.parametrize("rng", ["global", "per_worker"])
def test_workers_draw_apart_from_their_own_generators(rng: str) -> None:
    assert drawn_again(rng) == [0, 0]


def orders(seed: int) -> list[str]:
    epochs = trained("loader", seed=seed, set_epoch=True).facts()["epochs"]
    return [epoch["order"] for epoch in epochs]


def test_set_epoch_gives_other_orders_per_epoch_and_the_same_ones_per_run() -> None:
    assert orders(seed=1) == orders(seed=2)
    assert len(set(orders(seed=1))) == 2


def pair(**options: Any) -> dict[str, Any]:
    return trained("deepcopy_optimizer", **options).facts()


def test_an_optimizer_copied_alone_holds_nobodys_weights() -> None:
    facts = pair(variant="shared_optimizer")
    assert facts["first"]["optimizer_holds"] == "own"
    assert facts["second"] | {"accuracy": 0, "training_accuracy": 0} == {
        "optimizer_holds": "none",
        "scheduler_drives_optimizer": False,
        "weights_changed": False,
        "batch_norm_statistics_changed": True,
        "accuracy": 0,
        "training_accuracy": 0,
    }


def test_two_copies_both_stay_where_they_were() -> None:
    facts = pair(variant="shared_optimizer", pair="two_copies")
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
def test_rebuilding_cures_and_the_place_of_the_seed_decides_equality(
    variant: str, equal: bool
) -> None:
    facts = pair(variant=variant)
    for name in ("first", "second"):
        assert facts[name]["optimizer_holds"] == "own"
        assert facts[name]["weights_changed"]
        assert facts[name]["scheduler_drives_optimizer"]
    assert facts["equal_bits"] is equal


def test_copies_that_see_one_example_at_a_time_stay_equal_too() -> None:
    facts = pair(variant="rebuilt_optimizer", batch_size=1, size=16)
    assert facts["equal_bits"]
    assert facts["training_accuracy_equal"]
    assert 0 <= facts["first"]["training_accuracy"] <= 1


def test_a_seed_in_the_constructor_fixes_the_loaders_orders_too() -> None:
    weights_of = [
        weights(trained("deepcopy_optimizer", seed=seed, variant="rebuilt_model_seed_inside"))
        for seed in (1, 2)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*weights_of, strict=True))


def test_mixed_precision_changes_the_training() -> None:
    plain, mixed = (weights(trained("deepcopy_optimizer", amp=amp)) for amp in (False, True))
    assert not all(torch.equal(a, b) for a, b in zip(plain, mixed, strict=True))


def test_cross_validation_holds_every_example_out_once() -> None:
    training = trained("split", folds=5)
    assert len(training.models) == 5
    assert len(training.evaluate().predictions) == 1797


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"folds": 0}, "folds=0: must be from 1 to 898"),
        ({"held_out": 0}, "held_out=0: must be from 1 to 1796"),
    ],
)
def test_a_split_that_leaves_nothing_is_refused(options: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        built("split", **options)


def test_the_control_reads_its_table_often_enough_to_race() -> None:
    text = (CONF / "scenario" / "indexing.yaml").read_text()
    assert int(re.findall(r"^indices: (\d+)", text, re.MULTILINE)[0]) >= 200_000


def test_every_literal_option_is_described_in_its_yaml() -> None:
    for module in (mlp, cnn, upsample, loader, deepcopy_optimizer, atomics, attention):
        text = (CONF / "scenario" / f"{module.__name__.rpartition('.')[2]}.yaml").read_text()
        for kind in typing.get_type_hints(module.Options).values():
            is_literal = typing.get_origin(kind) is typing.Literal
            for choice in typing.get_args(kind) if is_literal else ():
                assert str(choice) in text, (module, choice)


def test_a_batch_larger_than_the_data_is_refused_and_not_trained_empty() -> None:
    training = mlp.build(mlp.Options(batch_size=2000), Context(torch.device("cpu")))
    with pytest.raises(
        ValueError, match="batch_size=2000: must not exceed the number of examples, 1000"
    ):
        next(training.batches())


def test_the_counted_product_is_the_multiplied_one() -> None:
    product, quotient = 1.0, (2 / 9 * 11) / (2 * 11 / 9)
    for _ in range(100_000):
        product *= quotient
    assert summation.amplified(100_000) == product


def test_the_articles_sums_come_out_to_the_last_digit() -> None:
    np.random.seed(42)
    numbers = np.random.normal(size=10_000).tolist()
    assert summation.one_by_one(numbers) == -21.359833684261957
    assert summation.one_by_one(numbers[::-1]) == -21.359833684262377
