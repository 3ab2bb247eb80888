"""Asks a worker, before anything is planned or created, what this machine is and can run."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from harness.errors import UsageError
from harness.launch.worker_process import environment
from harness.request import Request
from harness.spec import Scenario, to_json

PROBE_LIMIT_S = 300.0


@dataclass(frozen=True)
class Probe:
    """The answer: versions and threads, CUDA devices, digests of the scenarios' programs."""

    software: dict[str, Any]
    cuda: list[dict[str, Any]]
    sources: dict[str, str]

    @property
    def device(self) -> str:
        """What ``device=auto`` means here."""
        return "cuda" if self.cuda else "cpu"


def probe(request: Request) -> Probe:
    """Raises UsageError for what cannot run here: a device, a scenario's program or options."""
    cells = [asked.cell for asked in request.asked] + list(request.controls)
    answer = ask([cell.scenario for cell in cells])
    if answer["problems"]:
        raise UsageError("\n".join(answer["problems"]))
    for device in {cell.device for cell in cells}:
        check_device(device, len(answer["cuda"]))
    named = ("problems", "cuda", "sources")
    software = {key: value for key, value in answer.items() if key not in named}
    return Probe(software, answer["cuda"], answer["sources"])


def ask(scenarios: list[Scenario]) -> dict[str, Any]:
    question = json.dumps({"scenarios": [to_json(scenario) for scenario in scenarios]})
    try:
        done = subprocess.run(
            [sys.executable, "-m", "harness.worker.probe"],
            input=question, capture_output=True, text=True, check=False,
            env=environment({}), timeout=PROBE_LIMIT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"torch did not answer within {PROBE_LIMIT_S:g} s") from error
    if done.returncode != 0:
        last = done.stderr.strip().split("\n")[-1]
        raise UsageError(f"torch cannot be used here: {last}")
    answer: dict[str, Any] = json.loads(done.stdout.split("\n")[-1])
    return answer


def check_device(device: str, devices: int) -> None:
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not index.isdigit()):
        raise UsageError(f"device={device}: allowed are auto, cpu, cuda and cuda:N")
    if kind == "cuda" and int(index or 0) >= devices:
        found = f"torch finds {devices} CUDA device{'s' * (devices != 1)}"
        raise UsageError(f"device={device}: {found} here; use device=cpu or device=auto")
