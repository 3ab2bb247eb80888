"""A vocabulary built from a set of strings, whose order depends on Python's string hash.

Sets of strings iterate in hash order, which PYTHONHASHSEED randomizes per process. The order
determines each word's row in the embedding, so trainings differ despite equal seeds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from harness.scenario import Context, Examples, Supervised

WORDS = tuple(f"word{number}" for number in range(64))
LENGTH = 8  # words in a text


@dataclass(frozen=True)
class Options:
    late_variable: Literal["", "PYTHONHASHSEED", "PYTHONASHSEED"] = ""  # set after Python starts
    texts: int = 256
    width: int = 16
    batch_size: int = 32
    steps: int = 40
    learning_rate: float = 0.5


def build(options: Options, context: Context) -> Supervised:
    """Build a bag of embeddings that learns which half of the vocabulary dominates a text."""
    if options.late_variable:
        os.environ[options.late_variable] = "0"
    row = {word: number for number, word in enumerate(set(WORDS))}  # the fault
    numbers = torch.randint(len(WORDS), (options.texts, LENGTH))
    rows = torch.tensor([[row[WORDS[number]] for number in text] for text in numbers.tolist()])
    labels = (numbers < len(WORDS) // 2).double().mean(dim=1).gt(0.5).long()
    cut = options.texts * 3 // 4
    examples = Examples(rows.to(context.device), labels.to(context.device))
    model = nn.Sequential(
        nn.EmbeddingBag(len(WORDS), options.width, mode="mean"), nn.Linear(options.width, 2)
    ).to(context.device)
    return Supervised(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=options.learning_rate),
        loss=F.cross_entropy,
        train=examples.at(torch.arange(cut, device=context.device)),
        held_out=examples.at(torch.arange(cut, options.texts, device=context.device)),
        batch_size=options.batch_size,
        steps=options.steps,
    )
