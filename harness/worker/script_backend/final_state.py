"""Digests of what a script leaves behind, with the same keys in trace and timing runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.core.errors import ObserverError, UsageError
from harness.core.spec import RunSpec
from harness.worker.script_backend.program import program_name
from harness.worker.script_backend.sandbox import Sandbox
from harness.worker.torch_backend import components
from harness.worker.torch_backend.digest import digest
from harness.worker.torch_backend.hooks import TrainingHooks


def final_digests(
    hooks: TrainingHooks, sandbox: Sandbox, spec: RunSpec, ranks: Mapping[str, Any]
) -> dict[str, str]:
    """Return the outcome digests at the script's end. ``ranks`` are the documents of the others.

    A program that does not train is compared by its models' weights and by what it declares, or
    else by the files that it writes, or else by what it prints: the weights of a model that it
    only calls never vary. Raises UsageError if there is nothing to compare.
    """
    found = _state_digests(hooks) | dict(_rank_digests(ranks))
    if hooks.steps or hooks.declared:
        return found
    if sandbox.files:
        found["files"] = digest([], sandbox.files)
    elif sandbox.printed:
        found["printed"] = sandbox.printed
    if not found:
        raise UsageError(
            f"{program_name(spec.cell.scenario)} trained no model, called none, wrote no file and "
            "printed nothing: there is nothing to compare. Declare its result in the script, as in "
            "harness.observe(result=tensor)"
        )
    return found


def describe_rank(hooks: TrainingHooks) -> dict[str, Any]:
    """Return another rank's digests, or the error of its hooks, as a document for rank 0."""
    error = None if hooks.error is None else repr(hooks.error)
    return {"error": error, "final": {} if error else _state_digests(hooks)}


def _rank_digests(ranks: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield one digest for each other rank. Raises ObserverError if its hooks have failed."""
    for rank, document in ranks.items():
        if document["error"]:
            raise ObserverError(f"observation of rank {rank} stopped by {document['error']}")
        if document["final"]:
            yield f"rank {rank}", digest([], document["final"])


def _state_digests(hooks: TrainingHooks) -> dict[str, str]:
    found = {
        f"observed {name}": components.joint_digest(digests)
        for name, digests in hooks.declared.items()
    }
    if hooks.models:
        found |= {
            "grads": digest(components.grads(hooks)),
            "params": digest(components.params(hooks)),
            "buffers": digest(components.buffers(hooks)),
            "optimizer": components.optimizer(hooks),
        }
    return found
