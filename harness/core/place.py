"""Where a study ran, in words for a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def describe_device(manifest: Mapping[str, Any]) -> str:
    """Return the GPU's name if cells ran on one, else the processor's."""
    on_cuda = any(entry["cell"]["device"].startswith("cuda") for entry in manifest["cells"])
    if on_cuda and manifest["cuda"]:
        return str(manifest["cuda"][0]["name"])
    return f"{manifest['machine']['cpu']}, {manifest['machine']['usable_cores']} cores"
