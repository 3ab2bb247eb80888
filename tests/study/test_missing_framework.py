"""Without Keras, a request for it says how to install it, and everything else runs."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from harness.core.frameworks import FRAMEWORKS
from tests.conftest import ALONE, FORK, ROOT, TRACES_ONLY, command, harness, study_of

MISSING = FRAMEWORKS["keras"].missing
without = pytest.mark.skipif(
    MISSING is None, reason="keras is installed; run this in a clean .venv"
)


@without
@pytest.mark.slow
def test_a_requested_keras_scenario_is_refused_with_the_way_to_install_it(tmp_path: Path) -> None:
    """The message names the extra and the make target."""
    done = command("-m", "scenario=mlp,keras_mlp", *ALONE, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert "scenario 'keras_mlp' cannot run here: extra 'keras' not installed" in done.stderr
    assert "pip install 'determinism-harness[keras]'" in done.stderr
    assert "make setup-keras" in done.stderr
    assert list(tmp_path.iterdir()) == []


@without
@pytest.mark.slow
def test_a_claim_about_keras_stays_open_and_says_why(tmp_path: Path) -> None:
    """A study that only a claim asks to run Keras leaves its cell out, and `resume` agrees."""
    for part in ("harness", "scenarios", "conf"):
        shutil.copytree(ROOT / part, tmp_path / part)
    claim = "rule: identical, says: so, cells: {{it: scenario={0} determinism=seed}}"
    claims = "".join(f"  {name}: {{{claim.format(name)}}}\n" for name in ("keras_mlp", "mlp"))
    (tmp_path / "conf" / "claims" / "mine.yaml").write_text(f"source: s\nclaims:\n{claims}")
    done = harness(
        "claims_of=[mine]",
        "scenario=mlp",
        "scenario.steps=3",
        "runs.trace=2",
        *TRACES_ONLY,
        FORK,
        cwd=tmp_path,
        PYTHONPATH=str(tmp_path),
    )
    study = study_of(done, tmp_path)
    with (study / "tables" / "claims.csv").open() as file:
        rows = {row["claim"]: (row["answer"], row["why"]) for row in csv.DictReader(file)}
    assert rows["keras_mlp"] == ("cannot be decided here", "extra 'keras' not installed")
    assert "needs at least 10 runs" in rows["mlp"][1]
    manifest = json.loads((study / "manifest.json").read_text())
    assert manifest["missing"] == {"keras_mlp-seed-cpu": "extra 'keras' not installed"}
    assert {cell["cell"]["scenario"]["name"] for cell in manifest["cells"]} == {"mlp"}
    assert harness("resume", str(study), cwd=tmp_path, PYTHONPATH=str(tmp_path)).returncode == 0


def test_a_study_of_torch_names_no_keras(study: Path) -> None:
    """Manifests of torch studies are as they were before Keras was supported."""
    manifest = json.loads((study / "manifest.json").read_text())
    assert not {"keras", "tensorflow"} & manifest["software"].keys()
    assert manifest["missing"] == {}
    assert "framework" not in manifest["cells"][0]["cell"]["scenario"]
