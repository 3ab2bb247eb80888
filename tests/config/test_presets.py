"""Presets loaded without Hydra are those that Hydra composes."""

from __future__ import annotations

import pytest

from harness.config import presets
from harness.config.collect import collect


@pytest.mark.parametrize("name", sorted(path.stem for path in presets.FOLDER.glob("*.yaml")))
def test_a_preset_equals_what_hydra_composes(name: str) -> None:
    """Loading a preset by name gives the settings that Hydra composes."""
    alone = ["study.baseline=null", "study.control=null"]
    request = collect([f"determinism={name}", *alone])
    assert request is not None
    assert presets.load_preset(name) == request.asked[0].cell.determinism


def test_an_argument_overrides_the_threads_of_a_preset() -> None:
    """The preset decides the number of threads unless the caller passes one."""
    assert presets.load_preset("full_one_thread").threads == 1
    assert presets.load_preset("full_one_thread", threads=2).threads == 2
    assert presets.load_preset("none").threads is None
