"""Two identical models trained on the same batches; options select how the second was made.

The debugging story deep-copied model, optimizer and scheduler separately. The copied optimizer
holds copies of the parameters that belong to no model, so the copied model never learns. The only
sign is torch's warning about the order of scheduler and optimizer steps, because the copied
scheduler drives yet another copy of the optimizer, which never steps.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset

from harness.scenario import Context, Evaluation, Examples, Training, classified, digits, predict

from .loader import digest_of
from .resnet import ResNet

BATCH_NORM_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Options:
    variant: Literal[
        "shared_optimizer",
        "rebuilt_optimizer",
        "rebuilt_model_seed_inside",
        "rebuilt_model_seed_outside",
    ] = "shared_optimizer"
    pair: Literal["original_and_copy", "two_copies"] = "original_and_copy"
    amp: bool = False  # forward passes under bfloat16 autocast
    width: int = 8
    depth: int = 1
    size: int = 8  # image height and width; batch norm needs 16 if batch_size=1
    samples: int = 352  # per epoch; the schedulers step at its end
    batch_size: int = 32
    steps: int = 44
    learning_rate: float = 0.05
    epochs_per_drop: int = 2
    constructor_seed: int = 42


@dataclass
class Learner:
    """A model with its optimizer and scheduler."""

    model: nn.Module
    optimizer: SGD
    scheduler: StepLR

    @classmethod
    def around(cls, model: nn.Module, options: Options) -> Learner:
        optimizer = SGD(model.parameters(), lr=options.learning_rate, momentum=0.9)
        return cls(model, optimizer, StepLR(optimizer, options.epochs_per_drop, gamma=0.1))

    @classmethod
    def built(cls, options: Options, context: Context, seed: int | None = None) -> Learner:
        if seed is not None:
            torch.manual_seed(seed)
        return cls.around(ResNet(options.width, options.depth).to(context.device), options)

    def copied_apart(self) -> Learner:
        """The bug of the story: three independent deep copies."""
        return Learner(
            copy.deepcopy(self.model), copy.deepcopy(self.optimizer), copy.deepcopy(self.scheduler)
        )


def pair_of(options: Options, context: Context) -> tuple[Learner, Learner]:
    match options.variant:
        case "shared_optimizer":
            original = Learner.built(options, context)
            first = original if options.pair == "original_and_copy" else original.copied_apart()
            return first, original.copied_apart()
        case "rebuilt_optimizer":
            original = Learner.built(options, context)
            return original, Learner.around(copy.deepcopy(original.model), options)
        case "rebuilt_model_seed_inside":
            seed = options.constructor_seed
            return Learner.built(options, context, seed), Learner.built(options, context, seed)
        case "rebuilt_model_seed_outside":
            torch.manual_seed(options.constructor_seed)
            return Learner.built(options, context), Learner.built(options, context)


class Pair(Training):
    """Trains both learners on every batch; a step returns both losses, shape (2,).

    A DataLoader shuffles with torch's global generator, so a seed set in a constructor fixes the
    order of the data too.
    """

    def __init__(self, options: Options, context: Context) -> None:
        self.options = options
        self.learners = dict(zip(("first", "second"), pair_of(options, context), strict=True))
        self.models = {name: learner.model for name, learner in self.learners.items()}
        self.optimizers = {name: learner.optimizer for name, learner in self.learners.items()}
        train, held_out = (
            Examples(F.interpolate(part.inputs, size=options.size), part.targets)
            for part in digits(context.device)
        )
        self.train = train.at(torch.arange(options.samples, device=context.device))
        self.held_out = held_out
        self.right = dict.fromkeys(self.learners, torch.zeros((), device=context.device))
        self.seen = 0
        self.order: list[Tensor] = []  # of the examples, by batch
        self.at_start = {name: state_of(model) for name, model in self.models.items()}

    def batches(self) -> Iterator[Examples]:
        if self.options.batch_size > len(self.train):
            raise ValueError(
                f"batch_size={self.options.batch_size}: must not exceed samples={len(self.train)}"
            )
        index = torch.arange(len(self.train))
        dataset = TensorDataset(self.train.inputs, self.train.targets, index)
        loader = DataLoader(dataset, self.options.batch_size, shuffle=True, drop_last=True)
        taken = 0
        while True:
            for inputs, targets, examples in loader:
                if taken == self.options.steps:
                    return
                taken += 1
                self.order.append(examples)
                yield Examples(inputs, targets)
            for learner in self.learners.values():
                learner.scheduler.step()

    def step(self, batch: Examples) -> Tensor:
        losses = []
        for name, learner in self.learners.items():
            learner.model.zero_grad()
            learner.optimizer.zero_grad()
            with torch.autocast(batch.inputs.device.type, torch.bfloat16, self.options.amp):
                scores = learner.model(batch.inputs)
                loss = F.cross_entropy(scores, batch.targets)
            loss.backward()
            learner.optimizer.step()
            losses.append(loss.detach())
            self.right[name] = self.right[name] + (scores.argmax(1) == batch.targets).sum()
        self.seen += len(batch)
        return torch.stack(losses)

    def evaluate(self) -> Evaluation:
        """Evaluate the first model: in the default variant, the second one never learns."""
        scores = predict(self.models["first"], self.held_out.inputs)
        return classified(scores, self.held_out.targets)

    def facts(self) -> dict[str, Any]:
        first, second = (state_of(model) for model in self.models.values())
        learners = {name: self.facts_of(name) for name in self.learners}
        return {
            "variant": self.options.variant,
            "pair": self.options.pair,
            "order": digest_of(torch.cat(self.order)),
            "equal_bits": all(torch.equal(first[name], second[name]) for name in first),
            **{
                f"{measure}_equal": learners["first"][measure] == learners["second"][measure]
                for measure in ("accuracy", "training_accuracy")
            },
            **learners,
        }

    def facts_of(self, name: str) -> dict[str, Any]:
        learner = self.learners[name]
        other = self.models["second" if name == "first" else "first"]
        now, before = state_of(learner.model), self.at_start[name]
        changed = {key for key in now if not torch.equal(now[key], before[key])}
        statistics = {key for key in now if key.endswith(BATCH_NORM_STATISTICS)}
        scores = predict(learner.model, self.held_out.inputs)
        return {
            "optimizer_holds": whose(learner.optimizer, learner.model, other),
            "scheduler_drives_optimizer": learner.scheduler.optimizer is learner.optimizer,
            "weights_changed": bool(changed - statistics),
            "batch_norm_statistics_changed": bool(changed & statistics),
            "accuracy": classified(scores, self.held_out.targets).accuracy,
            "training_accuracy": self.right[name].item() / max(1, self.seen),
        }


def whose(optimizer: SGD, own: nn.Module, other: nn.Module) -> str:
    """Return whose parameters an optimizer holds: "own", "other", "own and other" or "none"."""
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    owners = [
        name
        for name, model in [("own", own), ("other", other)]
        if held & {id(p) for p in model.parameters()}
    ]
    return " and ".join(owners) or "none"


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def build(options: Options, context: Context) -> Pair:
    return Pair(options, context)
