"""Settings read without Hydra are those that Hydra composes."""

from __future__ import annotations

import pytest

from harness.config import presets
from harness.config.collect import collect


@pytest.mark.parametrize("name", sorted(one.stem for one in presets.FOLDER.glob("*.yaml")))
def test_a_setting_by_name_is_the_one_that_hydra_composes(name: str) -> None:
    request = collect([f"determinism={name}"])
    assert request is not None
    assert presets.load_preset(name) == request.asked[0].cell.determinism


def test_threads_are_the_settings_unless_given() -> None:
    assert presets.load_preset("full_one_thread").threads == 1
    assert presets.load_preset("full_one_thread", threads=2).threads == 2
    assert presets.load_preset("none").threads is None
