"""Runs the harness in the image, without network or privileges; only results/ is writable."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

from container.engine import Engine
from container.errors import ContainerError
from container.image import NAME, ROOT

RESULTS = ROOT / "results"
USER_IN_IMAGE = 10001  # from the Dockerfile; runs the harness when the caller is root
FLAGS = (
    "--rm",
    "--init",
    "--network",
    "none",
    "--read-only",
    "--tmpfs",
    "/tmp:rw,exec,nosuid,nodev,size=4g",  # noqa: S108 - exec: compiled kernels load from there
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
    "--shm-size",
    "2g",
    "--pids-limit",
    "4096",
)

# Messages of the engine, and what to do about them.
REFUSALS = {
    "could not select device driver": "the container cannot access the GPU: install the "
    "NVIDIA Container Toolkit, or run natively: make bench CONTAINER=none",
    "unresolvable CDI devices": "the container cannot access the GPU: run `nvidia-ctk cdi "
    "generate`, or run natively: make bench CONTAINER=none",
    "unsatisfied condition: cuda": "the GPU driver is too old for CUDA 13.0: update it to 580 "
    "or newer",
    "no space left on device": "the disk is full; try: docker system prune",
}


def check_results() -> None:
    """Raises ContainerError if this user cannot write to results/."""
    RESULTS.mkdir(exist_ok=True)
    owner = RESULTS.stat().st_uid
    if os.getuid() not in (0, owner):
        raise ContainerError(
            f"{RESULTS.name}/ belongs to user {owner}, but you are user {os.getuid()}; "
            f"run `sudo chown -R {os.getuid()} {RESULTS.name}`"
        )


def run(engine: Engine, image_id: str, gpu: bool, words: Sequence[str]) -> int:
    """Run the harness and return its exit status.

    Raises ContainerError if a container with these flags cannot start. An empty trial run checks
    this before the harness starts, so that no incomplete study is left behind.
    """
    check_results()
    flags = [*FLAGS, *flags_here(image_id, gpu)]
    with results_given_to_the_image():
        try_out(engine, [*flags, "--entrypoint", "python", image_id, "-c", ""])
        terminal = ["--interactive", "--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
        name = f"{NAME}-{os.getpid()}"
        return attended([engine.client, "run", "--name", name, *flags, *terminal, image_id, *words])


def flags_here(image_id: str, gpu: bool) -> list[str]:
    """Return the flags that depend on the machine and the caller."""
    flags = [
        "--volume",
        f"{RESULTS}:/bench/results",
        "--env",
        f"HARNESS_IMAGE_ID={image_id}",
        "--env",
        f"TERM={os.environ.get('TERM', 'dumb')}",
    ]
    user = os.getuid() or USER_IN_IMAGE
    flags += ["--user", f"{user}:{os.getgid() or USER_IN_IMAGE}"]
    return [*flags, "--gpus", "all"] if gpu else flags


@contextlib.contextmanager
def results_given_to_the_image() -> Iterator[None]:
    """If the caller is root, let the image's user own results/ during the run."""
    if os.getuid() != 0:
        yield
        return
    owner = RESULTS.stat()
    give(USER_IN_IMAGE, USER_IN_IMAGE)
    try:
        yield
    finally:
        give(owner.st_uid, owner.st_gid)


def give(user: int, group: int) -> None:
    """Change the owner of all results except published ones, which belong to the checkout."""
    for path in (RESULTS, *RESULTS.rglob("*")):
        if path.relative_to(RESULTS).parts[:1] != ("published",):
            os.chown(path, user, group, follow_symlinks=False)


def try_out(engine: Engine, words: Sequence[str]) -> None:
    trial = engine.ask("run", *words)
    if trial.returncode == 0:
        return
    for sign, advice in REFUSALS.items():
        if sign in trial.stderr:
            raise ContainerError(advice)
    raise ContainerError(
        "the container could not be started: " + (trial.stderr.strip().split("\n") or [""])[-1]
    )


def attended(command: list[str]) -> int:
    """Wait for the container to exit; the harness inside it handles Ctrl-C and SIGTERM."""
    client = subprocess.Popen(command)
    before = {
        # The terminal sends SIGINT to the client too.
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: client.terminate()),
    }
    try:
        return client.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
