"""Validates the requested scenarios and digests their programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.spec import Scenario
from harness.worker import scenario_loader
from harness.worker.hashing import Part, hash_parts
from harness.worker.script_backend import program as script
from harness.worker.script_backend import sandbox

# Changes with what is digested of a script's steps: `resume` must not mix two ways.
SCRIPT_PART = "program, observed in way 4"


def find_problems(scenarios: list[dict[str, Any]]) -> list[str]:
    """Return one message for each scenario whose program or options are invalid."""
    problems = []
    for document in scenarios:
        scenario = Scenario.from_json(document)
        try:
            if scenario.framework == "script":
                script.program_path(scenario)
                sandbox.check_size(scenario)
            else:
                scenario_loader.build_options(scenario_loader.load_module(scenario), scenario)
        except UsageError as error:
            problems.append(str(error))
        except Exception as error:  # noqa: BLE001 - a user's file may raise anything
            problems.append(f"scenario '{scenario.label}' cannot be loaded: {error!r}")
    return list(dict.fromkeys(problems))


def hash_sources(scenarios: list[dict[str, Any]]) -> dict[str, str]:
    """Return each program's digest by scenario name, so that `resume` can detect a change."""
    digests = {}
    for document in scenarios:
        scenario = Scenario.from_json(document)
        program = _program_file(scenario).read_bytes()
        name = SCRIPT_PART if scenario.framework == "script" else "program"
        part = Part(name, "torch.uint8", (len(program),), memoryview(program))
        digests[document["name"]] = hash_parts([part])
    return digests


def _program_file(scenario: Scenario) -> Path:
    if scenario.framework == "script":
        return script.program_path(scenario)
    return Path(str(scenario_loader.load_module(scenario).__file__))
