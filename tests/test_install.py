"""The package as pip installs it, from the tracked files alone, used in a folder of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("harness", "scenarios", "conf")
Run = Callable[..., subprocess.CompletedProcess[str]]


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("not a clone: run this where `git ls-files` names what belongs to the package")
    return [Path(name) for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without network: what builds the package is here already."""
    for needed in ("pip", "setuptools"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"this Python has no {needed}: run this in the .venv of `make test`")
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "target"))
    for path in tracked():
        if path.parts[0] in (*PACKAGES, "pyproject.toml", "README.md", "LICENSE"):
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_bytes((ROOT / path).read_bytes())
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            "--disable-pip-version-check",
            "--target",
            str(target),
            str(source),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"},
        )

    return run


def test_every_tracked_file_of_the_packages_is_installed(installed: Path) -> None:
    """scenarios/ and conf/, at the top of the repository, are inside harness/ in a wheel."""
    files = {path for path in tracked() if path.parts[0] in PACKAGES and path.name != "README.md"}
    inside = {path if path.parts[0] == "harness" else "harness" / path for path in files}
    assert Path("harness/py.typed") in inside
    assert not [path for path in inside if not (installed / path).is_file()]


def test_nothing_but_the_package_and_its_metadata_lies_at_the_top(installed: Path) -> None:
    """A wheel installs no package that could hide a project's own conf or scenarios."""
    names = {path.name for path in installed.iterdir()} - {"bin", "__pycache__"}
    assert names == {"harness", "determinism_harness-0.1.0.dist-info"}


OWN = {
    "conf/__init__.py": "",
    "conf/rates.py": "RATE = 0.1\n",
    "scenarios/__init__.py": "",
    "scenarios/nets.py": "import torch\ndef net():\n    return torch.nn.Linear(3, 1)\n",
    "harness/__init__.py": "STEPS = 4\n",
    "harness/data.py": "import torch\ndef batch():\n    return torch.ones(2, 3)\n",
    "train.py": (
        "import torch\n"
        "import harness\n"
        "from conf.rates import RATE\n"
        "from harness.data import batch\n"
        "from scenarios.nets import net\n"
        "model = net()\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=RATE)\n"
        "for _ in range(harness.STEPS):\n"
        "    optimizer.zero_grad()\n"
        "    model(batch()).sum().backward()\n"
        "    optimizer.step()\n"
    ),
}


@pytest.mark.slow
def test_a_project_may_have_packages_of_the_same_names(
    installed: Path, run: Run, tmp_path: Path
) -> None:
    """A script imports its project's own conf, scenarios and harness, and is measured."""
    for name, text in OWN.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    command = str(installed / "bin" / "determinism-harness")
    words = ("scenario=script", "scenario.path=train.py", "determinism=seed", "timing.warmup=1")
    few = ("runs.trace=2", "runs.timing=0", "study.baseline=null", "study.control=null")
    done = run(command, *words, *few)
    assert done.returncode == 0, done.stdout + done.stderr
    (study,) = (tmp_path / "results").iterdir()
    assert "no difference seen" in (study / "report.md").read_text()


def test_the_command_works_in_any_folder(installed: Path, run: Run) -> None:
    """The console script lists what the wheel contains and refuses nonsense."""
    command = str(installed / "bin" / "determinism-harness")
    listed = run(command, "list")
    assert listed.returncode == 0, listed.stderr
    for line in ("scenario=", "  mlp ", "determinism=", "  full ", "matrix=", "  quick "):
        assert line in listed.stdout
    refused = run(command, "nonsense")
    assert refused.returncode == 2
    assert "unknown command 'nonsense'" in refused.stderr


@pytest.mark.slow
def test_pytest_finds_the_plugin_by_its_entry_point(run: Run, tmp_path: Path) -> None:
    """An installed wheel adds its options and fixture to pytest."""
    text = run(sys.executable, "-m", "pytest", "--help").stdout
    for word in ("--reproducible", "--update-golden", "golden_limit_mb"):
        assert word in text
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tmp_path / "test_own.py").write_text(
        "import pytest, random\n"
        "@pytest.mark.reproducible(runs=2, threads=1)\n"
        "def test_own(same_across_runs):\n"
        "    same_across_runs('value', random.random())\n"
    )
    done = run(sys.executable, "-m", "pytest", "--reproducible", "--strict-markers")
    assert "1 passed" in done.stdout, done.stdout
