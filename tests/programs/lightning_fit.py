"""Lightning's Trainer with what it does unasked: a progress bar, a CSV log, checkpoints."""

import argparse

import lightning as L
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class Classifier(L.LightningModule):
    def __init__(self, width: int = 16, lr: float = 1e-2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Linear(10, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 3)
        )

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        self.log("val_loss", F.cross_entropy(logits, y), prog_bar=True)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--accumulate", type=int, default=2)
    args = parser.parse_args()
    if args.seed is not None:
        L.seed_everything(args.seed, workers=True)
    dataset = TensorDataset(torch.randn(48, 10), torch.randint(3, (48,)))
    train, val = random_split(dataset, [32, 16])
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=2,
        accumulate_grad_batches=args.accumulate,
        gradient_clip_val=1.0,
        log_every_n_steps=1,
    )
    trainer.fit(Classifier(), DataLoader(train, 8, shuffle=True), DataLoader(val, 8))
    print(f"global step {trainer.global_step}")


if __name__ == "__main__":
    main()
