"""Asks a worker what this machine is and can run, before anything is planned or created."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import UsageError
from harness.core.frameworks import FRAMEWORKS
from harness.core.protocol import module_command
from harness.core.spec import Scenario
from harness.core.spec_json import to_json
from harness.host.machine import describe_machine
from harness.study.child_process import environment
from harness.study.plan import on_device
from harness.study.request import Request, RequestedCell

PROBE_LIMIT_S = 300.0
PROBES = {
    "torch": "harness.worker.torch_backend.probe",
    "script": "harness.worker.torch_backend.probe",
    "keras": "harness.worker.keras_backend.probe",
}
TORCH_FRAMEWORKS = {name for name, module in PROBES.items() if module == PROBES["torch"]}


@dataclass(frozen=True)
class Probe:
    """Versions and threads, CUDA devices, digests of the scenarios' programs, the machine."""

    software: dict[str, Any]
    cuda: list[dict[str, Any]]
    sources: dict[str, str]
    machine: dict[str, Any] = field(default_factory=describe_machine)
    missing: dict[str, str] = field(default_factory=dict)  # why a framework cannot run here

    @property
    def device(self) -> str:
        """The device that ``device=auto`` stands for here."""
        return "cuda" if self.cuda else "cpu"


def probe(request: Request) -> Probe:
    """Probes this machine for all that the request needs.

    Raises UsageError if a device, a scenario's program or one of its options cannot be used here.
    A framework that cannot run here but is requested by claims alone goes into ``missing``.
    """
    cells = [requested.cell for requested in request.asked] + list(request.controls)
    answer = _run_probe(
        "torch", [cell.scenario for cell in cells if cell.scenario.framework in TORCH_FRAMEWORKS]
    )
    device = "cuda" if answer["cuda"] else "cpu"
    missing = {}
    for name in sorted({cell.scenario.framework for cell in cells} - TORCH_FRAMEWORKS):
        optional, reason = _probe_optional(name, request, device)
        if reason:
            missing[name] = reason
        else:
            answer = {
                **answer,
                **optional,
                "problems": answer["problems"] + optional["problems"],
                "sources": {**answer["sources"], **optional["sources"]},
            }
    if answer["problems"]:
        raise UsageError("\n".join(answer["problems"]))
    for requested_device in {cell.device for cell in cells}:
        _check_device(requested_device, len(answer["cuda"]))
    not_software = ("problems", "cuda", "sources", "gpus")
    software = {key: value for key, value in answer.items() if key not in not_software}
    return Probe(software, answer["cuda"], answer["sources"], missing=missing)


def _probe_optional(name: str, request: Request, device: str) -> tuple[dict[str, Any], str | None]:
    """The answer of a framework other than torch, and why none of its cells can run here, if so.

    Raises UsageError if they cannot run and one of them is requested by more than a claim.
    """
    candidates = [*request.asked, *(RequestedCell(cell, None) for cell in request.controls)]
    cells = [entry for entry in candidates if entry.cell.scenario.framework == name]
    reason, answer = FRAMEWORKS[name].missing, {}
    advice = f"pip install 'determinism-harness[{name}]', or `make setup-{name}`"
    if reason is None:
        answer = _run_probe(name, [entry.cell.scenario for entry in cells])
        devices = {on_device(entry.cell, device).device.partition(":")[0] for entry in cells}
        if "cuda" in devices and not answer["gpus"]:
            reason = "its TensorFlow finds no CUDA device"
            advice = "install a TensorFlow with CUDA support, or use device=cpu"
    for entry in cells:
        if reason and not entry.for_claim:
            raise UsageError(
                f"scenario '{entry.cell.scenario.label}' cannot run here: {reason}; {advice}"
            )
    return answer, reason


def _run_probe(framework: str, scenarios: list[Scenario]) -> dict[str, Any]:
    question = json.dumps({"scenarios": [to_json(scenario) for scenario in scenarios]})
    try:
        done = subprocess.run(
            module_command(PROBES[framework]),
            input=question,
            capture_output=True,
            text=True,
            check=False,
            env=environment(FRAMEWORKS[framework].environment),
            timeout=PROBE_LIMIT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"the {framework} probe did not answer within {PROBE_LIMIT_S:g} s"
        ) from error
    if done.returncode != 0:
        last = done.stderr.strip().split("\n")[-1]
        raise UsageError(f"{framework} cannot be used here: {last}")
    answer: dict[str, Any] = json.loads(done.stdout.split("\n")[-1])
    return answer


def _check_device(device: str, cuda_devices: int) -> None:
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not index.isdigit()):
        raise UsageError(f"device={device}: must be one of auto, cpu, cuda, cuda:N")
    if kind == "cuda" and int(index or 0) >= cuda_devices:
        available = f"torch finds {cuda_devices} CUDA device{'s' * (cuda_devices != 1)}"
        raise UsageError(f"device={device}: {available} here; use device=cpu or device=auto")
