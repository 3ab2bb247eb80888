"""DistributedDataParallel training on several processes, each with a shard of every batch.

The harness's run is rank 0. ``build`` starts the other ranks, which build the same model, train on
their shards for the same number of steps and exit. Gradients are averaged over gloo on a CPU and
over NCCL on CUDA, with one GPU per rank. Rank 0 draws the order of the data and broadcasts it, and
DistributedDataParallel broadcasts rank 0's initial weights, so the ranks agree even if nothing is
seeded. ``processes: 1`` trains on the same batches without DistributedDataParallel.

The ranks rendezvous through a file and communicate over the loopback interface, so no port has to
be chosen in advance.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from harness.scenario import (
    Context,
    Evaluation,
    Examples,
    Training,
    classified,
    digits,
    predict,
    shuffled,
)

LIMIT_S = 60.0  # for starting a rank and for one collective; a lost rank ends the run
EXIT_LIMIT_S = 5.0  # for a rank after its last step


@dataclass(frozen=True)
class Options:
    processes: int = 2  # 1: one process without DistributedDataParallel
    width: int = 64
    batch_size: int = 64  # total over all processes
    steps: int = 20
    learning_rate: float = 0.2

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise ValueError(f"processes={self.processes}: must be at least 1")
        if self.batch_size % self.processes:
            raise ValueError(
                f"batch_size={self.batch_size}: must be divisible by processes={self.processes}"
            )


@dataclass(frozen=True)
class Place:
    """A rank, its device, and the rendezvous file of all ranks."""

    rank: int
    processes: int
    device: torch.device
    meeting: Path

    @property
    def backend(self) -> str:
        return "nccl" if self.device.type == "cuda" else "gloo"

    def join(self) -> None:
        loopback = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
        os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = loopback[0]
        dist.init_process_group(
            self.backend,
            init_method=self.meeting.as_uri(),
            rank=self.rank,
            world_size=self.processes,
            timeout=timedelta(seconds=LIMIT_S),
            device_id=self.device if self.device.type == "cuda" else None,
        )


class Sharded(Training):
    """The training of any rank; ``place`` is None for a training on one process."""

    def __init__(self, options: Options, device: torch.device, place: Place | None) -> None:
        self.options, self.device, self.place = options, device, place
        layers = [nn.Linear(64, options.width), nn.ReLU(), nn.Linear(options.width, 10)]
        self.model = nn.Sequential(nn.Flatten(), *layers).to(device)
        self.called = DistributedDataParallel(self.model) if place else self.model
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=options.learning_rate, momentum=0.9
        )
        self.models = {"model": self.model}
        self.optimizers = {"optimizer": self.optimizer}
        self.train, self.held_out = digits(device)

    def batches(self) -> Iterator[Examples]:
        """Iterate over this rank's shard of every batch."""
        rank, processes = (self.place.rank, self.place.processes) if self.place else (0, 1)
        taken = 0
        while True:
            for index in self.order():
                if taken == self.options.steps:
                    return
                taken += 1
                yield self.train.at(index.chunk(processes)[rank])

    def order(self) -> list[Tensor]:
        """Return the indices of an epoch's batches, as drawn by rank 0."""
        order = torch.stack(shuffled(len(self.train), self.options.batch_size, self.device))
        if self.place:
            dist.broadcast(order, src=0)
        return list(order)

    def step(self, batch: Examples) -> Tensor:
        """Return the loss of the whole batch: the mean over all ranks."""
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.called(batch.inputs), batch.targets)
        loss.backward()
        self.optimizer.step()
        loss = loss.detach()
        if self.place:
            dist.all_reduce(loss)
            loss /= self.place.processes
        return loss

    def evaluate(self) -> Evaluation:
        return classified(predict(self.model, self.held_out.inputs), self.held_out.targets)

    def facts(self) -> dict[str, Any]:
        backend = self.place.backend if self.place else None
        return {"processes": self.options.processes, "backend": backend}


class Leading(Sharded):
    """The training of rank 0, which stops the processes of the other ranks at the end."""

    def __init__(self, options: Options, place: Place, others: list[SpawnProcess]) -> None:
        self.others, self.meeting = others, place.meeting
        super().__init__(options, place.device, place)

    def batches(self) -> Iterator[Examples]:
        try:
            yield from super().batches()
        finally:
            dismiss(self.others, self.meeting)


def build(options: Options, context: Context) -> Sharded:
    if options.processes == 1:
        return Sharded(options, context.device, None)
    devices = devices_from(context.device, options.processes)
    meeting = Path(tempfile.mkdtemp(prefix="harness-ddp-")) / "meeting"
    places = [
        Place(rank, options.processes, device, meeting) for rank, device in enumerate(devices)
    ]
    others: list[SpawnProcess] = []
    try:
        start(others, places[1:], options, context)
        places[0].join()
        return Leading(options, places[0], others)
    except BaseException:
        dismiss(others, meeting)
        raise


def devices_from(first: torch.device, processes: int) -> list[torch.device]:
    """Return each rank's device: the CPU for all, or consecutive GPUs starting at ``first``.

    Raises ValueError if there are fewer GPUs than ranks.
    """
    if first.type != "cuda":
        return [first] * processes
    index, available = first.index or 0, torch.cuda.device_count()
    if index + processes > available:
        raise ValueError(
            f"processes={processes}: each process needs its own GPU, starting at cuda:{index}, "
            f"but this machine has {available}"
        )
    return [torch.device("cuda", index + rank) for rank in range(processes)]


def start(
    others: list[SpawnProcess], places: list[Place], options: Options, context: Context
) -> None:
    """Start the processes of ``places``, append them to ``others`` and wait until they are ready.

    The processes are spawned, because OpenMP threads do not survive a fork. Raises RuntimeError if
    a process exits or exceeds ``LIMIT_S`` before it is ready.
    """
    spawn = multiprocessing.get_context("spawn")
    replies = []
    for place in places:
        receiver, sender = spawn.Pipe(duplex=False)
        arguments = (place, options, context.in_child, sender)
        others.append(spawn.Process(target=follow, args=arguments, daemon=True))
        others[-1].start()
        sender.close()
        replies.append(receiver)
    for place, reply in zip(places, replies, strict=True):
        if not has_word(reply):
            raise RuntimeError(
                f"rank {place.rank} of {place.processes} did not start; see its output in the log"
            )


def has_word(reply: Connection) -> bool:
    """Whether a message arrives within ``LIMIT_S``, before the pipe is closed."""
    try:
        return reply.poll(LIMIT_S) and bool(reply.recv())
    except EOFError:
        return False


def dismiss(others: list[SpawnProcess], meeting: Path) -> None:
    """Leave the process group; kill ranks that do not exit within ``EXIT_LIMIT_S``."""
    if dist.is_initialized():
        dist.destroy_process_group()
    for process in others:
        process.join(EXIT_LIMIT_S)
        process.kill()
        process.join()
    shutil.rmtree(meeting.parent, ignore_errors=True)


def follow(place: Place, options: Options, in_child: Callable[[], None], reply: Connection) -> None:
    """Run a rank other than 0 from start to exit."""
    threading.Thread(target=die_with_parent, args=(place.meeting,), daemon=True).start()
    try:
        in_child()
        reply.send("ready")
        place.join()
        training = Sharded(options, place.device, place)
        for batch in training.batches():
            training.step(batch)
        dist.destroy_process_group()
        os._exit(0)  # unloading torch would keep rank 0 waiting
    finally:  # reached only on failure, when rank 0 may have exited without cleaning up
        shutil.rmtree(place.meeting.parent, ignore_errors=True)


def die_with_parent(meeting: Path) -> None:
    """Exit when rank 0 exits: it may be killed or exit without notice."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    shutil.rmtree(meeting.parent, ignore_errors=True)
    os._exit(1)
