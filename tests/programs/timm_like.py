"""In the style of timm's train.py: a seed for each rank, flags, EMA, a schedule, a saver."""

import argparse
import copy
import logging
import os
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

_logger = logging.getLogger("train")


def random_seed(seed: int = 42, rank: int = 0) -> None:
    torch.manual_seed(seed + rank)
    np.random.seed(seed + rank)
    random.seed(seed + rank)


class LabelSmoothingCrossEntropy(nn.Module):
    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        self.smoothing, self.confidence = smoothing, 1.0 - smoothing

    def forward(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        logprobs = F.log_softmax(x, dim=-1)
        nll_loss = -logprobs.gather(dim=-1, index=target.unsqueeze(1)).squeeze(1)
        return (self.confidence * nll_loss - self.smoothing * logprobs.mean(dim=-1)).mean()


class ModelEma(nn.Module):
    def __init__(self, model: nn.Module, decay: float = 0.99) -> None:
        super().__init__()
        self.module = copy.deepcopy(model).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        pairs = zip(self.module.state_dict().values(), model.state_dict().values(), strict=True)
        for ema_v, model_v in pairs:
            ema_v.copy_(self.decay * ema_v + (1.0 - self.decay) * model_v)


class Lookahead(torch.optim.Optimizer):
    """An optimizer around another one, as timm has it: it never runs torch's own constructor."""

    def __init__(self, base: torch.optim.Optimizer, alpha: float = 0.5, k: int = 2) -> None:
        self._optimizer_step_pre_hooks = {}
        self._optimizer_step_post_hooks = {}
        self.base, self.alpha, self.k, self.count = base, alpha, k, 0
        self.param_groups, self.defaults, self.state = base.param_groups, base.defaults, base.state
        self.slow = [p.detach().clone() for group in self.param_groups for p in group["params"]]

    @torch.no_grad()
    def step(self, closure=None):
        loss = self.base.step(closure)
        self.count += 1
        if self.count % self.k == 0:
            params = (p for group in self.param_groups for p in group["params"])
            for slow, p in zip(self.slow, params, strict=True):
                p.copy_(slow.lerp_(p, self.alpha))
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.base.zero_grad(set_to_none)


class CheckpointSaver:
    """Keeps the best by name: last.pth.tar, checkpoint-N.pth.tar, model_best.pth.tar."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.best = folder, -1.0

    def save(self, epoch: int, metric: float, **held) -> None:
        state = {
            "epoch": epoch,
            "metric": metric,
            **{
                f"state_dict_{k}" if k != "model" else "state_dict": v.state_dict()
                for k, v in held.items()
            },
        }
        last = self.folder / "last.pth.tar"
        torch.save(state, last)
        os.link(last, self.folder / f"checkpoint-{epoch}.pth.tar")
        if metric > self.best:
            self.best = metric
            torch.save(state, self.folder / "model_best.pth.tar")
        last.unlink()


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Training")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--smoothing", type=float, default=0.1)
    parser.add_argument("--lookahead", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("output/train"))
    return parser.parse_args()


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    args = parsed()
    torch.backends.cudnn.benchmark = True
    random_seed(args.seed, rank=0)

    model = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 5),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.05)
    optimizer = Lookahead(optimizer) if args.lookahead else optimizer
    base = optimizer.base if args.lookahead else optimizer
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(base, T_max=args.epochs)
    model_ema = ModelEma(model)
    images = np.random.rand(24, 3, 8, 8).astype("float32")
    dataset = [(torch.from_numpy(one), random.randrange(5)) for one in images]
    loader = torch.utils.data.DataLoader(dataset, batch_size=8, shuffle=True, drop_last=True)
    train_loss_fn, validate_loss_fn = LabelSmoothingCrossEntropy(args.smoothing), F.cross_entropy
    args.output.mkdir(parents=True, exist_ok=True)
    saver = CheckpointSaver(args.output)

    for epoch in range(args.epochs):
        model.train()
        for batch, target in loader:
            output = model(batch)
            loss = train_loss_fn(output, target)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            model_ema.update(model)
        metrics = validate(model_ema.module, loader, validate_loss_fn)
        scheduler.step()
        saver.save(epoch, metrics["top1"], model=model, ema=model_ema.module, optimizer=base)
        _logger.info("epoch %d: %s", epoch, metrics)


@torch.inference_mode()
def validate(model: nn.Module, loader, loss_fn) -> dict[str, float]:
    model.eval()
    losses, right, seen = [], 0, 0
    for batch, target in loader:
        output = model(batch)
        losses.append(loss_fn(output, target).item())
        right += int((output.argmax(1) == target).sum())
        seen += len(target)
    return {"loss": sum(losses) / len(losses), "top1": 100 * right / seen}


if __name__ == "__main__":
    main()
