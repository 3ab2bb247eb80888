"""The parent's end of one worker: start it, release it, wait for its words, reap it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TextIO

from harness.core.paths import compiled_of
from harness.core.protocol import module_command
from harness.core.spec import RunSpec
from harness.core.spec_json import to_json
from harness.factors import catalog as factors
from harness.factors.factor import Start
from harness.study.child_process import environment

IMPORT_LIMIT_S = 300.0  # a process that has not imported its framework by then never will
TICK_S = 0.5  # how often a wait calls ``tick``, which redraws the progress bar
DUMP_LIMIT_S = 2.0
LOG_KEPT_BYTES = 2**20  # of a log's beginning, and of its end
EXIT_LIMIT_S = 10.0  # for a worker that has sent its last word


class Process(Protocol):
    """What a worker needs of the process that it runs in, whether spawned or forked."""

    @property
    def pid(self) -> int | None:
        """None until the process has started."""

    def poll(self) -> int | None:
        """The return code, negative for a signal; None while the process runs."""

    def wait(self, timeout: float | None = None) -> int:
        """The return code. Raises subprocess.TimeoutExpired."""


@dataclass(frozen=True)
class Descriptors:
    """The child's ends of its channels to the parent, and how it is started."""

    stdin: int
    replies: int
    log: int
    how: Start = field(default_factory=Start)  # of a fresh interpreter


StartProcess = Callable[[RunSpec, Descriptors], Process]


def spawn(spec: RunSpec, ends: Descriptors) -> Process:
    """Starts a fresh interpreter in a session of its own, so that Ctrl-C reaches the parent alone.

    Raises OSError.
    """
    return subprocess.Popen(
        [*ends.how.prefix, *module_command("harness.worker", str(ends.replies))],
        stdin=ends.stdin,
        stdout=ends.log,
        stderr=subprocess.STDOUT,
        env=environment({**spec.environment, **ends.how.variables}),
        pass_fds=[ends.replies],
        start_new_session=True,
    )


class WorkerProcess:
    """A process that imports at once and trains when it is released."""

    def __init__(self, spec: RunSpec, study: Path, start: StartProcess) -> None:
        """``start`` is ``spawn``, or the fork of a server that holds the run's environment."""
        self.spec, self.study = spec, study.resolve()
        self.log = study / "logs" / f"{spec.run_id}.log"
        stdin, commands = os.pipe()
        replies, reply_end = os.pipe()
        self.commands: TextIO = os.fdopen(commands, "w", encoding="utf-8")
        self.replies: TextIO = os.fdopen(replies, encoding="utf-8")
        self.perturbation = contextlib.ExitStack()
        try:
            how = factors.started(spec.cell, spec.environment, self.perturbation)
            with self.log.open("wb") as log:
                self.process = start(spec, Descriptors(stdin, reply_end, log.fileno(), how))
        except BaseException:
            self.perturbation.close()
            self.commands.close()
            self.replies.close()
            raise
        finally:
            os.close(stdin)
            os.close(reply_end)
        self._send({"spec": to_json(spec), "study": str(self.study)})

    def release(self, position: int, attempt: int, cores: Set[int] | None) -> None:
        """Lets it train, on ``cores`` alone if there are any."""
        self._send({"cores": sorted(cores or ()), "position": position, "attempt": attempt})

    def _send(self, message: dict[str, object]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has died: the next wait will find out
            self.commands.write(json.dumps(message) + "\n")
            self.commands.flush()

    def wait(self, timeout_s: float, tick: Callable[[], None]) -> str | None:
        """The worker's next word; "" if it has ended without one, None after ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while True:
            left = max(0.0, deadline - time.monotonic())
            if select.select([self.replies], [], [], min(TICK_S, left))[0]:
                return self.replies.readline().strip()
            if self.process.poll() is not None:  # a DataLoader worker may hold the pipe open
                has_word = select.select([self.replies], [], [], 0)[0]  # sent just before the end
                return self.replies.readline().strip() if has_word else ""
            if left == 0:
                return None
            tick()

    def dump_stacks(self) -> None:
        """Has a hanging worker print all stacks: faulthandler does so on SIGABRT."""
        if self.process.poll() is None:
            self._signal(os.kill, signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(DUMP_LIMIT_S)

    def end(self, graceful: bool = False) -> int:
        """Reaps the process and all that it started; returns its exit status.

        If ``graceful``, the process first gets EXIT_LIMIT_S to exit. A second call changes nothing.
        """
        if self.replies.closed:
            return self.process.wait()
        if graceful:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(EXIT_LIMIT_S)
        with contextlib.suppress(BrokenPipeError):
            self.commands.close()  # a worker that waits for its release exits
        if self.process.poll() is None:
            self._signal(os.kill, signal.SIGKILL)  # just forked, it leads no process group yet
        self._signal(os.killpg, signal.SIGKILL)
        status = self.process.wait()
        self.replies.close()
        self.perturbation.close()
        self._remove_compiled()
        if self.log.exists() and self.log.stat().st_size == 0:
            self.log.unlink()
        elif self.log.exists():
            _truncate_log(self.log)
        return status

    def _remove_compiled(self) -> None:
        compiled = compiled_of(self.study, self.spec.run_id)
        if compiled.exists():
            shutil.rmtree(compiled, ignore_errors=True)
            with contextlib.suppress(OSError):  # another run's is still there
                compiled.parent.rmdir()

    def _signal(self, kill: Callable[[int, int], None], number: int) -> None:
        if self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(self.process.pid, number)


def _truncate_log(log: Path) -> None:
    """Keeps the beginning and the end of a long log: a training may print without end."""
    size = log.stat().st_size
    if size <= 2 * LOG_KEPT_BYTES:
        return
    with log.open("r+b") as file:
        file.seek(size - LOG_KEPT_BYTES)
        end = file.read()
        file.seek(LOG_KEPT_BYTES)
        file.write(b"\n[... %d bytes left out ...]\n" % (size - 2 * LOG_KEPT_BYTES))
        file.write(end)
        file.truncate()
