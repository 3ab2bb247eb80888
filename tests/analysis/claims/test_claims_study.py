"""A claim about something that does not exist is refused before anything runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT, command, harness


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("{it: scenario=nothing determinism=seed}", "nothing"),
        ("{it: scenario=mlp determinism=seed scenario.colour=red}", "colour"),
        ("{it: scenario=mlp}", "a cell needs scenario=, and determinism="),
        ("{that: scenario=mlp determinism=seed}", "names the cells"),
    ],
)
def test_a_claim_about_something_unknown_is_refused(
    cells: str, message: str, tmp_path: Path
) -> None:
    """The message names the claim and the unknown word (in a copy with claims of its own)."""
    for part in ("harness", "scenarios", "conf"):
        shutil.copytree(ROOT / part, tmp_path / part)
    claim = f"rule: identical, says: so, cells: {cells}"
    text = f"source: s\nclaims:\n  wrong: {{{claim}}}\n"
    (tmp_path / "conf" / "claims" / "mine.yaml").write_text(text)
    done = harness("claims_of=[mine]", "scenario=mlp", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "wrong" in done.stderr
    assert message in done.stderr
    assert not (tmp_path / "results").exists()


def test_unknown_claims_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    """claims_of=[nothing] lists the claims that exist."""
    done = command("claims_of=[nothing]", "scenario=mlp", cwd=tmp_path)
    assert done.returncode == 2
    assert "unknown claims 'nothing': allowed are" in done.stderr
    assert "pytorch_guide" in done.stderr
