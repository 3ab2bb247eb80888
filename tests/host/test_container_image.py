"""What a study says of the container that it ran in."""

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


def test_outside_of_the_image_it_says_none(identity: Path) -> None:
    assert container_image.identity() is None
    assert container_image.describe() in (
        "none",
        "unidentified",
    )  # the latter where tests run in a container


def test_inside_it_names_image_base_and_digest(identity: Path) -> None:
    identity.write_text(json.dumps({"base": "b:1", "base_digest": "sha256:2", "git": "abc"}))
    assert container_image.describe() == "sha256:1d, on b:1@sha256:2"


def test_an_image_built_by_hand_says_what_it_does_not_know(
    identity: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(container_image.IMAGE_ID)
    identity.write_text("{}")
    assert container_image.describe() == "an unnamed image, on an unnamed base"
