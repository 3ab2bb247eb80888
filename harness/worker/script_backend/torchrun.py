"""Starts a script on several processes as torchrun does.

Rank 0 is the harness's run itself. It hosts the rendezvous store, as torchrun's agent does. The
other ranks are separate processes with the same determinism setting in the same sandbox.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed as dist

from harness.core.errors import ProcessReplaced
from harness.core.private_folder import make_private_folder
from harness.core.protocol import module_command
from harness.core.spec import RunSpec
from harness.core.spec_json import to_json
from harness.worker.script_backend.sandbox import Sandbox

EXIT_LIMIT_S = 10.0  # for the other ranks, after rank 0 has finished


@contextmanager
def start_group(
    spec: RunSpec, sandbox: Sandbox, logs: Path | None = None
) -> Iterator[dict[str, Any]]:
    """Run the other ranks during the context; they write operation logs to ``logs``.

    Yields a dictionary that is filled at the end with each rank's document, by rank. If a rank
    fails, the whole run ends, because rank 0 would wait for it.
    """
    size = int(spec.cell.scenario.options["processes"])
    documents: dict[str, Any] = {}
    if size == 1:
        yield documents
        return
    answers = make_private_folder("harness-ranks-")  # a rank that fails ends this process
    request = {
        "spec": to_json(spec),
        "original": str(sandbox.original),
        "copy": str(sandbox.folder),
        "logs": str(logs) if logs else None,
        "answers": str(answers),
    }
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
    variables = [_rank_variables(rank, size, store.port) for rank in range(size)]
    others = [_start_rank(request, environment) for environment in variables[1:]]
    before = os.environ.copy()
    os.environ.update(variables[0])
    is_over = threading.Event()
    for process in others:
        threading.Thread(target=_watch_rank, args=(process, is_over), daemon=True).start()
    try:
        yield documents
    except ProcessReplaced:  # rank 0 starts again, and then starts the others again
        is_over.set()
        for process in others:
            process.kill()
        raise
    finally:
        is_over.set()
        os.environ.clear()
        os.environ.update(before)
        for process in others:
            _stop_rank(process)
        for path in sorted(answers.glob("*.json")):
            documents[path.stem] = json.loads(path.read_text())
        shutil.rmtree(answers, ignore_errors=True)


def _rank_variables(rank: int, size: int, port: int) -> dict[str, str]:
    """Return the environment variables that torchrun documents."""
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


def _start_rank(request: dict[str, Any], variables: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        module_command("harness.worker.script_backend.rank", json.dumps(request)),
        stdin=subprocess.DEVNULL,
        env={**os.environ, **variables},
    )


def _watch_rank(process: subprocess.Popen[bytes], is_over: threading.Event) -> None:
    """End the run if this rank fails before rank 0 has finished. Runs in a thread."""
    status = process.wait()
    if status == 0 or is_over.is_set():
        return
    if status < 0:  # otherwise its traceback is at the end of the log
        print(f"another rank was ended by {signal.Signals(-status).name}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)


def _stop_rank(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(EXIT_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
