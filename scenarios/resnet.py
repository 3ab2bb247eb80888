"""ResNet-18 with the usual stem for small images, SGD with momentum, and StepLR.

He et al., Deep Residual Learning for Image Recognition, 2015, table 1 and section 4.2, with a 3×3
stem of stride 1 instead of the 7×7 one, and no max-pool. The full-size network is ``width: 64``,
with 11.2 million parameters; the default has 0.7 million, and learns the digits within a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.scenario import Context, Supervised, digits


@dataclass(frozen=True)
class Options:
    width: int = 16  # channels of the first stage
    depth: int = 2  # blocks in each of the four stages
    samples: int = 480  # per epoch; StepLR steps at its end
    batch_size: int = 16
    steps: int = 60
    learning_rate: float = 0.02
    epochs_per_drop: int = 1  # StepLR's step_size


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, width: int = 64, depth: int = 2, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        blocks: list[nn.Module] = []
        channels = width
        for stage in range(4):
            outputs = width * 2**stage
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Block(channels, outputs, stride))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.stem(x)))
        x = self.blocks(x)
        return self.fc(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]


def build(options: Options, context: Context) -> Supervised:
    model = ResNet(options.width, options.depth).to(context.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=options.learning_rate, momentum=0.9)
    train, held_out = digits(context.device)
    return Supervised(
        model=model,
        optimizer=optimizer,
        loss=F.cross_entropy,
        train=train.at(torch.arange(options.samples, device=context.device)),
        held_out=held_out,
        batch_size=options.batch_size,
        steps=options.steps,
        scheduler=torch.optim.lr_scheduler.StepLR(optimizer, options.epochs_per_drop, gamma=0.1),
    )
