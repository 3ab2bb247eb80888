"""Every scenario trains and shows the effect that it was written for."""

from __future__ import annotations

import importlib
import random
import re
import typing
from collections import Counter

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
from harness.scenario import Context, digits
from tests.scenarios.conftest import CPU, SMALL, TRAINED, build_training, copy_weights, train

# torch warns that deepcopy_optimizer's copied scheduler drives an optimizer that never steps
pytestmark = pytest.mark.filterwarnings("ignore:Seems like `optimizer.step")


def test_every_scenario_is_tested_here() -> None:
    """The table of small options covers every scenario file except those of Keras."""
    files = {path.stem for path in SCENARIOS.glob("*.py")}
    keras = {name for name in files if name.startswith("keras_")}  # see tests/worker/keras_backend
    forking = {"first_op"}  # see test_first_op.py
    assert files - {"__init__"} - keras - forking == set(SMALL)


@pytest.mark.parametrize("name", TRAINED)
def test_training_changes_weights_and_can_be_evaluated(name: str) -> None:
    """Training changes weights with finite losses, and the evaluation has valid predictions."""
    training = build_training(name)
    before = copy_weights(training)
    losses = [training.step(batch) for batch in training.batches()]
    assert any(not torch.equal(a, b) for a, b in zip(before, copy_weights(training), strict=True))
    assert all(loss.isfinite().all() for loss in losses)
    evaluation = training.evaluate()
    assert evaluation.predictions.ndim == 1
    assert len(evaluation.predictions) > 0
    assert evaluation.accuracy is None or 0 <= evaluation.accuracy <= 1


@pytest.mark.parametrize("name", TRAINED)
def test_gradients_can_be_read_after_a_step(name: str) -> None:
    """At least one parameter has a gradient after one step."""
    training = build_training(name)
    training.step(next(training.batches()))
    assert any(p.grad is not None for m in training.models.values() for p in m.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_evaluating_changes_no_state_and_draws_nothing(name: str) -> None:
    """``evaluate`` and ``facts`` leave the models' state and torch's generator unchanged."""
    training = train(name)
    state = [{k: v.clone() for k, v in m.state_dict().items()} for m in training.models.values()]
    generator = torch.get_rng_state()
    training.evaluate()
    training.facts()
    for model, before in zip(training.models.values(), state, strict=True):
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)


def test_digits_equal_those_of_scikit_learn() -> None:
    """Images and labels of both parts together are scikit-learn's, in the same order."""
    train_set, held_out = digits(CPU.device)
    reference = load_digits()
    images = torch.cat([train_set.inputs, held_out.inputs]).squeeze(1).mul(16).numpy()
    assert np.array_equal(images, reference.images.astype(np.float32))
    labels = torch.cat([train_set.targets, held_out.targets]).numpy()
    assert np.array_equal(labels, reference.target)


def test_resnet_is_the_real_resnet18() -> None:
    """It has as many parameters as torchvision's ResNet-18, apart from classes and stem."""
    parameters = sum(p.numel() for p in resnet.ResNet().parameters())
    # torchvision has 11,689,512, with 1000 classes and a 7×7 stem of three channels
    assert parameters == 11_689_512 - 990 * 513 - (7 * 7 * 3 - 3 * 3) * 64


@pytest.mark.parametrize("name", ["resnet", "deepcopy_optimizer"])
def test_a_scheduler_acts_within_the_default_steps(name: str) -> None:
    """The learning rate is lower after the default number of steps than before."""
    options = {"width": 4, **({"depth": 1} if name == "resnet" else {})}
    module = importlib.import_module(f"scenarios.{name}")
    training = module.build(module.Options(**options), CPU)
    optimizer = next(iter(training.optimizers.values()))
    before = optimizer.param_groups[0]["lr"]
    for batch in training.batches():
        training.step(batch)
    assert optimizer.param_groups[0]["lr"] < before


def test_nets_learn_digits() -> None:
    """The convolutional net and the perceptron reach more than 70 % accuracy."""
    for name, options in [
        ("cnn", {"steps": 150, "size": 16}),
        ("mlp", {"data": "digits", "steps": 300}),
    ]:
        accuracy = train(name, **options).evaluate().accuracy
        assert accuracy is not None
        assert accuracy > 0.7, name


@pytest.mark.parametrize("name", ["resnet", "loader", "deepcopy_optimizer"])
def test_a_default_training_learns_digits(name: str) -> None:
    """Its accuracy is over one half after the default steps, so that its spread means something."""
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    module = importlib.import_module(f"scenarios.{name}")
    training = module.build(module.Options(), CPU)
    for batch in training.batches():
        training.step(batch)
    accuracy = training.evaluate().accuracy
    assert accuracy is not None
    assert accuracy > 0.5


def test_the_questions_net_has_its_layers() -> None:
    """The net has two convolutions, two linear layers, two dropouts and three batch norms."""
    kinds = Counter(type(layer).__name__ for layer in cnn.question_net(28, 32, 512))
    assert (kinds["Conv2d"], kinds["Linear"], kinds["Dropout"]) == (2, 2, 2)
    assert kinds["BatchNorm2d"] + kinds["BatchNorm1d"] == 3


def test_expand_equals_nearest_interpolation() -> None:
    """``expand`` has the bits of nearest-neighbor interpolation, and the run records it."""
    x = torch.randn(2, 3, 4, 5)
    nearest = torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    assert torch.equal(upsample.expand(x), nearest)
    assert train("upsample").facts()["nearest_equals_expand_forward"]


def count_repeated_draws(rng: str) -> list[int]:
    epochs = train("loader", rng=rng).facts()["epochs"]
    return [epoch["drawn_again"] for epoch in epochs]


def test_workers_repeat_the_draws_of_a_generator_in_the_dataset() -> None:
    """Two workers that have copies of one generator draw the same numbers."""
    assert count_repeated_draws("owned") == [32, 32]


@pytest.mark.parametrize("rng", ["global", "per_worker"])
def test_workers_with_separate_generators_repeat_no_draws(rng: str) -> None:
    """Workers with separate generators never repeat each other's numbers."""
    assert count_repeated_draws(rng) == [0, 0]


def get_orders(seed: int) -> list[str]:
    epochs = train("loader", seed=seed, set_epoch=True).facts()["epochs"]
    return [epoch["order"] for epoch in epochs]


def test_set_epoch_fixes_the_order_of_each_epoch() -> None:
    """With ``set_epoch`` every epoch has another order, and all seeds give the same orders."""
    assert get_orders(seed=1) == get_orders(seed=2)
    assert len(set(get_orders(seed=1))) == 2


def test_mixed_precision_changes_the_training() -> None:
    """Training with amp ends with other weights than without."""
    full, mixed = (copy_weights(train("deepcopy_optimizer", amp=amp)) for amp in (False, True))
    assert not all(torch.equal(a, b) for a, b in zip(full, mixed, strict=True))


def test_cross_validation_holds_every_example_out_once() -> None:
    """Five folds train five models, which give one prediction for each of the 1797 examples."""
    training = train("split", folds=5)
    assert len(training.models) == 5
    assert len(training.evaluate().predictions) == 1797


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 0}, "folds=0: must be from 1 to 898"),
        ({"held_out": 0}, "held_out=0: must be from 1 to 1796"),
    ],
)
def test_a_split_without_examples_is_refused(options: dict[str, int], message: str) -> None:
    """A number of folds or held-out examples that leaves a part empty raises ValueError."""
    with pytest.raises(ValueError, match=message):
        build_training("split", **options)


def test_the_control_reads_its_table_often_enough_to_race() -> None:
    """The positive control's config has at least 200,000 indices per step."""
    text = (CONF / "scenario" / "indexing.yaml").read_text()
    assert int(re.findall(r"^indices: (\d+)", text, re.MULTILINE)[0]) >= 200_000


def test_every_literal_option_is_described_in_its_yaml() -> None:
    """Every choice of an option with fixed choices is mentioned in the config of its scenario."""
    for module in (mlp, cnn, upsample, loader, deepcopy_optimizer, atomics, attention):
        text = (CONF / "scenario" / f"{module.__name__.rpartition('.')[2]}.yaml").read_text()
        for kind in typing.get_type_hints(module.Options).values():
            is_literal = typing.get_origin(kind) is typing.Literal
            for choice in typing.get_args(kind) if is_literal else ():
                assert str(choice) in text, (module, choice)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    """A batch size above the number of examples raises ValueError instead of giving no batches."""
    training = mlp.build(mlp.Options(batch_size=2000), Context(torch.device("cpu")))
    with pytest.raises(
        ValueError, match="batch_size=2000: must not exceed the number of examples, 1000"
    ):
        next(training.batches())


def test_amplified_equals_repeated_multiplication() -> None:
    """``amplified`` gives the bits of a product of 100,000 quotients, multiplied one by one."""
    product, quotient = 1.0, (2 / 9 * 11) / (2 * 11 / 9)
    for _ in range(100_000):
        product *= quotient
    assert summation.amplified(100_000) == product


def test_the_sums_of_the_article_are_reproduced() -> None:
    """The sums forwards and backwards equal those of the article to the last digit."""
    np.random.seed(42)
    numbers = np.random.normal(size=10_000).tolist()
    assert summation.one_by_one(numbers) == -21.359833684261957
    assert summation.one_by_one(numbers[::-1]) == -21.359833684262377
