"""Where and when a study ran, in words for a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def describe_device(manifest: Mapping[str, Any]) -> str:
    """Return the GPU's name if cells ran on one, else the processor's."""
    on_cuda = any(entry["cell"]["device"].startswith("cuda") for entry in manifest["cells"])
    if on_cuda and manifest["cuda"]:
        return str(manifest["cuda"][0]["name"])
    return f"{manifest['machine']['cpu']}, {manifest['machine']['usable_cores']} cores"


def describe_place(manifest: Mapping[str, Any]) -> str:
    return f"PyTorch {manifest['software']['torch']} on {describe_device(manifest)}"


def cite(name: str, manifest: Mapping[str, Any]) -> str:
    """Return all that finds a study again: its id, the version that ran it, and when."""
    commit = manifest["machine"]["git"]  # unknown to an installed package
    version = f"{manifest['harness']} ({commit})" if commit else manifest["harness"]
    return (
        f"Determinism Benchmark Harness {version}, study {name}, {manifest['created'][:10]}, "
        f"{describe_place(manifest)}."
    )
