"""A plain loop: half precision where asked, accumulated gradients, two optimizers, a checkpoint."""

import argparse
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Dropout(0.1),
        )
        self.head = nn.Linear(128, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--accumulate", type=int, default=2)
    parser.add_argument("--amp", choices=["float16", "bfloat16"])
    parser.add_argument("--compile", metavar="BACKEND")
    parser.add_argument("--out", type=Path, default=Path("out"))
    return parser.parse_args()


def main() -> None:
    args = parsed()
    if args.seed is not None:
        random.seed(args.seed)
        torch.manual_seed(args.seed)
    images, labels = torch.randn(32, 1, 8, 8), torch.randint(4, (32,))
    data = torch.utils.data.TensorDataset(images, labels)
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)

    net = Net()
    model = torch.compile(net, backend=args.compile) if args.compile else net
    optimizers = [
        torch.optim.AdamW(net.body.parameters(), 1e-3),
        torch.optim.SGD(net.head.parameters(), 1e-2, momentum=0.9),
    ]
    dtype = getattr(torch, args.amp or "float32")
    scaler = torch.amp.GradScaler("cpu", enabled=args.amp == "float16", init_scale=2.0**10)
    for epoch in range(args.epochs):
        model.train()
        for step, (image, label) in enumerate(loader, 1):
            with torch.autocast("cpu", dtype, enabled=args.amp is not None):
                loss = F.cross_entropy(model(image), label) / args.accumulate
            scaler.scale(loss).backward()
            if step % args.accumulate:
                continue
            for optimizer in optimizers:
                scaler.step(optimizer)
                optimizer.zero_grad(set_to_none=True)
            scaler.update()
        print(f"epoch {epoch}: loss {loss.item() * args.accumulate:.4f}")

    args.out.mkdir(exist_ok=True)
    states = {
        "model": net.state_dict(),
        "optimizers": [one.state_dict() for one in optimizers],
        "scaler": scaler.state_dict(),
        "epoch": args.epochs,
    }
    torch.save(states, args.out / "checkpoint.pt")


if __name__ == "__main__":
    main()
