"""Runs the harness in the image: nothing to write to but its results, no network, no rights."""

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
USER_IN_IMAGE = 10001  # the Dockerfile's; who runs the harness where root calls
FLAGS = (
    "--rm",
    "--init",
    "--network",
    "none",
    "--read-only",
    "--tmpfs",
    "/tmp:rw,exec,nosuid,nodev,size=4g",  # noqa: S108 - exec: kernels compiled there
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
    "--shm-size",
    "2g",
    "--pids-limit",
    "4096",
)

# What the engine says, and what to do.
REFUSALS = {
    "could not select device driver": "the engine cannot give a container the GPU: install the "
    "NVIDIA Container Toolkit, or run natively: make bench CONTAINER=none",
    "unresolvable CDI devices": "the engine cannot give a container the GPU: run `nvidia-ctk cdi "
    "generate`, or run natively: make bench CONTAINER=none",
    "unsatisfied condition: cuda": "the GPU's driver is too old for CUDA 13.0: update it to 580 "
    "or newer",
    "no space left on device": "the disk is full; try: docker system prune",
}


def check_results() -> None:
    """Raises ContainerError where the results could not be written by this user."""
    RESULTS.mkdir(exist_ok=True)
    owner = RESULTS.stat().st_uid
    if os.getuid() not in (0, owner):
        raise ContainerError(
            f"{RESULTS.name}/ belongs to user {owner}, and you are user "
            f"{os.getuid()}; take it back with "
            f"`sudo chown -R {os.getuid()} {RESULTS.name}`"
        )


def run(engine: Engine, image_id: str, gpu: bool, words: Sequence[str]) -> int:
    """The harness's own exit status.

    Raises ContainerError where a container cannot be started with these rights; that is tried
    before the harness begins, so that no study is left half-built.
    """
    check_results()
    flags = [*FLAGS, *flags_here(image_id, gpu)]
    with results_given_to_the_image():
        try_out(engine, [*flags, "--entrypoint", "python", image_id, "-c", ""])
        terminal = ["--interactive", "--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
        name = f"{NAME}-{os.getpid()}"
        return attended([engine.client, "run", "--name", name, *flags, *terminal, image_id, *words])


def flags_here(image_id: str, gpu: bool) -> list[str]:
    """What differs between machines and callers."""
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
    """A root caller's results belong to the image's user meanwhile; others run as themselves."""
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
    """Changes the owner of all results but the published ones, which belong to the checkout."""
    for path in (RESULTS, *RESULTS.rglob("*")):
        if path.relative_to(RESULTS).parts[:1] != ("published",):
            os.chown(path, user, group, follow_symlinks=False)


def try_out(engine: Engine, words: Sequence[str]) -> None:
    tried = engine.ask("run", *words)
    if tried.returncode == 0:
        return
    for sign, advice in REFUSALS.items():
        if sign in tried.stderr:
            raise ContainerError(advice)
    raise ContainerError(
        "no container could be started: " + (tried.stderr.strip().split("\n") or [""])[-1]
    )


def attended(command: list[str]) -> int:
    """Waits for the container to end by itself: Ctrl-C and SIGTERM are the harness's to answer."""
    client = subprocess.Popen(command)
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),  # the terminal tells it too
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: client.terminate()),
    }
    try:
        return client.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
