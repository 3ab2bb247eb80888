"""Asks a worker, before anything is planned or created, what this machine is and can run."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import UsageError
from harness.core.frameworks import FRAMEWORKS
from harness.core.spec import Scenario, to_json
from harness.study.child_process import environment, module_command
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
    """The answer: versions and threads, CUDA devices, digests of the scenarios' programs."""

    software: dict[str, Any]
    cuda: list[dict[str, Any]]
    sources: dict[str, str]
    missing: dict[str, str] = field(default_factory=dict)  # framework to why it cannot run here

    @property
    def device(self) -> str:
        """What ``device=auto`` means here."""
        return "cuda" if self.cuda else "cpu"


def probe(request: Request) -> Probe:
    """Raises UsageError for what cannot run here: a device, a scenario's program or options.

    What only a claim asks for, of a framework that cannot run here, is no error but ``missing``.
    """
    cells = [asked.cell for asked in request.asked] + list(request.controls)
    answer = _run_probe(
        "torch", [cell.scenario for cell in cells if cell.scenario.framework in TORCH_FRAMEWORKS]
    )
    device = "cuda" if answer["cuda"] else "cpu"
    missing = {}
    for name in sorted({cell.scenario.framework for cell in cells} - TORCH_FRAMEWORKS):
        found, why = _probe_optional(name, request, device)
        if why:
            missing[name] = why
        else:
            answer = {
                **answer,
                **found,
                "problems": answer["problems"] + found["problems"],
                "sources": {**answer["sources"], **found["sources"]},
            }
    if answer["problems"]:
        raise UsageError("\n".join(answer["problems"]))
    for kind in {cell.device for cell in cells}:
        _check_device(kind, len(answer["cuda"]))
    named = ("problems", "cuda", "sources", "gpus")
    software = {key: value for key, value in answer.items() if key not in named}
    return Probe(software, answer["cuda"], answer["sources"], missing)


def _probe_optional(name: str, request: Request, device: str) -> tuple[dict[str, Any], str | None]:
    """What a framework beside torch answers, or why none of its cells can run here.

    Raises UsageError where such a cell is asked for by more than a claim.
    """
    wished = [*request.asked, *(RequestedCell(cell, None) for cell in request.controls)]
    asked = [one for one in wished if one.cell.scenario.framework == name]
    why, found = FRAMEWORKS[name].missing, {}
    advice = f"pip install 'determinism-harness[{name}]', or `make setup-{name}`"
    if why is None:
        found = _run_probe(name, [one.cell.scenario for one in asked])
        devices = {on_device(one.cell, device).device.partition(":")[0] for one in asked}
        if "cuda" in devices and not found["gpus"]:
            why = "its TensorFlow sees no CUDA device"
            advice = "install one that does, or use device=cpu"
    for one in asked:
        if why and not one.for_claim:
            raise UsageError(
                f"scenario '{one.cell.scenario.label}' cannot run here: {why}; {advice}"
            )
    return found, why


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
        raise UsageError(f"{framework} did not answer within {PROBE_LIMIT_S:g} s") from error
    if done.returncode != 0:
        last = done.stderr.strip().split("\n")[-1]
        raise UsageError(f"{framework} cannot be used here: {last}")
    answer: dict[str, Any] = json.loads(done.stdout.split("\n")[-1])
    return answer


def _check_device(device: str, devices: int) -> None:
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not index.isdigit()):
        raise UsageError(f"device={device}: allowed are auto, cpu, cuda and cuda:N")
    if kind == "cuda" and int(index or 0) >= devices:
        found = f"torch finds {devices} CUDA device{'s' * (devices != 1)}"
        raise UsageError(f"device={device}: {found} here; use device=cpu or device=auto")
