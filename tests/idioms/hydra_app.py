"""A Hydra application: `python hydra_app.py lr=0.1 model.width=32 seed=1`."""

import hashlib
import logging
from pathlib import Path

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

log = logging.getLogger(__name__)


@hydra.main(version_base=None, config_path=".", config_name="config")
def main(cfg: DictConfig) -> float:
    log.info("\n%s", OmegaConf.to_yaml(cfg))
    if cfg.seed is not None:
        torch.manual_seed(cfg.seed)
    x = torch.randn(256, 8)
    loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=32, shuffle=True)
    activation = getattr(nn, cfg.model.activation)()
    model = nn.Sequential(nn.Linear(8, cfg.model.width), activation, nn.Linear(cfg.model.width, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=cfg.lr, momentum=0.9)
    for epoch in range(cfg.epochs):
        for inputs, targets in loader:
            loss = nn.functional.mse_loss(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        log.info("epoch %d: loss %.4f", epoch, loss.item())
    torch.save(model.state_dict(), Path(HydraConfig.get().runtime.output_dir) / "model.pt")

    sha = hashlib.sha256()
    for parameter in model.parameters():
        sha.update(parameter.detach().numpy().tobytes())
    print("digest", sha.hexdigest())
    return loss.item()


if __name__ == "__main__":
    main()
