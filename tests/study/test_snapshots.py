"""Distances are measured from a cell's first run, in whatever order its runs end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from harness.core.paths import snapshots_of
from harness.core.record import Outcome, RunRecord, read_distances, save_record
from harness.study.snapshots import Snapshots
from tests.conftest import repeat

Trace = Callable[..., RunRecord]
VALUES = {"a": 1.0, "b": 1.5, "c": 2.0}  # the parameter at the end, by its digest


@pytest.fixture
def runs(tmp_path: Path, trace: Trace) -> list[RunRecord]:
    """Three runs on disk, whose parameters end as 1, 1.5 and 2."""
    (tmp_path / "runs").mkdir()
    records = [trace(number, repeat(final)) for number, final in enumerate(VALUES, 1)]
    folder = snapshots_of(tmp_path, records[0].spec.cell.id)
    folder.mkdir(parents=True)
    for record, (name, value) in zip(records, VALUES.items(), strict=True):
        save_record(tmp_path / "runs", record)
        save_file({"w": np.array([value], np.float32)}, folder / f"{name}.safetensors")
    return records


def measured(study: Path, run: RunRecord) -> dict[str, tuple[str, float]]:
    """The digest of the reference, and the relative distance from it, by run."""
    path = study / "runs" / f"distances-{run.spec.cell.id}.json"
    return {
        run_id: (entry["reference"], entry["repeats"][0]["1"]["rel_l2"])
        for run_id, entry in read_distances(path).items()
    }


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_first_run_is_the_reference(
    tmp_path: Path, runs: Sequence[RunRecord], order: Sequence[int]
) -> None:
    """Runs that end before it wait for it; afterwards no snapshot is left."""
    snapshots = Snapshots(tmp_path, on_cluster=True)
    snapshots.expect(run.spec for run in runs)
    for index in order:
        snapshots.take([runs[index]])
    expected = {runs[1].run_id: ("a", 0.5), runs[2].run_id: ("a", 1.0)}
    assert measured(tmp_path, runs[0]) == expected
    assert not (tmp_path / "snapshots").exists()


def test_a_failed_first_run_is_no_reference(
    tmp_path: Path, runs: Sequence[RunRecord], trace: Trace
) -> None:
    """The next completed one is."""
    snapshots = Snapshots(tmp_path, keep_all=True)
    snapshots.expect(run.spec for run in runs)
    snapshots.take([runs[1]])
    snapshots.take([trace(1, outcome=Outcome.crashed)])
    snapshots.take([runs[2]])
    assert measured(tmp_path, runs[1]) == {runs[2].run_id: ("b", pytest.approx(1 / 3))}


def test_on_a_cluster_snapshots_stay_until_the_cell_is_done(
    tmp_path: Path, runs: Sequence[RunRecord]
) -> None:
    """Another node may need one of the same content; on one machine they go at once."""
    folder = snapshots_of(tmp_path, runs[0].spec.cell.id)
    for on_cluster, left in ((True, {"a", "b", "c"}), (False, {"a"})):
        snapshots = Snapshots(tmp_path, on_cluster=on_cluster)
        snapshots.expect(run.spec for run in runs)
        snapshots.take(runs[:2])
        assert {path.stem for path in folder.iterdir()} == left


def test_a_resumed_study_measures_what_it_missed(tmp_path: Path, runs: Sequence[RunRecord]) -> None:
    """And nothing twice."""
    first = Snapshots(tmp_path, keep_all=True)
    first.take(runs[:2])
    path = tmp_path / "runs" / f"distances-{runs[0].spec.cell.id}.json"
    written = path.stat().st_mtime_ns
    second = Snapshots(tmp_path, keep_all=True)
    second.resume(runs[:2])
    assert path.stat().st_mtime_ns == written
    second.resume(runs)
    assert measured(tmp_path, runs[0])[runs[2].run_id] == ("a", 1.0)
