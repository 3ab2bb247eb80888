"""The container image that the harness runs in, as recorded in the manifest."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness.core.paths import IMPORT_ROOT

IDENTITY = IMPORT_ROOT / "image.json"
UNKNOWN = {"base": "an unnamed base", "base_digest": None, "locks": None, "git": "unknown"}
IMAGE_ID = "HARNESS_IMAGE_ID"  # set by container/run.py: an image cannot contain its own id
MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))  # created by Docker and by Podman


def identity() -> dict[str, Any] | None:
    """Base, lock digests, commit and id of the project's image; None outside of it."""
    if not IDENTITY.exists():
        return None
    recorded: dict[str, Any] = json.loads(IDENTITY.read_text())
    return {"id": os.environ.get(IMAGE_ID), **UNKNOWN, **recorded}


def describe() -> str:
    """``none``, ``unidentified`` (in any other container), or the image's id and base."""
    image = identity()
    if image is None:
        return "unidentified" if any(map(Path.exists, MARKS)) else "none"
    digest = f"@{image['base_digest']}" if image["base_digest"] else ""
    return f"{image['id'] or 'an unnamed image'}, on {image['base']}{digest}"
