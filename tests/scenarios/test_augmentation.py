"""Augmentation flips and shifts images, and a step without it draws no random numbers."""

from __future__ import annotations

import pytest
import torch
from harness.scenarios import augmentation, lstm

from harness.scenario import Context, Supervised

CPU = Context(torch.device("cpu"))


def build_training(**options: object) -> Supervised:
    torch.manual_seed(1)
    return augmentation.build(augmentation.Options(**options), CPU)  # type: ignore[arg-type]


def test_about_half_of_the_images_are_mirrored() -> None:
    """Of 1000 images, 400 to 600 are unchanged and all others are mirrored."""
    images = torch.rand(1000, 1, 8, 8)
    flipped = augmentation.flipped(images)
    unchanged = (flipped == images).flatten(1).all(dim=1)
    assert 400 < unchanged.sum() < 600
    assert torch.equal(flipped[~unchanged], images[~unchanged].flip(-1))


def test_every_image_is_shifted_by_at_most_one_pixel() -> None:
    """Each image equals one of the nine rolls by at most one pixel, and each roll occurs."""
    images = torch.rand(300, 1, 8, 8)
    rolls = {(d, r): images.roll((d, r), (2, 3)) for d in (-1, 0, 1) for r in (-1, 0, 1)}
    shifted = augmentation.shifted(images)
    matches = [(shifted == rolled).flatten(1).all(dim=1) for rolled in rolls.values()]
    assert torch.stack(matches).sum(dim=0).eq(1).all()
    assert all(match.any() for match in matches)


@pytest.mark.parametrize(
    ("options", "draws"),
    [({"augment": False}, False), ({"augment": False, "dropout": 0.5}, True), ({}, True)],
)
def test_only_augmentation_and_dropout_draw_during_a_step(
    options: dict[str, object], draws: bool
) -> None:
    """A step advances the generator exactly if augmentation or dropout is enabled."""
    training = build_training(**options)
    batches = training.batches()
    training.step(next(batches))  # the epoch's order is drawn with its first batch
    before = torch.get_rng_state()
    training.step(next(batches))
    assert torch.equal(before, torch.get_rng_state()) is not draws


@pytest.mark.parametrize("options", [augmentation.Options, lstm.Options])
def test_a_dropout_of_one_is_refused(options: type) -> None:
    """A dropout probability of 1 raises ValueError."""
    with pytest.raises(ValueError, match=r"dropout=1\.0: must be at least 0 and less than 1"):
        options(dropout=1.0)


def test_an_own_seed_leaves_only_the_augmentation_random() -> None:
    """With a seed of its own, weights and order agree between global seeds, and images do not."""
    inputs, targets, weights = [], [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        training = augmentation.build(augmentation.Options(own_seed=0), CPU)
        batch = next(iter(training.batches()))
        inputs.append(batch.inputs)
        targets.append(batch.targets)
        weights.append(next(training.model.parameters()).detach().clone())
    assert torch.equal(*weights)
    assert torch.equal(*targets)
    assert not torch.equal(*inputs)
