"""Ray: each job is a task in a process of its own. Ray ends the tasks of a driver that dies."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.core.paths import IMPORT_ROOT
from harness.study.engines.engine import EngineError, Living
from harness.study.engines.options import RayOptions

CONNECT_LIMIT_S = 10.0


class Ray:
    most_together = 10_000

    def __init__(self, options: RayOptions, logs: Path) -> None:
        """Connects to the cluster. Raises EngineError if there is none."""
        try:
            import ray  # noqa: PLC0415 - an extra
        except ModuleNotFoundError as error:
            raise EngineError(
                "launch=ray needs Ray: pip install 'determinism-harness[ray]', or "
                "`make setup-cluster`"
            ) from error
        self.ray, self.options, self.logs = ray, options, logs
        self.tasks: dict[str, tuple[Any, Living]] = {}
        on_end = signal.getsignal(signal.SIGTERM)
        try:
            _check_answers(options.address)
            ray.init(
                address=options.address,
                log_to_driver=False,
                logging_level="ERROR",
                ignore_reinit_error=True,  # the probe has connected already
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineError(
                f"launch.ray.address={options.address}: no Ray cluster answers; start one with "
                f"`ray start --head`, or name its address ({error})"
            ) from error
        signal.signal(signal.SIGTERM, on_end)  # ray.init sets its own

    def submit(self, submission: str, words: Sequence[str], number: int) -> list[str]:
        task = self.ray.remote(
            max_calls=1,  # so that each job has a fresh process
            num_cpus=self.options.cpus,
            num_gpus=self.options.gpus,
            resources=dict(self.options.resources) or None,
        )(_make_call(str(Path.cwd()), str(IMPORT_ROOT)))
        ids = []
        for index in range(number):
            reference = task.remote([*words, str(index)])
            ids.append(reference.hex())
            self.tasks[ids[-1]] = reference, Living(submission, index, False, "")
        return ids

    def living(self) -> dict[str, Living] | None:
        references = {reference: task for task, (reference, _) in self.tasks.items()}
        if not references:
            return {}
        ended, _ = self.ray.wait(list(references), num_returns=len(references), timeout=0)
        for reference in ended:
            self._note_error(reference, self.tasks.pop(references[reference])[1])
        return {task: living for task, (_, living) in self.tasks.items()}

    def _note_error(self, reference: Any, job: Living) -> None:
        """Keep what Ray says of a task that failed where Slurm keeps what a job prints."""
        try:
            self.ray.get(reference)
        except Exception as error:  # noqa: BLE001 - of the task
            log = self.logs / f"{job.submission}-{job.index}.log"
            log.write_text(f"{error}\n", encoding="utf-8")

    def node_of(self, job_id: str) -> str:  # noqa: ARG002 - Ray keeps no such list for us
        return ""

    def cancel(self, ids: Sequence[str]) -> None:
        for task in ids:
            if task in self.tasks:
                self.ray.cancel(self.tasks.pop(task)[0], force=True)


def _check_answers(address: str) -> None:
    """Raises OSError if nothing listens at HOST:PORT, for which Ray itself would wait minutes."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), CONNECT_LIMIT_S).close()


def _make_call(folder: str, import_root: str) -> Callable[[list[str]], int]:
    """The task's function, which a node gets by value: it may import nothing of ours before."""

    def call(words: list[str]) -> int:
        import sys  # noqa: PLC0415

        sys.path.insert(0, import_root)
        os.chdir(folder)
        from harness.study.engines import node  # noqa: PLC0415

        return node.main(words)

    return call
