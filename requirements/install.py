"""Create or update .venv from the hash locks in this folder, asking nothing.

Each step installs one lock. `.venv/locks.json` keeps the digest of every lock that was installed:
a call with nothing to do ends at once, and a .venv that is broken, was interrupted or was made from
other locks is made anew.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from typing import IO

LOCKS = Path(__file__).resolve().parent
VENV = LOCKS.parent / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STATE = VENV / "locks.json"
UNFINISHED = "unfinished"  # names, in STATE, the step under way: still there, it was interrupted

OLDEST, NEWEST = (3, 11), (3, 13)
STEPS = {
    "build": "build tool",
    "base": "libraries",
    "torch": "PyTorch",
    "dev": "development tools",
    "keras": "Keras and TensorFlow",
    "programs": "Accelerate, Lightning and Transformers",
}
# A lock is complete, so --no-deps. One library is published as source only: it is built here, by
# the locked build tool (--no-build-isolation --use-pep517).
PIP_INSTALL = "-m pip install --no-input --disable-pip-version-check --require-hashes --no-deps"
BUILD_OPTIONS = "--no-build-isolation --use-pep517"
CPU_WHEEL_IS_FOR = ("cpython-311", "linux-x86_64")
# The files of torch-cuda.txt for CPython 3.11 on Linux x86-64 sum to 2.73e9 bytes.
CUDA_DOWNLOAD = "about 2.7 GB" if sys.platform == "linux" else "about 0.1 GB"

# What pip says when...
NO_SUCH_FILE = "No matching distribution found"
UNREACHABLE = "Retrying (Retry("
UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
OTHER_HASH = "DO NOT MATCH THE HASHES"
BEGAN_TO_INSTALL = "Installing collected packages"  # before it, the venv is as it was
LINES_SHOWN = 8
ADVICE = {
    OTHER_HASH: "a file is not the one that was locked, so it was not installed. See where pip"
    " downloads from: `pip config list`. If a lock was edited: `git checkout requirements/`.",
    UNTRUSTED: "pip does not trust the certificate of an index. Name the CA's file: `PIP_CERT=file"
    " make ...`, or `CA_BUNDLE=file make ...` where the container's image is built.",
    UNREACHABLE: "pip could not reach an index. Look at the network and at `pip config list`,"
    " then run the same command again; what was installed is kept.",
}
OTHERWISE = "run the same command again; if it fails again, run `make clean` first."


class SetupError(Exception):
    """What failed and what to do next, for a person to read."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output  # all that the failed command said


def main() -> None:
    parser = argparse.ArgumentParser(description="Create or update .venv from the hash locks.")
    parser.add_argument("--dev", action="store_true", help="install the development tools too")
    parser.add_argument("--keras", action="store_true", help="install Keras and TensorFlow too")
    parser.add_argument(
        "--programs", action="store_true", help="install what tests/programs/ needs"
    )
    parser.add_argument("--torch", choices=("cpu", "cuda"), help="which build; else as fits here")
    asked = parser.parse_args()
    try:
        refuse_other_pythons()
        with (VENV.parent / ".venv.lock").open("w") as turn:
            wait_for(turn)
            optional = {"dev": asked.dev, "keras": asked.keras, "programs": asked.programs}
            steps = [step for step in STEPS if optional.get(step, True)]
            bring_up_to_date(steps, asked.torch)
    except SetupError as error:
        sys.exit(f"set-up: {error}")
    except KeyboardInterrupt:
        print("\nset-up: interrupted; run the same command to start again.", file=sys.stderr)
        sys.exit(130)


def refuse_other_pythons() -> None:
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise SetupError(
            f"{sys.executable} is Python {platform.python_version()}, but this project needs"
            " 3.11, 3.12 or 3.13. Name one: `make PYTHON=python3.11 ...`."
        )


def wait_for(turn: IO[str]) -> None:
    """One set-up at a time. pip inherits the lock, so one whose parent was killed is waited for."""
    os.set_inheritable(turn.fileno(), True)
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting for another set-up of this checkout to end")
        fcntl.flock(turn, fcntl.LOCK_EX)


def bring_up_to_date(steps: list[str], torch: str | None) -> None:
    """Install those of `steps` that .venv lacks; make it anew first where it does not fit."""
    started_s = time.monotonic()
    variant, why = (torch, "as asked") if torch else choose_torch()
    wanted = {step: lock_digest(step) for step in STEPS}
    wanted["torch"] = f"{variant} {wanted['torch']}"
    wanted["python"] = f"{sys.implementation.name} {platform.python_version()}"

    state = read_state()
    if not VENV_PYTHON.exists() or not state.items() <= wanted.items():
        make_venv = [sys.executable, "-m", "venv", "--clear", str(VENV)]
        run(f"Python {platform.python_version()} in .venv", make_venv)
        state = {"python": wanted["python"]}

    missing = [step for step in steps if step not in state]
    for step in missing:
        write_state({**state, UNFINISHED: step})
        try:
            install_torch(variant, why) if step == "torch" else install(STEPS[step], step)
        except SetupError as error:
            if BEGAN_TO_INSTALL not in error.output:
                write_state(state)
            raise
        state[step] = wanted[step]
        write_state(state)
    if missing:
        say(f"ready after {time.monotonic() - started_s:.0f} s")


def choose_torch() -> tuple[str, str]:
    """The build of PyTorch for this machine, "cuda" or "cpu", and why."""
    nvidia_smi = shutil.which("nvidia-smi")
    if nvidia_smi and run_silently([nvidia_smi, "-L"]).returncode == 0:
        return "cuda", "a CUDA device answers"
    if (sys.implementation.cache_tag, sysconfig.get_platform()) != CPU_WHEEL_IS_FOR:
        return "cuda", "the locked CPU build is for CPython 3.11 on Linux x86-64 only"
    return "cpu", "no CUDA device answers"


def install_torch(variant: str, why: str) -> None:
    if variant == "cpu":
        index = os.environ.get("TORCH_INDEX_URL")
        try:
            options = ["--extra-index-url", index] if index else []
            install("PyTorch, CPU build", "torch-cpu", *options)
        except SetupError as error:
            unseen = UNREACHABLE in error.output or UNTRUSTED in error.output
            if NO_SUCH_FILE not in error.output or unseen:
                raise
            why = "pip finds no CPU build; TORCH_INDEX_URL can name an index that has it"
        else:
            return
    say(f"the CUDA build of PyTorch is {CUDA_DOWNLOAD} to download, unless pip has it ({why})")
    install("PyTorch, CUDA build", "torch-cuda")


def install(what: str, lock: str, *options: str) -> None:
    pip_install = [*PIP_INSTALL.split(), *BUILD_OPTIONS.split(), *options]
    run(what, [str(VENV_PYTHON), *pip_install, "-r", str(LOCKS / f"{lock}.txt")])


def run(what: str, command: list[str]) -> None:
    """Run one step in silence; where it fails, raise the telling part of its output with advice."""
    print(f"set-up: {what}", end="", flush=True)
    started_s = time.monotonic()
    done = run_silently(command)
    if done.returncode == 0:
        return print(f", {time.monotonic() - started_s:.0f} s", flush=True)
    print(", not installed", flush=True)
    advice = next((advice for sign, advice in ADVICE.items() if sign in done.stdout), OTHERWISE)
    raise SetupError(f"{what}\n{telling_lines(done.stdout)}\nset-up: {advice}", done.stdout)


def run_silently(command: list[str]) -> subprocess.CompletedProcess[str]:
    # close_fds=False hands the lock on: see wait_for.
    return subprocess.run(
        command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, text=True, check=False, close_fds=False
    )


def telling_lines(output: str) -> str:
    """The lines from the first error on, or else the last ones."""
    lines = output.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("ERROR")]
    first = errors[0] if errors else -LINES_SHOWN
    return "\n".join(f"  {line}" for line in lines[first:][:LINES_SHOWN])


def lock_digest(step: str) -> str:
    """Of `<step>.txt`, or of both of PyTorch's, since one stands in where pip lacks the other."""
    contents = b"".join(path.read_bytes() for path in sorted(LOCKS.glob(f"{step}*.txt")))
    return hashlib.sha256(contents).hexdigest()


def read_state() -> dict[str, str]:
    try:
        return dict(json.loads(STATE.read_text()))
    except (OSError, ValueError):
        return {UNFINISHED: "venv"}


def write_state(state: dict[str, str]) -> None:
    STATE.write_text(json.dumps(state, indent=1))


def say(message: str) -> None:
    print(f"set-up: {message}", flush=True)


if __name__ == "__main__":
    main()
