"""The ranks of a script on several processes, started as torchrun would start them.

Rank 0 is the harness's run and holds the store through which all meet, as torchrun's agent does;
the others are processes of their own with the same setting, in the same private folder.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist

from harness.core.spec import RunSpec, to_json
from harness.worker.script_backend.sandbox import Sandbox

EXIT_LIMIT_S = 10.0  # for a rank when rank 0 has come to its end


@contextmanager
def start_group(spec: RunSpec, place: Sandbox, folder: Path | None = None) -> Iterator[None]:
    """The other ranks run while this lasts; ``folder`` is for the logs of their operations.

    A rank that fails ends the run: rank 0 would wait for it.
    """
    size = int(spec.cell.scenario.options["processes"])
    if size == 1:
        yield
        return
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
    variables = [_rank_variables(rank, size, store.port) for rank in range(size)]
    others = [_start_rank(spec, place, folder, one) for one in variables[1:]]
    before = os.environ.copy()
    os.environ.update(variables[0])
    is_over = threading.Event()
    for process in others:
        threading.Thread(target=_watch_rank, args=(process, is_over), daemon=True).start()
    try:
        yield
    finally:
        is_over.set()
        os.environ.clear()
        os.environ.update(before)
        for process in others:
            _stop_rank(process)


def _rank_variables(rank: int, size: int, port: int) -> dict[str, str]:
    """What torchrun puts into a process's environment (its documentation names them)."""
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "GROUP_RANK": "0",
        "GROUP_WORLD_SIZE": "1",
        "ROLE_RANK": str(rank),
        "ROLE_WORLD_SIZE": str(size),
        "ROLE_NAME": "default",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "harness",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "TORCHELASTIC_MAX_RESTARTS": "0",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
    }


def _start_rank(
    spec: RunSpec, place: Sandbox, folder: Path | None, variables: dict[str, str]
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-X", "faulthandler", "-m", "harness.worker.script_backend.rank"],
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )
    asked = {
        "spec": to_json(spec),
        "original": str(place.original),
        "copy": str(place.folder),
        "folder": str(folder) if folder else None,
    }
    assert process.stdin is not None
    with process.stdin as pipe:
        json.dump(asked, pipe)
    return process


def _watch_rank(process: subprocess.Popen[str], is_over: threading.Event) -> None:
    """In a thread: the run has failed when this rank has, before its end."""
    status = process.wait()
    if status == 0 or is_over.is_set():
        return
    if status < 0:  # else its traceback is the last of the log
        print(f"another rank was ended by {signal.Signals(-status).name}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)


def _stop_rank(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(EXIT_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
