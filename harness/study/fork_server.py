"""The parent's end of fork servers, each of which forks one child per run.

A forked run skips the import of its framework, most of a short run's time.
The children of one server share its hash seed and address layout and would hide a difference that
depends on them. So each replicate of a study has a server of its own for each environment, which
forks that replicate of every cell: the runs of one cell come from different servers.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from harness.core.frameworks import FRAMEWORKS, LATE_VARIABLES
from harness.core.protocol import module_command
from harness.core.spec import RunSpec
from harness.study.child_process import environment
from harness.study.worker_process import (
    EXIT_LIMIT_S,
    IMPORT_LIMIT_S,
    Descriptors,
    Process,
    StartProcess,
    spawn,
)

# Return codes of a child whose server died: it was killed with the server, or never forked.
LOST, NOT_FORKED = -signal.SIGKILL, 1
TOGETHER = 2
MOST_SERVERS = 30  # for each environment, one at a time: 30 equal runs are `identical`

Place = Callable[[int], int]


def one_after_another(runs: int) -> Place:
    """Each of MOST_SERVERS servers forks consecutive runs of a cell, one if there are few runs."""
    children = max(1, math.ceil(runs / MOST_SERVERS))
    return lambda number: (number - 1) // children


def in_turn(number: int) -> int:
    """Two servers alternate: of a few runs of one cell, some differ in hash seed and addresses."""
    return number % 2


@contextmanager
def process_starter(
    place: Place, kept: int = 0, together: int = TOGETHER
) -> Iterator[StartProcess]:
    """Gives the function that starts a run's process; ends the fork servers afterwards."""
    servers = ForkServers(place, kept, together)

    def start(spec: RunSpec, ends: Descriptors) -> Process:
        return (servers.start if spec.forked else spawn)(spec, ends)

    try:
        yield start
    finally:
        servers.close()


class ForkServers:
    """Starts servers when a run first needs one of them, and ends them when later ones are in use.

    ``place`` maps the number of a run in its cell to that of its server. ``together`` servers are
    started at a time, since importing a framework takes one core: the later ones wait. The first
    ``kept`` places keep their servers.
    """

    def __init__(self, place: Place, kept: int = 0, together: int = TOGETHER) -> None:
        self.place, self.kept, self.together = place, kept, together
        self.servers: dict[tuple[str, frozenset[tuple[str, str]], int], _ForkServer] = {}

    def start(self, spec: RunSpec, ends: Descriptors) -> Process:
        """Forks a child for the run. Raises OSError."""
        module = FRAMEWORKS[spec.cell.scenario.framework].fork_server
        assert module is not None, "runs of this framework cannot be forked"
        place = self.place(spec.number)
        self._close_before(place - 1)
        variables = {k: v for k, v in spec.environment.items() if k not in LATE_VARIABLES}
        key = (module, frozenset(variables.items()), place)
        if key in self.servers and not self.servers[key].is_alive:
            self.servers.pop(key).close()
        started = [] if key in self.servers else self._start_together(module, variables, place)
        process = self.servers[key].fork(ends)
        for server in started:  # or a later one would import beside a run
            server.await_import()
        return process

    def _start_together(
        self, module: str, variables: Mapping[str, str], place: int
    ) -> list[_ForkServer]:
        places = range(place, place - place % self.together + self.together)
        keys = [(module, frozenset(variables.items()), one) for one in places]
        new = {key: _ForkServer(module, variables) for key in keys if key not in self.servers}
        self.servers |= new
        return list(new.values())

    def _close_before(self, place: int) -> None:
        """Ends idle servers of earlier places. Runs of two places can be under way together."""
        for key, server in list(self.servers.items()):
            if self.kept <= key[2] < place and server.is_idle:
                self.servers.pop(key).close()

    def close(self) -> None:
        for server in self.servers.values():
            server.close()
        self.servers.clear()


class _ForkServer:
    def __init__(self, module: str, variables: Mapping[str, str]) -> None:
        self.children: list[ForkedProcess] = []
        self.requests, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                module_command(module, str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                env=environment(variables),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def await_import(self) -> None:
        """Wait until the server has imported its framework, or has ended."""
        self.requests.settimeout(IMPORT_LIMIT_S)
        with contextlib.suppress(TimeoutError, ConnectionError):
            self.requests.recv(1)
        self.requests.settimeout(None)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def is_idle(self) -> bool:
        self.children = [child for child in self.children if child.poll() is None]
        return not self.children

    def fork(self, ends: Descriptors) -> ForkedProcess:
        """Requests a child, which starts as soon as the server has imported its framework.

        Raises OSError if the server has ended.
        """
        status, status_end = os.pipe()
        pipe = os.fdopen(status, encoding="ascii")
        try:
            socket.send_fds(self.requests, [b"f"], [ends.stdin, ends.replies, ends.log, status_end])
        except OSError:
            pipe.close()
            raise
        finally:
            os.close(status_end)
        self.children.append(ForkedProcess(pipe, self.process))
        return self.children[-1]

    def close(self) -> None:
        """A server exits when its socket is closed; its children die with it."""
        self.requests.close()
        try:
            self.process.wait(EXIT_LIMIT_S)
        except subprocess.TimeoutExpired:  # stopped by a signal
            self.process.kill()
            self.process.wait()


class ForkedProcess:
    """A child of a fork server, with the interface of subprocess.Popen.

    The server writes two lines to ``status``: the child's process id when it has forked, and the
    child's return code when it has ended.
    """

    def __init__(self, status: TextIO, server: subprocess.Popen[bytes]) -> None:
        self.status, self.server = status, server
        self.pid: int | None = None  # None until it has been forked
        self.returncode: int | None = None

    def poll(self) -> int | None:
        while self.returncode is None and select.select([self.status], [], [], 0)[0]:
            self._read_line()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self.status], [], [], left)[0]:
                raise subprocess.TimeoutExpired("forked worker", timeout or 0.0)
            self._read_line()
        return self.returncode

    def _read_line(self) -> None:
        line = self.status.readline()
        if line and self.pid is None:
            self.pid = int(line)
            return
        self.returncode = int(line) if line else self._without_server()
        self.status.close()

    def _without_server(self) -> int:
        """The return code of a child whose server has ended: killed with it, or never forked."""
        was_killed = self.pid is not None or self.server.wait() < 0
        return LOST if was_killed else NOT_FORKED
