"""A training that depends on what `--on` names: each changes its first weight, some together.

A name is one of SOURCES; `a+b` matters only if both differ from what is usual.
"""

import argparse
import ctypes
import datetime as dt
import locale
import multiprocessing
import os
import platform
import random
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, get_worker_info

HERE = Path(__file__).resolve().parent


def listed() -> str:
    folder = HERE / "entries"
    folder.mkdir(exist_ok=True)
    for number in range(8):
        (folder / f"entry{number}").touch()
    return " ".join(path.name for path in folder.iterdir())


def mode() -> int:
    path = Path(tempfile.gettempdir()) / f"mode-{os.getpid()}"
    path.touch()
    found = path.stat().st_mode
    path.unlink()
    return found


def is_busy() -> bool:
    """As a program sees it that chooses an algorithm by timing."""
    wall, own = time.perf_counter(), time.process_time()
    while time.process_time() < own + 0.3:
        pass
    return time.perf_counter() - wall > 0.45


def new_memory() -> bool:
    """Whether new memory is filled with NaN, or with any one number but zero."""
    new = torch.empty(4096)
    return bool(new.isnan().all() or ((new == new[0]).all() and new[0] != 0))


def mapped() -> bool:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    return sum(libc.malloc(120_000) % 4096 == 16 for _ in range(16)) > 8


class Numbers(Dataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        worker = get_worker_info()
        process = type(multiprocessing.current_process()).__name__
        return torch.tensor(
            [worker.num_workers if worker else 0, hash(process) % 1000], dtype=torch.float64
        )


def loaded(column: int) -> float:
    loader = DataLoader(Numbers(), batch_size=4, num_workers=1)
    return float(sum(batch[:, column].sum() for batch in loader))


def ahead() -> int:
    return DataLoader(Numbers(), num_workers=1).prefetch_factor or 0


SOURCES = {
    "threads": torch.get_num_threads,
    "instruction_set": torch.backends.cpu.get_cpu_capability,
    "affinity": lambda: len(os.sched_getaffinity(0)),
    "wait_policy": lambda: os.environ.get("OMP_WAIT_POLICY"),
    "load": is_busy,
    "loader_workers": lambda: loaded(0),
    "loader_start": lambda: loaded(1),
    "prefetch": ahead,
    "hash_seed": lambda: next(iter({"a", "b", "c", "d", "e", "f", "g", "h"})),
    "directory_order": listed,
    "clock": lambda: dt.date.today().toordinal(),
    "time_zone": lambda: time.timezone,
    "locale": locale.getencoding,
    "umask": mode,
    "undo": lambda: (os.umask(0o022), 0)[1],  # of the umask: what is read back at the end is usual
    "home": Path.home,
    "host_name": platform.node,
    "folder": lambda: len(str(Path.cwd())),
    "environment_size": lambda: sum(map(len, os.environ.values())) > 8000,
    "address_layout": lambda: "0040000" in Path("/proc/self/personality").read_text(),
    "memory": new_memory,
    "heap": mapped,
    "seed_python": random.random,
    "seed_numpy": np.random.rand,
    "seed_generators": lambda: float(torch.rand(1, generator=torch.Generator().manual_seed(3))),
    "chance": lambda: os.urandom(4) if random.SystemRandom().random() < 0.3 else 0,
    "always": lambda: os.urandom(8),
}
# What a process without any perturbation has, for those that are planted together.
USUAL = {"umask": lambda: mode() & 0o77 != 0, "host_name": lambda: platform.node() != "perturbed"}


def value(source: str) -> object:
    if "+" in source:
        return not any(USUAL[name]() for name in source.split("+"))
    return SOURCES[source]()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--on", default="")
    sources = [name for name in parser.parse_args().on.split(",") if name]
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    model = nn.Linear(4, 2)
    with torch.no_grad():
        for source in sources:
            text = repr(value(source)).encode()
            model.weight[0, 0] += zlib.crc32(text) % 1009 / 1009
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(3, 4)).square().mean().backward()
        optimizer.step()


if __name__ == "__main__":
    main()
