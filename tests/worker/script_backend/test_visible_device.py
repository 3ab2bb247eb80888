"""A script on one of several GPUs sees that one alone."""

from __future__ import annotations

import os

import pytest

from harness.worker.script_backend.visible_device import VISIBLE, show_only


@pytest.mark.parametrize(
    ("before", "device", "after"),
    [
        (None, "cuda:1", "1"),
        ("2,3", "cuda:1", "3"),
        ("GPU-a, GPU-b", "cuda:1", "GPU-b"),
        ("3", "cuda:1", "3"),  # by a worker that was replaced
        (None, "cuda", None),
        ("", "cpu", ""),
    ],
)
def test_only_the_requested_device_stays_visible(
    monkeypatch: pytest.MonkeyPatch, before: str | None, device: str, after: str | None
) -> None:
    """An index counts among the GPUs that were visible; without one, nothing changes."""
    monkeypatch.setenv(VISIBLE, before or "")  # to be restored afterwards
    if before is None:
        monkeypatch.delenv(VISIBLE)
    assert show_only(device).type == device.partition(":")[0]
    assert show_only(device).index is None
    assert os.environ.get(VISIBLE) == after
