"""The program as people type it: bad input, one cell, Ctrl-C, resume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.core.record import Outcome, load_record
from tests.conftest import ROOT, SMALL, harness, study_of

TINY = ["scenario.steps=6", *SMALL]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scenario=nosuch"], "cnn_question"),
        (["determinism=nosuch"], "full_one_thread"),
        (["matrix=nosuch"], "publish"),
        (["scenario.nosuch=1"], "nosuch"),
        (["+scenario.nosuch=1"], "its options are batch_size"),
        (
            ["+scenario.framework=jax"],
            "scenario.framework=jax: must be one of torch, script, keras",
        ),
        (["nosuch=1"], "nosuch"),
        (["scenario.steps=many"], "must be of type int"),
        (["scenario.data=faces"], "must be one of random, digits"),
        (["determinism.seed=many"], "Integer"),
        (["determinism.algorithms=maybe"], "allow, warn, require"),
        (["device=cuda:99"], "use device=cpu"),
        (["device=tpu"], "must be one of auto, cpu, cuda"),
        (["study.baseline=nosuch"], "full_one_thread"),
        (["study.control=nosuch"], "cnn_question"),
        (["-m", "runs.trace=3,5"], "runs cannot be swept"),
        (["determinism.threads=0"], "at least 1"),
        (["determinism.seed=-1"], "0 to 4294967295"),
        (["determinism.python_hash_seed=-1"], "0 to 4294967295"),
        (["determinism.matmul_precision=most"], "highest, high, medium"),
        (["runs.trace=0"], "at least 1"),
        (["runs.timing=1"], "at least 2"),
        (["runs.repeats=0"], "at least 1"),
        (["launch.timeout_s=0"], "above 0"),
        (["launch.ahead=0"], "at least 1"),
        (
            ["nosuchverb"],
            "the commands are resume, report, check, diagnose, replay, audit, publish, list",
        ),
        (["resume"], "takes one study"),
        (["resume", "nowhere"], "is not a study"),
        (["report", "nowhere"], "is not a study"),
        (["list", "everything"], "takes no arguments"),
        (["scenario=[mlp"], "no viable alternative"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_created(
    tmp_path: Path, words: list[str], message: str
) -> None:
    done = harness(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_outside_the_venv_one_line_says_how_to_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "harness", "scenario=cnn"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "make shell" in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_names_the_verbs_that_are_built_and_no_other(tmp_path: Path) -> None:
    text = harness("--help", cwd=tmp_path).stdout
    for verb in ("resume", "report", "check", "publish", "list", "diagnose", "replay", "audit"):
        assert verb in text
    assert "compare" not in text


def test_cfg_job_prints_each_cell_and_runs_none(tmp_path: Path) -> None:
    done = harness("-m", "scenario=mlp,cnn", "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0
    assert "name: mlp" in done.stdout
    assert "name: cnn" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_list_describes_everything_in_a_line(tmp_path: Path) -> None:
    lines = harness("list", cwd=tmp_path).stdout.split("\n")
    for folder in ("scenario", "determinism", "matrix"):
        for path in (ROOT / "conf" / folder).glob("*.yaml"):
            line = next(line for line in lines if line.split()[:1] == [path.stem])
            assert len(line.split()) > 4, f"{path.name} has no description"


def test_one_cell_runs_with_its_baseline_and_the_baselines_twin(tmp_path: Path) -> None:
    done = harness("scenario=mlp", "determinism=full", *TINY, cwd=tmp_path)
    study = study_of(done, tmp_path)
    manifest = json.loads((study / "manifest.json").read_text())
    assert [(one["cell"]["setting"], one["role"]) for one in manifest["cells"]] == [
        ("full", "asked"),
        ("seed", "baseline"),
    ]
    assert "no difference seen under `full` and `seed`" in done.stdout
    twins = [path for path in (study / "runs").iterdir() if "-twin" in path.name]
    assert len(twins) == 2
    assert (study / "report.html").exists()


def test_a_swept_number_makes_cells_of_one_study(tmp_path: Path) -> None:
    done = harness(
        "scenario=mlp",
        "scenario.batch_size=4,8",
        "-m",
        "study.control=null",
        "determinism=seed",
        *TINY,
        cwd=tmp_path,
    )
    manifest = json.loads((study_of(done, tmp_path) / "manifest.json").read_text())
    assert [one["cell"]["scenario"]["options"]["batch_size"] for one in manifest["cells"]] == [4, 8]


def test_without_a_baseline_no_cost_is_measured(tmp_path: Path) -> None:
    done = harness(
        "study.baseline=null", "runs.timing=0", "runs.trace=2", "scenario.steps=3", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "no difference seen under `full`, in 2 runs each" in done.stdout


def test_a_command_typed_again_goes_on_only_where_resume_would(tmp_path: Path) -> None:
    words = ["study.dir=it", "scenario=mlp", "scenario.steps=5", *SMALL]
    study_of(harness(*words, cwd=tmp_path), tmp_path)
    assert harness(*words, cwd=tmp_path).returncode in (0, 1)
    manifest = tmp_path / "it" / "manifest.json"
    document = json.loads(manifest.read_text())
    document["software"]["torch"] = "2.0.0"
    manifest.write_text(json.dumps(document))
    done = harness(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot resume: torch was 2.0.0" in done.stderr


def test_a_warm_up_that_leaves_no_step_is_told(tmp_path: Path) -> None:
    done = harness("scenario=mlp", "scenario.steps=2", *SMALL, cwd=tmp_path)
    assert done.returncode == 3
    assert "timing.warmup" in (study_of(done, tmp_path) / "report.md").read_text()


def begin(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    """As from a terminal: where the tests run in the background, SIGINT is ignored, and that would
    be inherited.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "harness", "study.dir=it", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def wait_for_records(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(folder.glob("runs/*.t*.*.json"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_ended_study_keeps_its_records_and_resume_completes_it(
    tmp_path: Path, by: signal.Signals
) -> None:
    words = [
        "scenario=mlp",
        "runs.trace=5",
        "runs.timing=3",
        "scenario.steps=6",
        "study.repeat_failed=false",
        "launch.ahead=2",
    ]
    process = begin(tmp_path, *words)
    wait_for_records(tmp_path / "it", 3)
    process.send_signal(by)
    _, errors = process.communicate(timeout=60)
    if by is not signal.SIGKILL:
        assert process.returncode == 130
        assert "python -m harness resume it" in errors
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "it/runs").glob("*.t*.*.json")}
    assert len(before) >= 3
    damaged = min(before)
    damaged.write_text(damaged.read_text()[:100])
    done = harness("resume", "it", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    after = list((tmp_path / "it/runs").glob("*.t*.*.json"))
    assert len(after) == 10 + 9
    assert all(load_record(path).outcome is Outcome.ok for path in after)
    assert all(path.stat().st_mtime_ns == then for path, then in before.items() if path != damaged)


def test_a_folder_of_another_command_is_refused(tmp_path: Path) -> None:
    process = begin(tmp_path, *TINY)
    wait_for_records(tmp_path / "it", 1)
    locked = harness("resume", "it", cwd=tmp_path)
    assert locked.returncode == 2
    assert "another process" in locked.stderr
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    other = harness("study.dir=it", "scenario=cnn", cwd=tmp_path)
    assert other.returncode == 2
    assert "belongs to another command" in other.stderr
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    occupied = harness("study.dir=full", cwd=tmp_path)
    assert occupied.returncode == 2
    assert "not empty" in occupied.stderr


def test_resume_refuses_another_machine_by_name_of_the_field(tmp_path: Path, study: Path) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(study), str(copy)], check=True)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["software"]["torch"] = "1.0.0"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    done = harness("resume", "copy", cwd=tmp_path)
    assert done.returncode == 2
    assert "torch was 1.0.0" in done.stderr
