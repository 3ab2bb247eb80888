"""A script that can do odd things, in a folder of its own, and the words that run it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import TRACES_ONLY

TRAIN = """
import argparse, os, sys
import torch
from torch import nn

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--act", default="plain")
    parser.add_argument("--steps", type=int, default=6)
    args = parser.parse_args()
    if args.act == "fail":
        raise FileNotFoundError("the data are not there")
    if args.act == "exit":
        sys.exit(3)
    if args.act == "nothing":
        return
    if args.act == "hang":
        while True:
            pass
    if args.act == "print":
        for _ in range(100):
            print("x" * 100_000)
    if args.act == "fork":
        os.fork()  # the child goes on, as the parent does
    if args.act == "change":
        os.chdir("/")
    net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 2))
    table = torch.randn(64, requires_grad=True)
    optimizers = [torch.optim.Adam(net.parameters(), 1e-2), torch.optim.SGD([table], 0.1)]
    for step in range(args.steps):
        for one in optimizers:
            one.zero_grad()
        loss = net(torch.randn(16, 20)).square().mean()
        loss.backward()
        if args.act == "race":
            index = torch.randint(64, (100_000,))
            (table[index] * torch.randn(100_000)).sum().backward()
            optimizers[1].step()
        optimizers[0].step()
    sys.exit(0)

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(TRAIN)
    return tmp_path


def words(path: str, *more: str) -> list[str]:
    return [
        "scenario=script",
        f"scenario.path={path}",
        "determinism=seed",
        "device=cpu",
        *TRACES_ONLY,
        *more,
    ]
