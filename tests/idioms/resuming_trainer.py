"""A Trainer that saves a checkpoint after each epoch, and resumes from it with --resume."""

import argparse
import hashlib
import random
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Spirals(Dataset):
    """Two noisy spirals, with noise that is drawn anew for each sample."""

    def __len__(self):
        return 256

    def __getitem__(self, index):
        label, angle = index % 2, index / 20
        radius = angle * (1 if label else -1)
        point = np.array([radius * np.cos(angle), radius * np.sin(angle)], dtype=np.float32)
        return point + np.random.normal(0, 0.1, 2).astype(np.float32), label


class Trainer:
    def __init__(self, args):
        self.epochs, self.path = args.epochs, Path(args.checkpoint)
        self.model = nn.Sequential(
            nn.Linear(2, 32), nn.BatchNorm1d(32), nn.Tanh(), nn.Dropout(0.1), nn.Linear(32, 2)
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 1, gamma=0.9)
        self.criterion = nn.CrossEntropyLoss()
        self.start_epoch = 0
        if args.resume and self.path.exists():
            self.load_checkpoint()

    def load_checkpoint(self):
        checkpoint = torch.load(self.path, weights_only=False)
        self.model.load_state_dict(checkpoint["model"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.scheduler.load_state_dict(checkpoint["scheduler"])
        torch.set_rng_state(checkpoint["rng"]["torch"])
        np.random.set_state(checkpoint["rng"]["numpy"])
        random.setstate(checkpoint["rng"]["python"])
        self.start_epoch = checkpoint["epoch"] + 1
        print(f"resuming at epoch {self.start_epoch}")

    def save_checkpoint(self, epoch):
        checkpoint = {
            "epoch": epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "rng": {
                "torch": torch.get_rng_state(),
                "numpy": np.random.get_state(),
                "python": random.getstate(),
            },
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        torch.save(checkpoint, temporary)
        temporary.replace(self.path)

    def train_epoch(self, epoch):
        self.model.train()
        total = 0.0
        for points, labels in DataLoader(Spirals(), batch_size=32, shuffle=True):
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(points), labels)
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        self.scheduler.step()
        print(f"epoch {epoch}: loss {total / 8:.4f}")

    def fit(self):
        for epoch in range(self.start_epoch, self.epochs):
            self.train_epoch(epoch)
            self.save_checkpoint(epoch)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--checkpoint", default="checkpoints/last.pt")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--seed", type=int)
    args = parser.parse_args()
    if args.seed is not None:
        random.seed(args.seed)
        np.random.seed(args.seed)
        torch.manual_seed(args.seed)
    trainer = Trainer(args)
    trainer.fit()

    sha = hashlib.sha256()
    for parameter in trainer.model.parameters():
        sha.update(parameter.detach().numpy().tobytes())
    print("digest", sha.hexdigest())


if __name__ == "__main__":
    main()
