"""The parent's side of the process wall: one fresh interpreter, warmed, released, reaped."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from harness.core.spec import RunSpec, to_json
from harness.study.child_process import environment, module_command

TICK_S = 0.5  # how often a wait comes up for the progress bar
DUMP_LIMIT_S = 2.0
LOG_KEPT_BYTES = 2**20  # of its beginning, and of its end
EXIT_LIMIT_S = 10.0  # for a worker that has said its last word


class WorkerProcess:
    """A process that imports at once and trains only when released."""

    def __init__(self, spec: RunSpec, study: Path) -> None:
        self.spec = spec
        self.log = study / "logs" / f"{spec.run_id}.log"
        read, write = os.pipe()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                module_command("harness.worker", str(write)),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(spec.environment),
                pass_fds=[write],
                start_new_session=True,  # so that Ctrl-C is the parent's to handle
                text=True,
            )
        os.close(write)
        self.replies: TextIO = os.fdopen(read, encoding="utf-8")
        self.send({"spec": to_json(spec), "study": str(study.resolve())})

    def send(self, message: dict[str, object]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died: the next wait will find out
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def release(self, position: int, attempt: int) -> None:
        self.send({"position": position, "attempt": attempt})

    def wait(self, timeout_s: float, tick: Callable[[], None]) -> str | None:
        """The worker's next word; "" where it has ended without one, None past the time limit."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self.replies], [], [], min(TICK_S, left))[0]:
                return self.replies.readline().strip()
            if self.process.poll() is not None:  # a DataLoader worker may hold the pipe open
                said = select.select([self.replies], [], [], 0)[0]  # its last word, just before
                return self.replies.readline().strip() if said else ""
            tick()
        return None

    def dump_stacks(self) -> None:
        """Has a hanging worker print where it is: faulthandler answers SIGABRT with all stacks."""
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(DUMP_LIMIT_S)

    def end(self, graceful: bool = False) -> int:
        """Reaps the process and whatever it has started; gives its exit status.

        A graceful end leaves it a moment to go by itself. A second call changes nothing.
        """
        if self.replies.closed:
            return self.process.returncode
        if graceful:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(EXIT_LIMIT_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.replies.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()  # type: ignore[union-attr]
        if self.log.exists() and self.log.stat().st_size == 0:
            self.log.unlink()
        elif self.log.exists():
            _truncate_log(self.log)
        return self.process.returncode


def _truncate_log(log: Path) -> None:
    """Of a training that prints without end, the beginning and the end are kept."""
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
