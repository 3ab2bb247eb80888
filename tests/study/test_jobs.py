"""Jobs group runs so that timings stay paired, and the ledger knows which submission counts."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from harness.core.errors import UsageError
from harness.core.exit_codes import BAD_REQUEST
from harness.core.paths import jobs_folder
from harness.core.run_archive import ARCHIVE, unpack
from harness.core.spec import Cell, Kind, RunSpec
from harness.study.engines.driver import _stages
from harness.study.engines.jobs import Ledger, jobs_of, load_job, save_job
from tests.conftest import ROOT, harness


@pytest.fixture
def runs(make_cell: Callable[..., Cell]) -> list[RunSpec]:
    """Two numbers of two scenarios under two settings, traced and timed, as a plan orders them."""
    cells = [make_cell(setting, name) for name in ("mlp", "cnn") for setting in ("seed", "full")]
    return [
        RunSpec(cell, kind, number)
        for number in (1, 2)
        for kind in (Kind.trace, Kind.timing)
        for cell in cells
    ]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    jobs_folder(tmp_path).mkdir()
    return tmp_path


def test_a_job_is_each_setting_of_one_scenario_once(runs: list[RunSpec]) -> None:
    """Traced and timed on one allocation; positions follow each other."""
    jobs = jobs_of(runs, first_position=10)
    assert [(job.name, job.first) for job in jobs] == [
        ("mlp-001", 10),
        ("cnn-001", 14),
        ("mlp-002", 18),
        ("cnn-002", 22),
    ]
    assert {spec.cell.scenario.label for spec in jobs[1].runs} == {"cnn"}
    assert {(spec.kind, spec.cell.setting) for spec in jobs[1].runs} == {
        (kind, setting) for kind in (Kind.trace, Kind.timing) for setting in ("seed", "full")
    }


def test_a_job_is_read_as_it_was_written(study: Path, runs: list[RunSpec]) -> None:
    """The node gets the very runs that were planned."""
    (job, *_) = jobs_of(runs, 3)
    save_job(study, job)
    assert load_job(study, job.name) == job


def test_only_the_last_submission_of_a_job_counts(study: Path) -> None:
    """A node that starts an earlier one later finds nothing to do."""
    ledger = Ledger(study)
    ledger.begin("first", ["mlp-001", "cnn-001"]).ids = ["1_0", "1_1"]
    ledger.begin("second", ["cnn-001"])
    read = Ledger(study)
    assert read.job_of("first", 0) == "mlp-001"
    assert read.job_of("first", 1) is None
    assert read.job_of("second", 0) == "cnn-001"
    assert read.id_of("cnn-001") is None  # the engine has not answered
    assert read.id_of("cnn-002") is None


def test_a_damaged_ledger_is_named(study: Path) -> None:
    """And not taken for an empty one, or jobs would be submitted twice."""
    (jobs_folder(study) / "submissions.json").write_text("[{")
    with pytest.raises(UsageError, match=r"submissions\.json is damaged"):
        Ledger(study)


def test_stages_end_where_runs_may_become_superfluous(make_cell: Callable[..., Cell]) -> None:
    """After `runs.first` trace runs, and after `timing.first` blocks."""
    spec = RunSpec(make_cell(), Kind.trace, 1)
    runs = [dataclasses.replace(spec, number=number) for number in range(1, 8)]
    stages = [[spec.number for spec in stage] for stage in _stages(runs, [2, 5])]
    assert stages == [[1, 2], [3, 4, 5], [6, 7]]
    assert [len(stage) for stage in _stages(runs, [])] == [7]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["launch=slurm"], "launch=slurm: there is no sbatch on this machine"),
        (["launch.engine=lsf"], "launch.engine=lsf: must be one of local, slurm, ray"),
        (["matrix=quick", "launch=slurm"], "launch=slurm: there is no sbatch on this machine"),
        (["launch=slurm", "study.budget_s=60"], "study.budget_s limits studies on this machine"),
        (["launch=slurm", "launch.queue_s=0"], "launch.queue_s=0.0: must be a finite number above"),
        (["launch.targets=[a,b]"], "launch.targets names kinds of node of a cluster"),
        (["launch=slurm", "launch.targets=[a,a]"], "must be two or more different"),
        (["launch=slurm", "launch.targets=[../a]"], "must be two or more different names"),
        (["launch=slurm", "launch.targets=[a]"], "must be two or more different names"),
        (["launch=ray", "launch.targets=[a,CPU]"], "not CPU, GPU, memory, object_store_memory"),
    ],
)
def test_what_no_cluster_can_do_is_refused(tmp_path: Path, words: list[str], message: str) -> None:
    """With one line, and nothing is left behind."""
    done = harness("scenario=mlp", *words, cwd=tmp_path, PATH="/nowhere")
    assert done.returncode == BAD_REQUEST, done.stdout + done.stderr
    assert message in done.stderr
    assert not list(tmp_path.rglob("*.json"))


def test_searches_stay_on_one_machine(tmp_path: Path) -> None:
    """They make runs that depend on what the runs before them showed."""
    done = harness("diagnose", "scenario=mlp", "launch=slurm", cwd=tmp_path)
    assert done.returncode == BAD_REQUEST
    assert "launch=slurm is for studies" in done.stderr


@pytest.mark.parametrize("command", ["check --require identical", "diagnose"])
def test_other_commands_take_no_targets(tmp_path: Path, command: str) -> None:
    """They would measure on any node."""
    (tmp_path / "train.py").write_text("")
    words = ["launch=slurm", "launch.targets=[a,b]", "--", "python", "train.py"]
    done = harness(*command.split(), *words, cwd=tmp_path)
    assert done.returncode == BAD_REQUEST
    assert "launch.targets is for plain studies" in done.stderr


def test_status_of_what_is_not_planned_or_packed(tmp_path: Path) -> None:
    """A published study has no records that could be counted, and perturb plans as it goes."""
    packed = ROOT / "results" / "published" / "20261127-130953-mlp-perturb"
    shown = harness("status", str(packed), cwd=tmp_path)
    assert "is published" in shown.stdout
    unpacked = Path(shutil.copytree(packed, tmp_path / "perturb"))
    unpack(unpacked / ARCHIVE, unpacked)
    shown = harness("status", str(unpacked), cwd=tmp_path)
    assert re.search(r"perturb: [1-9]\d* runs are done; the command plans as it goes", shown.stdout)


def test_hydra_reads_every_option_of_the_documentation() -> None:
    """As a shell passes it."""
    text = (ROOT / "docs" / "cluster.md").read_text()
    spans = re.findall(r"`('?\+?launch\.[^`]*=[^`]*)`", text)
    words = [word for span in spans for word in shlex.split(span) if "=" in word]
    assert len(words) >= 5
    for word in words:
        OverridesParser.create().parse_override(word)
