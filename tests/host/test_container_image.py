"""How a study describes the container that it ran in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.host import container_image


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(container_image, "IDENTITY", tmp_path / "image.json")
    monkeypatch.setenv(container_image.IMAGE_ID, "sha256:1d")
    return tmp_path / "image.json"


def test_outside_the_image_there_is_no_identity(identity: Path) -> None:
    """Without an identity file, the image is `none`, or `unidentified` in a container."""
    assert container_image.identity() is None
    assert container_image.describe() in ("none", "unidentified")


def test_inside_the_image_its_base_and_digest_are_named(identity: Path) -> None:
    """Inside the image, the description names its id, its base and the base's digest."""
    identity.write_text(json.dumps({"base": "b:1", "base_digest": "sha256:2", "git": "abc"}))
    assert container_image.describe() == "sha256:1d, on b:1@sha256:2"


def test_an_image_built_by_hand_is_unnamed(identity: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image whose id and base are not recorded is described as unnamed."""
    monkeypatch.delenv(container_image.IMAGE_ID)
    identity.write_text("{}")
    assert container_image.describe() == "an unnamed image, on an unnamed base"
