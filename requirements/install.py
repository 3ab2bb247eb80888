"""Create or update .venv from the hash locks in this folder, without prompting.

Each step installs one lock. `.venv/locks.json` records the digest of every installed lock, so a
call with nothing to do returns at once. A .venv that is broken, was interrupted, or was created
from other locks is recreated.
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
# Key in STATE for the step being installed. If it is still there, that step was interrupted.
UNFINISHED = "unfinished"

OLDEST, NEWEST = (3, 11), (3, 13)
STEPS = {
    "build": "build tool",
    "base": "libraries",
    "torch": "PyTorch",
    "dev": "development tools",
    "keras": "Keras and TensorFlow",
    "programs": "Accelerate, Lightning and Transformers",
    "exports": "MLflow and pyarrow",
    "cluster": "Ray",
}
OPTIONAL = ("dev", "keras", "programs", "exports", "cluster")
# A lock lists every dependency, hence --no-deps. One library is published only as source, so it is
# built here with the locked build tool (--no-build-isolation --use-pep517).
PIP_INSTALL = "-m pip install --no-input --disable-pip-version-check --require-hashes --no-deps"
BUILD_OPTIONS = "--no-build-isolation --use-pep517"
CPU_WHEEL_IS_FOR = ("cpython-311", "linux-x86_64")
# The files in torch-cuda.txt for CPython 3.11 on Linux x86-64 add up to 2.73e9 bytes.
CUDA_DOWNLOAD = "about 2.7 GB" if sys.platform == "linux" else "about 0.1 GB"

# Phrases in pip's output
NO_SUCH_FILE = "No matching distribution found"
UNREACHABLE = "Retrying (Retry("
UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
OTHER_HASH = "DO NOT MATCH THE HASHES"
BEGAN_TO_INSTALL = "Installing collected packages"  # until then, .venv is unchanged
LINES_SHOWN = 8
ADVICE = {
    OTHER_HASH: "a file does not match its locked hash, so it was not installed. Check where pip"
    " downloads from with `pip config list`. If a lock was edited, restore it with `git checkout"
    " requirements/`.",
    UNTRUSTED: "pip does not trust the certificate of an index. Pass the CA file: `PIP_CERT=FILE"
    " make ...`, or `CA_BUNDLE=FILE make ...` when building the container image.",
    UNREACHABLE: "pip could not reach an index. Check the network and `pip config list`, then run"
    " the same command again; packages that are already installed are kept.",
}
DEFAULT_ADVICE = "run the same command again; if it fails again, run `make clean` first."


class SetupError(Exception):
    """Says what failed and what to do next."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output  # the complete output of the failed command


def main() -> None:
    parser = argparse.ArgumentParser(description="Create or update .venv from the hash locks.")
    parser.add_argument("--dev", action="store_true", help="also install the development tools")
    parser.add_argument("--keras", action="store_true", help="also install Keras and TensorFlow")
    parser.add_argument(
        "--programs", action="store_true", help="also install what tests/programs/ needs"
    )
    parser.add_argument(
        "--exports", action="store_true", help="also install what tests/export/ needs"
    )
    parser.add_argument("--cluster", action="store_true", help="also install Ray")
    parser.add_argument("--torch", choices=("cpu", "cuda"), help="PyTorch build; default: detect")
    args = parser.parse_args()
    try:
        refuse_other_pythons()
        with (VENV.parent / ".venv.lock").open("w") as lock:
            wait_for(lock)
            optional = {name: getattr(args, name) for name in OPTIONAL}
            steps = [step for step in STEPS if optional.get(step, True)]
            bring_up_to_date(steps, args.torch)
    except SetupError as error:
        sys.exit(f"set-up: {error}")
    except KeyboardInterrupt:
        print("\nset-up: interrupted; run the same command again.", file=sys.stderr)
        sys.exit(130)


def refuse_other_pythons() -> None:
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise SetupError(
            f"{sys.executable} is Python {platform.python_version()}, but this project needs"
            " 3.11, 3.12 or 3.13. Choose one with `make PYTHON=python3.11 ...`."
        )


def wait_for(lock: IO[str]) -> None:
    """Allow one set-up at a time.

    pip inherits the lock, so this also waits for a pip whose parent was killed.
    """
    os.set_inheritable(lock.fileno(), True)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting for another set-up of this checkout to finish")
        fcntl.flock(lock, fcntl.LOCK_EX)


def bring_up_to_date(steps: list[str], torch: str | None) -> None:
    """Install the steps that .venv lacks; recreate .venv first if it does not match the locks."""
    started_s = time.monotonic()
    variant, why = (torch, "as requested") if torch else choose_torch()
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
    """Return the PyTorch build for this machine, "cuda" or "cpu", and the reason."""
    nvidia_smi = shutil.which("nvidia-smi")
    if nvidia_smi and run_silently([nvidia_smi, "-L"]).returncode == 0:
        return "cuda", "a CUDA device is available"
    if (sys.implementation.cache_tag, sysconfig.get_platform()) != CPU_WHEEL_IS_FOR:
        return "cuda", "the locked CPU build supports only CPython 3.11 on Linux x86-64"
    return "cpu", "no CUDA device is available"


def install_torch(variant: str, why: str) -> None:
    if variant == "cpu":
        index = os.environ.get("TORCH_INDEX_URL")
        try:
            options = ["--extra-index-url", index] if index else []
            install("PyTorch, CPU build", "torch-cpu", *options)
        except SetupError as error:
            index_failed = UNREACHABLE in error.output or UNTRUSTED in error.output
            if NO_SUCH_FILE not in error.output or index_failed:
                raise
            why = "pip finds no CPU build; set TORCH_INDEX_URL to an index that has it"
        else:
            return
    say(f"PyTorch, CUDA build: {CUDA_DOWNLOAD} to download unless cached by pip ({why})")
    install("PyTorch, CUDA build", "torch-cuda")


def install(label: str, lock: str, *options: str) -> None:
    pip_install = [*PIP_INSTALL.split(), *BUILD_OPTIONS.split(), *options]
    run(label, [str(VENV_PYTHON), *pip_install, "-r", str(LOCKS / f"{lock}.txt")])


def run(label: str, command: list[str]) -> None:
    """Run one step quietly; on failure, raise SetupError with its error lines and advice."""
    print(f"set-up: {label}", end="", flush=True)
    started_s = time.monotonic()
    done = run_silently(command)
    if done.returncode == 0:
        return print(f", {time.monotonic() - started_s:.0f} s", flush=True)
    print(", not installed", flush=True)
    advice = next(
        (advice for sign, advice in ADVICE.items() if sign in done.stdout), DEFAULT_ADVICE
    )
    raise SetupError(f"{label}\n{telling_lines(done.stdout)}\nset-up: {advice}", done.stdout)


def run_silently(command: list[str]) -> subprocess.CompletedProcess[str]:
    # close_fds=False passes the lock to the command: see wait_for.
    return subprocess.run(
        command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, text=True, check=False, close_fds=False
    )


def telling_lines(output: str) -> str:
    """Return the lines from the first error on, or else the last lines."""
    lines = output.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("ERROR")]
    first = errors[0] if errors else -LINES_SHOWN
    return "\n".join(f"  {line}" for line in lines[first:][:LINES_SHOWN])


def lock_digest(step: str) -> str:
    """Hash every lock of a step: PyTorch has two, and either may be installed."""
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
