"""A process that imports torch once and forks one child per run.

It trains nothing before it forks: torch has no OpenMP pool and no CUDA context. (NumPy's OpenBLAS
starts idle threads when it is imported; they do not exist in a child.) A child therefore starts as
a fresh interpreter does right after its imports, but shares the server's hash seed and address
layout with its siblings. What a fresh interpreter would draw from the operating
system (unseeded generators) is drawn again in each child.

Protocol: the server sends a byte when it has imported torch. The parent sends four file descriptors
over a Unix socket (standard input, replies, log, status). The server writes the child's process id
to the status pipe, and its return code when the child has ended.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import traceback
import warnings
from typing import NoReturn

from harness.worker.__main__ import run_worker
from harness.worker.pipe import die_with_parent

DESCRIPTORS = 4


def main() -> None:
    die_with_parent()
    requests = socket.socket(fileno=int(sys.argv[1]))
    gc.disable()  # what modules allocate stays: to look for garbage takes a tenth of the import
    from harness.worker.torch_backend.warmup import warm_up  # noqa: PLC0415

    warm_up()
    gc.enable()
    with contextlib.suppress(OSError):  # the parent has ended
        requests.send(b"r")  # ready
    gc.freeze()  # a child's collections would write to, and so copy, every page of the modules
    # Python 3.12 warns of forks beside threads; those here are idle and hold no lock.
    warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
    server = _ForkServer(requests)
    while (child := server.next_child()) is None:
        pass
    _become_worker(*child, server.name)


class _ForkServer:
    def __init__(self, requests: socket.socket) -> None:
        self.name = os.urandom(8).hex()  # in the records of its children
        self.requests = requests.fileno()
        self.socket = requests
        self.status_pipes: dict[int, int] = {}  # by process id
        self.wake, wake_writer = os.pipe()
        for descriptor in (self.wake, wake_writer):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake_writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.own = [self.requests, self.wake, wake_writer]

    def next_child(self) -> tuple[int, int, int] | None:
        """Waits for a request or for a child to end.

        Returns a new child's standard input, reply pipe and log in that child, None in the server.
        """
        ready, _, _ = select.select([self.requests, self.wake], [], [])
        if self.wake in ready:
            os.read(self.wake, 512)
            self._reap()
        return self._fork() if self.requests in ready else None

    def _fork(self) -> tuple[int, int, int] | None:
        try:
            message, descriptors, _, _ = socket.recv_fds(self.socket, 1, DESCRIPTORS)
        except ConnectionResetError:  # the parent has ended with our byte unread
            sys.exit(0)
        if not message:  # the parent has closed its end
            sys.exit(0)
        stdin, replies, log, status = descriptors
        process = os.fork()
        if process == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (*self.own, status, *self.status_pipes.values()):
                os.close(descriptor)
            return stdin, replies, log
        self.status_pipes[process] = status
        os.write(status, f"{process}\n".encode())
        for descriptor in (stdin, replies, log):
            os.close(descriptor)
        return None

    def _reap(self) -> None:
        while self.status_pipes:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            pipe = self.status_pipes.pop(process)
            os.write(pipe, f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os.close(pipe)


def _become_worker(stdin: int, replies: int, log: int, name: str) -> NoReturn:
    """Runs the worker in this child, as `python -m harness.worker` would."""
    server = os.getppid()
    os.setsid()
    die_with_parent()
    if os.getppid() != server:  # the server died before the line above took effect
        os._exit(1)
    for source, target in ((stdin, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(stdin)
    os.close(log)
    try:
        from harness.worker.torch_backend.warmup import reseed  # noqa: PLC0415

        reseed()
        run_worker(replies, server=name)
    except BaseException:  # noqa: BLE001 - as an interpreter that ends with a traceback
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    main()
