"""Small programs that an observer once misread, changed or broke."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness.core.record import RunRecord, load_record
from tests.conftest import FORK, harness, study_of
from tests.worker.script_backend.conftest import words

# Small programs that an observer has misread, changed or broken, and what is true of them.
TRAPS = {
    "hidden.py": """
# A caught exception in a forward once hid every later model, such as this one's running mean.
import os, torch
from torch.utils.checkpoint import checkpoint
net, norm = torch.nn.Linear(4, 1), torch.nn.BatchNorm1d(4)
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(3):
    optimizer.zero_grad()
    checkpoint(net, torch.randn(4, 4), use_reentrant=False).sum().backward()
    optimizer.step()
    noise = torch.Generator().manual_seed(int.from_bytes(os.urandom(4), "little"))
    with torch.no_grad():
        norm(torch.randn(4, 4, generator=noise))
""",
    "late.py": """
# A tensor that joins an optimizer after its first step.
import os, torch
net = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(3):
    if step == 1:
        noise = torch.Generator().manual_seed(int.from_bytes(os.urandom(4), "little"))
        extra = torch.nn.Parameter(torch.randn(5, generator=noise))
        optimizer.add_param_group({"params": [extra]})
    optimizer.zero_grad()
    loss = net(torch.randn(4, 3)).sum() + (extra.sum() * 0 if step else 0)
    loss.backward()
    optimizer.step()
""",
    "names.py": """
# Arguments without bits, in a loop that skips whatever fails.
import numpy as np, torch
class Net(torch.nn.Linear):
    def forward(self, x, names=None, owner=None):
        return super().forward(x)
net = Net(3, 1)
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(3):
    try:
        optimizer.zero_grad()
        net(torch.randn(4, 3), names=np.array(["a", "b"]), owner=object()).sum().backward()
        optimizer.step()
    except Exception:
        raise SystemExit("the observer raised into the training")
""",
    "precision.py": """
# The newer interface of TF32, after which torch refuses to read the older one.
import os, torch
os.environ["PYTHONHASHSEED"] = "7"  # too late to have an effect
torch.backends.cuda.matmul.fp32_precision = "tf32"
child = os.fork()
if child == 0:
    raise SystemExit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
assert os.spawnv(os.P_WAIT, "/bin/true", ["true"]) == 0
net = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(3):
    optimizer.zero_grad()
    torch.autograd.backward(loss for loss in [net(torch.randn(4, 3)).sum()])
    optimizer.step()
assert net.weight.grad is not None
""",
    "again.py": """
# Starts itself again with a hash seed, trains in a thread, and writes a file when Python exits.
import atexit, os, sys, threading
if os.environ.get("PYTHONHASHSEED") != "5":
    os.environ["PYTHONHASHSEED"] = "5"
    os.execv(sys.executable, [sys.executable, *sys.argv])
import torch
atexit.register(lambda: open("at_exit.txt", "w").write("a"))
def train():
    net = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for step in range(3):
        net(torch.randn(4, 3)).sum().backward()
        optimizer.step()
threading.Thread(target=train).start()
""",
    "spawned.py": """
# Trains in a spawned process.
import torch, torch.multiprocessing
def train(rank, net):
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for step in range(3):
        net(torch.randn(4, 3)).sum().backward()
        optimizer.step()
if __name__ == "__main__":
    net = torch.nn.Linear(3, 1).share_memory()
    torch.multiprocessing.spawn(train, args=(net,), nprocs=1)
    net(torch.ones(1, 3))
""",
    "by_hand.py": """
# Updates its parameters by hand, with noise that no seed reaches.
import os, torch
weight = torch.randn(3, requires_grad=True)
for step in range(3):
    noise = torch.Generator().manual_seed(int.from_bytes(os.urandom(4), "little"))
    (weight * torch.randn(3, generator=noise)).sum().backward()
    weight.data.add_(weight.grad, alpha=-0.1)
    weight.grad = None
""",
    "one_thread.py": """
# Asks for one thread before it imports torch; its sums race with more.
import os
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TORCH_RUN"] = str(os.getpid())  # another value at every start
import torch
table = torch.nn.Parameter(torch.zeros(64))
optimizer = torch.optim.SGD([table], 0.1)
for step in range(3):
    optimizer.zero_grad()
    (table[torch.randint(64, (300_000,))] * torch.randn(300_000)).sum().backward()
    optimizer.step()
""",
    "compiled.py": """
# Computes otherwise if an earlier run has left compiled code behind.
import os, pathlib, torch
folder = pathlib.Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR", "/tmp/torchinductor_test"))
scale = 2.0 if folder.exists() else 1.0
folder.mkdir(parents=True, exist_ok=True)
net = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(3):
    optimizer.zero_grad()
    (net(torch.randn(4, 3)).sum() * scale).backward()
    optimizer.step()
""",
    "saves_at_exit.py": """
# Replaces its output, and saves an object of its own class when Python exits.
import atexit, sys, torch
class Log:
    def write(self, text):
        pass
class Net(torch.nn.Linear):
    pass
sys.stdout.close()
sys.stdout = Log()
net = Net(3, 1)
atexit.register(lambda: torch.save(net, "net.pt"))
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(2):
    net(torch.randn(4, 3)).sum().backward()
    optimizer.step()
""",
    "orig_argv.py": """
# Starts itself again by the command that Python remembers.
import os, sys
if "AGAIN" not in os.environ:
    os.environ["AGAIN"] = "1"
    os.execv(sys.executable, sys.orig_argv)
import torch
net = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(net.parameters(), 0.1)
net(torch.randn(4, 3)).sum().backward()
optimizer.step()
""",
    "forkserver.py": """
# Trains in a child of a fork server.
import torch, torch.multiprocessing as multiprocessing
def train(net):
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for step in range(3):
        net(torch.randn(4, 3)).sum().backward()
        optimizer.step()
if __name__ == "__main__":
    net = torch.nn.Linear(3, 1).share_memory()
    child = multiprocessing.get_context("forkserver").Process(target=train, args=(net,))
    child.start()
    child.join()
    net(torch.ones(1, 3))
""",
    "pools.py": """
# Has large weights, and leaves pools whose idle threads only Python's end stops.
import concurrent.futures, torch
threads = concurrent.futures.ThreadPoolExecutor(2)
processes = concurrent.futures.ProcessPoolExecutor(1)
net = torch.nn.Linear(2500, 2500)  # large enough to be digested by several threads
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(2):
    batch = threads.submit(torch.randn, 4, 2500).result()
    scale = processes.submit(abs, -1.0).result()
    optimizer.zero_grad()
    (net(batch).sum() * scale).backward()
    optimizer.step()
""",
    "leaves.py": """
# Ends its process before Python can.
import os
print("done", flush=True)
os._exit(0)
""",
    "other_program.py": """
# Replaces its process by another program.
import os
os.execv("/bin/true", ["true"])
""",
}


@pytest.mark.slow
def test_programs_that_were_once_misread_have_their_verdict(folder: Path) -> None:
    """What varies is seen to vary, and what was disturbed by observation runs to its end."""
    for name, text in TRAPS.items():
        (folder / name).write_text(text)
    done = harness("-m", *words(",".join(TRAPS), "runs.trace=2", FORK), cwd=folder)
    assert done.returncode == 3, done.stdout + done.stderr  # the last two fail
    study = study_of(done, folder)
    cells = pd.read_csv(study / "tables" / "cells.csv").set_index("overrides")["verdict"]
    verdicts = {words.removeprefix("scenario.path="): cell for words, cell in cells.items()}
    assert verdicts == {
        "hidden.py": "varies",
        "late.py": "varies",
        "names.py": "identical",
        "precision.py": "identical",
        "again.py": "identical",
        "spawned.py": "identical",
        "by_hand.py": "varies",
        "one_thread.py": "identical",
        "compiled.py": "identical",
        "saves_at_exit.py": "identical",
        "orig_argv.py": "identical",
        "forkserver.py": "identical",
        "pools.py": "identical",
        "leaves.py": "failed",
        "other_program.py": "failed",
    }
    for record in records_of(study, "precision.py"):
        assert record.effective["python_hash_seed"] is None
        assert record.effective["tf32"] is True
    for record in records_of(study, "again.py"):
        assert record.effective["python_hash_seed"] == 5
        assert record.repeats[0].facts["optimizer steps"] == 3
        assert list(record.repeats[0].facts["files"]) == ["at_exit.txt"]
    for record in records_of(study, "by_hand.py"):
        assert record.repeats[0].facts["steps without an optimizer"] == 3
    for record in records_of(study, "one_thread.py"):
        assert record.effective["threads"] == 1
    for record in records_of(study, "saves_at_exit.py"):
        assert list(record.repeats[0].facts["files"]) == ["net.pt"]
    for record in records_of(study, "leaves.py"):
        assert "ended its process itself, as by os._exit(0)" in record.message
    for record in records_of(study, "other_program.py"):
        assert "replaced its process by another program (true)" in record.message
    assert not list(folder.glob("*.txt"))
    assert not (study / "compiled").exists()


def records_of(study: Path, path: str) -> list[RunRecord]:
    runs = [load_record(file) for file in sorted((study / "runs").glob("*.trace.*.json"))]
    return [run for run in runs if run.spec.cell.scenario.options["path"] == path]
