"""The program as people type it: bad input, one cell, Ctrl-C, resume."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.cli import VERBS
from harness.core.record import Outcome, load_record
from harness.study.folder import StudyFolder
from tests.conftest import ALONE, FORK, ROOT, SMALL, TRACES_ONLY, command, harness, study_of

TINY = ["scenario.steps=6", *SMALL]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scenario=nosuch"], "cnn_question"),
        (["determinism=nosuch"], "full_one_thread"),
        (["matrix=nosuch"], "publish"),
        (["scenario.nosuch=1"], "nosuch"),
        pytest.param(["+scenario.nosuch=1"], "its options are batch_size", marks=pytest.mark.slow),
        (
            ["+scenario.framework=jax"],
            "scenario.framework=jax: must be one of torch, script, keras",
        ),
        (["nosuch=1"], "nosuch"),
        (["scenario.steps=many"], "must be of type int"),
        pytest.param(
            ["scenario.data=faces"], "must be one of random, digits", marks=pytest.mark.slow
        ),
        (["determinism.seed=many"], "Integer"),
        (["determinism.algorithms=maybe"], "allow, warn, require"),
        (["device=cuda:99"], "use device=cpu"),
        pytest.param(["device=tpu"], "must be one of auto, cpu, cuda", marks=pytest.mark.slow),
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
            "the commands are resume, status, report, check, diagnose, recipe, cost, perturb,",
        ),
        (["results/x"], "unknown command 'results/x'"),
        (["resume"], "takes one study"),
        (["resume", "nowhere"], "is not a study"),
        (["report", "nowhere"], "is not a study"),
        (["list", "everything"], "takes no arguments"),
        (["scenario=[mlp"], "no viable alternative"),
    ],
)
def test_bad_input_is_named_and_nothing_is_created(
    tmp_path: Path, words: list[str], message: str
) -> None:
    """A request that cannot be run ends with status 2 and a message that names the value."""
    cells = ALONE if "=" in words[-1] else []  # composed once each, which takes a while
    done = command(*cells, *words, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_program_itself_ends_with_the_status_and_message_of_its_main(tmp_path: Path) -> None:
    """`python -m harness` prints the message to standard error and no traceback."""
    done = harness("runs.trace=0", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "harness: runs.trace=0: must be at least 1\n"


def test_outside_the_venv_one_line_says_how_to_start(tmp_path: Path) -> None:
    """Without the installed packages the program names `make shell`."""
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


def test_help_names_every_command(tmp_path: Path) -> None:
    """--help lists the commands that exist and no other."""
    text = harness("--help", cwd=tmp_path).stdout
    commands = text.partition("Commands:")[2]
    assert set(re.findall(r"^  ([a-z]+) ", commands, re.MULTILINE)) == set(VERBS)


def test_cfg_job_prints_each_cell_and_runs_none(tmp_path: Path) -> None:
    """--cfg job prints the configuration of each cell and starts no study."""
    done = command("-m", "scenario=mlp,cnn", "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0
    assert "name: mlp" in done.stdout
    assert "name: cnn" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_list_describes_everything_in_a_line(tmp_path: Path) -> None:
    """Each scenario, setting and matrix has a description of more than three words."""
    lines = command("list", cwd=tmp_path).stdout.split("\n")
    for folder in ("scenario", "determinism", "matrix"):
        for path in (ROOT / "conf" / folder).glob("*.yaml"):
            line = next(line for line in lines if line.split()[:1] == [path.stem])
            assert len(line.split()) > 4, f"{path.name} has no description"


@pytest.mark.slow
def test_one_cell_runs_with_its_baseline_and_the_baselines_twin(tmp_path: Path) -> None:
    """A single cell is a whole study: the cell, its baseline, and the baseline's A/A twin."""
    done = harness("scenario=mlp", "determinism=full", *TINY, cwd=tmp_path)
    study = study_of(done, tmp_path)
    manifest = json.loads((study / "manifest.json").read_text())
    assert [(cell["cell"]["setting"], cell["role"]) for cell in manifest["cells"]] == [
        ("full", "asked"),
        ("seed", "baseline"),
    ]
    assert "With seeds, mlp (steps=6) shows no difference in 2 runs." in done.stdout
    records = [load_record(path) for path in (study / "runs").glob("*.timing.*.json")]
    assert [sum(arm.twin for arm in record.spec.arms) for record in records] == [1, 1]
    assert (study / "report.html").exists()


@pytest.mark.slow
def test_a_swept_number_makes_cells_of_one_study(tmp_path: Path) -> None:
    """Any option of a scenario can be an axis of a matrix."""
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
    assert [cell["cell"]["scenario"]["options"]["batch_size"] for cell in manifest["cells"]] == [
        4,
        8,
    ]


@pytest.mark.slow
def test_without_a_baseline_no_cost_is_measured(tmp_path: Path) -> None:
    """study.baseline=null leaves the requested cell alone."""
    done = harness(
        "study.baseline=null",
        "runs.timing=0",
        "runs.trace=2",
        "scenario.steps=3",
        FORK,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 1 cell shows no difference." in done.stdout


@pytest.mark.slow
def test_a_command_typed_again_continues_its_study_if_resume_would(tmp_path: Path) -> None:
    """The same command with the same study.dir completes the study, unless torch has changed."""
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


@pytest.mark.slow
def test_a_warm_up_that_leaves_no_step_is_reported(tmp_path: Path) -> None:
    """A training that is shorter than timing.warmup fails with the name of the key."""
    done = harness("scenario=mlp", "scenario.steps=2", *SMALL, cwd=tmp_path)
    assert done.returncode == 3
    assert "timing.warmup" in (study_of(done, tmp_path) / "report.md").read_text()


def begin(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    """Starts the program as a terminal does: a test run in the background ignores SIGINT, which a
    child would inherit.
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


@pytest.mark.parametrize(
    ("by", "isolation"),
    [
        pytest.param(signal.SIGINT, "spawn", marks=pytest.mark.long),
        pytest.param(signal.SIGKILL, "spawn", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "fork", marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, "fork", marks=pytest.mark.long),
    ],
)
def test_an_interrupted_study_keeps_its_records_and_resume_completes_it(
    tmp_path: Path, by: signal.Signals, isolation: str
) -> None:
    """After Ctrl-C, SIGTERM or SIGKILL, `resume` runs what is missing and nothing twice."""
    words = ["scenario=mlp", "scenario.steps=6", "launch.ahead=2", f"launch.isolation={isolation}"]
    process = begin(tmp_path, *words, "runs.trace=8", *TRACES_ONLY)
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
    assert len(after) == 8
    assert all(load_record(path).outcome is Outcome.ok for path in after)
    assert all(path.stat().st_mtime_ns == then for path, then in before.items() if path != damaged)


def test_a_folder_of_another_command_is_refused(tmp_path: Path, study: Path) -> None:
    """A study.dir that is in use, holds another study, or holds other files is left alone."""
    with StudyFolder(study).lock():
        locked = command("resume", str(study), cwd=tmp_path)
    assert locked.returncode == 2
    assert "another process" in locked.stderr
    other = command(f"study.dir={study}", "scenario=cnn", *ALONE, cwd=tmp_path)
    assert other.returncode == 2
    assert "belongs to another command" in other.stderr
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    occupied = command("study.dir=full", *ALONE, cwd=tmp_path)
    assert occupied.returncode == 2
    assert "not empty" in occupied.stderr


def test_resume_names_what_has_changed(tmp_path: Path, study: Path) -> None:
    """`resume` refuses to mix two versions of torch in one study."""
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(study), str(copy)], check=True)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["software"]["torch"] = "1.0.0"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    done = command("resume", "copy", cwd=tmp_path)
    assert done.returncode == 2
    assert "torch was 1.0.0" in done.stderr


def test_output_that_nobody_reads_is_no_error() -> None:
    """As with `| head`: the command ends without a traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "harness", "list"]
    with os.fdopen(writer, "w") as output:
        done = subprocess.run(
            words, stdout=output, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT
        )
    assert (done.returncode, done.stderr) == (141, "")
