"""A recurrent classifier that reads the digits row by row, with dropout between its two layers.

On CUDA the whole network is one cuDNN call. cuDNN keeps the random state of its dropout between
calls, so a second training in the same process may differ even if the first trainings agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.scenario import Context, Supervised, digits

PIXELS = 8  # in a row; a row is one time step


@dataclass(frozen=True)
class Options:
    width: int = 32
    dropout: float = 0.2  # between the layers; 0 is off
    batch_size: int = 32
    steps: int = 40
    learning_rate: float = 0.02

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout}: must be at least 0 and less than 1")


class RowReader(nn.Module):
    def __init__(self, width: int, dropout: float, classes: int = 10) -> None:
        super().__init__()
        self.lstm = nn.LSTM(PIXELS, width, num_layers=2, dropout=dropout, batch_first=True)
        self.fc = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        outputs, _ = self.lstm(images.squeeze(1))
        return self.fc(outputs[:, -1])  # type: ignore[no-any-return]


def build(options: Options, context: Context) -> Supervised:
    model = RowReader(options.width, options.dropout).to(context.device)
    train, held_out = digits(context.device)
    return Supervised(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=options.learning_rate),
        loss=F.cross_entropy,
        train=train,
        held_out=held_out,
        batch_size=options.batch_size,
        steps=options.steps,
    )
