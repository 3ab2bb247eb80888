"""noise= on the command line: each source varies what it says and holds the rest."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness.config.collect import collect
from tests.conftest import FORK, command, harness, study_of


@pytest.mark.long
def test_sources_stand_side_by_side_in_the_noise_table(tmp_path: Path) -> None:
    """A seed moves the weights far, one flipped bit little, and the machine not at all."""
    done = harness(
        "-m",
        "scenario=mlp_digits",
        "noise=implementation,algorithm,bit_flip",
        "scenario.steps=5",
        "runs.trace=3",
        "runs.timing=0",
        "runs.repeats=1",
        "device=cpu",
        "study.control=null",
        FORK,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    study = study_of(done, tmp_path)
    table = pd.read_csv(study / "tables" / "noise.csv").set_index("noise")
    assert table.loc["implementation", "weight_rel_l2"] == 0  # on a CPU this net is identical
    assert table.loc["algorithm", "weight_rel_l2"] > 0.1
    assert 0 < table.loc["bit_flip", "weight_rel_l2"] < 1e-3
    assert "Noise by source" in (study / "report.md").read_text()
    assert "requested seed" not in (study / "report.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["noise=algorithm", "determinism=seed"], "requires deterministic kernels"),
        (["noise=both", "determinism=full"], "requires torch's default kernels"),
        (["noise=implementation", "determinism=none"], "needs a seed"),
        (["determinism.cpu_capability=sse2"], "must be one of default, avx2"),
    ],
)
def test_noise_that_contradicts_its_setting_is_refused(
    words: list[str], message: str, tmp_path: Path
) -> None:
    """A setting that varies what the noise holds, or the reverse, ends with status 2."""
    done = command("scenario=mlp", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_cells_baseline_has_no_noise() -> None:
    """The cost of a noisy cell is measured against the plain baseline."""
    request = collect(["scenario=mlp", "noise=algorithm"])
    assert request is not None
    (requested,) = request.asked
    assert requested.cell.id == "mlp-full-algorithm-auto"
    assert requested.baseline is not None
    assert requested.baseline.id == "mlp-seed-auto"
