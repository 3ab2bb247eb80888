"""cost: the time of one switch, added and taken away, with the precision that was reached."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.core.exit_codes import BAD_REQUEST
from tests.conftest import command, harness, study_of

QUICK = ["scenario=mlp", "scenario.steps=12", "device=cpu", "timing.min_s=0.05"]


@pytest.mark.long
def test_both_ends_are_timed_with_a_baseline_of_their_own(tmp_path: Path) -> None:
    """Each ratio has its interval, its blocks and whether it is as precise as asked."""
    words = [*QUICK, "switch=threads=1", "precision=10", "max_blocks=6"]
    done = harness("cost", *words, cwd=tmp_path)
    assert done.returncode in (0, 1), done.stdout + done.stderr  # 1: a twin fails by chance
    ends = re.findall(r"(\w+) .*: \d\.\d+ × .*, 5 blocks: ±.* %, ±1000.0 % is reached", done.stdout)
    assert ends == ["added", "within"]
    assert "threads=1" in (study_of(done, tmp_path) / "report.md").read_text()
    assert "Warning" not in done.stderr  # of a figure whose names take all of its room


@pytest.mark.long
def test_a_switch_without_effect_has_no_cost(tmp_path: Path) -> None:
    """On a CPU nothing consults cuDNN's flags, so there is nothing to compare."""
    words = [*QUICK, "switch=cudnn.deterministic", "precision=10", "max_blocks=5"]
    done = harness("cost", *words, cwd=tmp_path)
    assert done.stdout.count("not measured; it has no effect on this device") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scenario=mlp"], "name the switch, as in"),
        (["scenario=mlp", "switch="], "name the switch, as in"),
        (["scenario=mlp", "switch=algoritms"], "did you mean algorithms?"),
        (
            ["scenario=mlp", "switch=seed"],
            "switch=seed: the setting `full_warm` has no such switch with",
        ),
        (["scenario=mlp", "switch=algorithms", "determinism=seed"], "`seed` has no such switch"),
        (["scenario=mlp", "switch=threads=0"], "determinism.threads=0: must be at least 1"),
        (["scenario=mlp", "switch=algorithms", "precision=0"], "precision=0: must be a number"),
        (["scenario=mlp", "switch=algorithms", "precision=x"], "precision=x: must be a number"),
        (["scenario=mlp", "switch=algorithms", "max_blocks=1"], "max_blocks=1: must be a number"),
        (["scenario=mlp,cnn", "-m", "switch=algorithms"], "cost takes one cell"),
    ],
)
def test_what_cannot_be_timed_is_refused(tmp_path: Path, words: list[str], message: str) -> None:
    """The error names the word and what is allowed, and nothing is created."""
    done = command("cost", *words, cwd=tmp_path)
    assert done.returncode == BAD_REQUEST
    assert message in done.stderr
    assert not list(tmp_path.iterdir())
