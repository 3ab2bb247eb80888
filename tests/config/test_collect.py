"""What a matrix says is turned into cells."""

from __future__ import annotations

from harness.config.collect import expand_sweeps


def test_a_matrix_has_all_combinations_of_each_of_its_further_sweeps() -> None:
    found = list(expand_sweeps(["scenario=a scenario.n=1,2 determinism=seed,full", "scenario=b"]))
    assert found == [
        ("scenario=a", "scenario.n=1", "determinism=seed"),
        ("scenario=a", "scenario.n=1", "determinism=full"),
        ("scenario=a", "scenario.n=2", "determinism=seed"),
        ("scenario=a", "scenario.n=2", "determinism=full"),
        ("scenario=b",),
    ]
