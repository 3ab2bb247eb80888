"""What about the scenarios asked for does not fit, and a digest of each one's program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.spec import Scenario
from harness.worker import scenario_loader
from harness.worker.hashing import Part, hash_parts
from harness.worker.script_backend import program as script
from harness.worker.script_backend import sandbox


def find_problems(scenarios: list[dict[str, Any]]) -> list[str]:
    """One sentence for each scenario whose program or options do not fit."""
    found = []
    for document in scenarios:
        asked = Scenario.from_json(document)
        try:
            if asked.framework == "script":
                script.program_path(asked)
                sandbox.check_size(asked)
            else:
                scenario_loader.build_options(scenario_loader.load_module(asked), asked)
        except UsageError as error:
            found.append(str(error))
        except Exception as error:  # noqa: BLE001 - a user's file may raise anything
            found.append(f"scenario '{asked.label}' cannot be loaded: {error!r}")
    return list(dict.fromkeys(found))


def hash_sources(scenarios: list[dict[str, Any]]) -> dict[str, str]:
    """A digest of each scenario's program, so that `resume` can tell that it has changed."""
    found = {}
    for document in scenarios:
        program = _program_file(Scenario.from_json(document)).read_bytes()
        part = Part("program", "torch.uint8", (len(program),), memoryview(program))
        found[document["name"]] = hash_parts([part])
    return found


def _program_file(asked: Scenario) -> Path:
    if asked.framework == "script":
        return script.program_path(asked)
    return Path(str(scenario_loader.load_module(asked).__file__))
