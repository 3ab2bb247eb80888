"""Which image this program runs in: the image's own word, copied into the manifest."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import harness

IDENTITY = Path(harness.__file__).resolve().parent.parent / "image.json"
IMAGE_ID = "HARNESS_IMAGE_ID"  # an image cannot know its own id; who starts it tells
MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))  # Docker's and Podman's


def identity() -> dict[str, Any] | None:
    """Base, digest of the locks, commit and id of the project's image; None outside of it."""
    if not IDENTITY.exists():
        return None
    told: dict[str, Any] = json.loads(IDENTITY.read_text())
    return {"id": os.environ.get(IMAGE_ID), **told}


def in_words() -> str:
    """``none``, ``unidentified`` for another's container, or the image's id and base."""
    image = identity()
    if image is None:
        return "unidentified" if any(map(Path.exists, MARKS)) else "none"
    return f"{image['id'] or 'id not told'}, on {image['base']}@{image['base_digest']}"
