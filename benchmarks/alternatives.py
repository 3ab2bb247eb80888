"""What one would do instead to see whether a training repeats itself: 20 runs in five ways.

The training is the scenario resnet as a user's script, which prints a hash of its final parameters.
Only the harness digests every step, gives each run a hash seed and address layout of its own, and
keeps other processes off the cores of a run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.alternate import seconds
from harness.study.child_process import environment

RUNS = 20
SCRIPT = """
import hashlib, sys
import torch
from harness.scenarios import resnet
from harness.scenario import Context

def main():
    torch.manual_seed(0)
    training = resnet.build(resnet.Options(), Context(torch.device("cpu")))
    for batch in training.batches():
        training.step(batch)
    values = b"".join(p.detach().numpy().tobytes() for p in training.model.parameters())
    return hashlib.sha256(values).hexdigest()

if __name__ == "__main__":
    print(main())
"""
FORKS = f"""
import multiprocessing, train
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        print(set(pool.starmap(train.main, [()] * {RUNS}, chunksize=1)))
"""
TESTS = f"""
import pytest, train
KNOWN = []

@pytest.mark.parametrize("number", range({RUNS}))
def test_repeats(number):
    KNOWN.append(train.main())
    assert len(set(KNOWN)) == 1
"""


def run() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, text in (("train", SCRIPT), ("forks", FORKS), ("test_train", TESTS)):
            (folder / f"{name}.py").write_text(text)
        start = partial(subprocess.run, cwd=folder, check=True, capture_output=True)
        start = partial(start, env=environment({}))
        script = [sys.executable, "train.py"]
        ways: dict[str, Callable[[], object]] = {
            "the harness": partial(study, folder),
            "a shell loop": lambda: [start(script) for _ in range(RUNS)],
            "multiprocessing with fork": partial(start, [sys.executable, "forks.py"]),
            "pytest -n 2": partial(start, tests_command()),
        }
        if shutil.which("hyperfine"):
            hyperfine = ["hyperfine", "--shell=none", f"--runs={RUNS}", " ".join(script)]
            ways["hyperfine"] = partial(start, hyperfine)
        else:
            print("hyperfine is left out: it is not installed (apt-get install hyperfine)")
        times = {name: seconds(way) for name, way in ways.items()}
    own = times["the harness"]
    for name, taken in times.items():
        print(f"{RUNS} runs of resnet by {name}: {taken:.1f} s, {taken / own:.2f} of the harness")


def study(folder: Path) -> None:
    words = ["scenario=resnet", "determinism=seed", f"runs.trace={RUNS}", "runs.repeats=1"]
    words += ["runs.timing=0", "study.control=null", f"study.dir={folder / 'study'}"]
    command = [sys.executable, "-m", "harness", *words]
    subprocess.run(command, check=True, capture_output=True)


def tests_command() -> Sequence[str]:
    options = ["-q", "-n", "2", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir=."]
    return [sys.executable, "-m", "pytest", *options, "test_train.py"]
