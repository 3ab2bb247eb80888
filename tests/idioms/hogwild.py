"""Processes train one shared model without locks, as in PyTorch's example mnist_hogwild."""

import argparse
import hashlib
import os

import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(32, 64)
        self.fc2 = nn.Linear(64, 4)

    def forward(self, x):
        x = F.dropout(F.relu(self.fc1(x)), training=self.training)
        return F.log_softmax(self.fc2(x), dim=1)


def train(rank, args, model, dataset):
    torch.set_num_threads(1)
    if args.seed is not None:
        torch.manual_seed(args.seed + rank)
    loader = DataLoader(dataset, batch_size=args.batch_size, shuffle=True)
    optimizer = optim.SGD(model.parameters(), lr=args.lr, momentum=args.momentum)
    for epoch in range(1, args.epochs + 1):
        model.train()
        for data, target in loader:
            optimizer.zero_grad()
            loss = F.nll_loss(model(data), target)
            loss.backward()
            optimizer.step()
        print(f"{os.getpid()}\tTrain Epoch: {epoch}\tLoss: {loss.item():.6f}")


def test(model, dataset):
    model.eval()
    data, target = dataset.tensors
    with torch.no_grad():
        output = model(data)
    correct = output.argmax(1).eq(target).sum().item()
    loss = F.nll_loss(output, target)
    print(f"Test set: Average loss: {loss:.4f}, Accuracy: {correct}/{len(data)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--momentum", type=float, default=0.5)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--num-processes", type=int, default=2)
    args = parser.parse_args()
    if args.seed is not None:
        torch.manual_seed(args.seed)
    mp.set_start_method("spawn", force=True)

    data = torch.randn(1024, 32)
    dataset = TensorDataset(data, data[:, :4].argmax(1))
    model = Net()
    model.share_memory()  # gradients are allocated lazily, so they are not shared here

    processes = []
    for rank in range(args.num_processes):
        p = mp.Process(target=train, args=(rank, args, model, dataset))
        p.start()  # the processes train the model, all at once
        processes.append(p)
    for p in processes:
        p.join()
    test(model, dataset)

    sha = hashlib.sha256()
    for p in model.parameters():
        sha.update(p.detach().numpy().tobytes())
    print("digest", sha.hexdigest())
