"""How a matrix expands into cells."""

from __future__ import annotations

from harness.config.collect import expand_sweeps


def test_each_sweep_expands_to_all_combinations() -> None:
    """Each additional sweep of a matrix expands to all combinations of its values."""
    cells = list(expand_sweeps(["scenario=a scenario.n=1,2 determinism=seed,full", "scenario=b"]))
    assert cells == [
        ("scenario=a", "scenario.n=1", "determinism=seed"),
        ("scenario=a", "scenario.n=1", "determinism=full"),
        ("scenario=a", "scenario.n=2", "determinism=seed"),
        ("scenario=a", "scenario.n=2", "determinism=full"),
        ("scenario=b",),
    ]
