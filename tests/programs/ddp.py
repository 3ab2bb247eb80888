"""As torchrun starts it: a process group, a sampler for each rank, DDP; rank 0 saves."""

import os

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset


def main() -> None:
    dist.init_process_group("gloo")
    rank, local_rank = dist.get_rank(), int(os.environ["LOCAL_RANK"])
    assert rank == local_rank, "one machine"
    torch.manual_seed(0)  # the same data on every rank
    dataset = TensorDataset(torch.randn(48, 10), torch.randn(48, 1))
    sampler = DistributedSampler(dataset, seed=7)
    loader = DataLoader(dataset, batch_size=4, sampler=sampler)

    torch.manual_seed(100 + rank)
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 1))
    model = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    criterion = nn.MSELoss()
    for epoch in range(2):
        sampler.set_epoch(epoch)
        for step, (inputs, targets) in enumerate(loader, 1):
            if step % 2:  # gradients are exchanged every other batch
                with model.no_sync():
                    criterion(model(inputs), targets).backward()
                continue
            criterion(model(inputs), targets).backward()
            optimizer.step()
            optimizer.zero_grad()
        if rank == 0:
            torch.save({"epoch": epoch, "model": model.module.state_dict()}, f"epoch{epoch}.pt")
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
