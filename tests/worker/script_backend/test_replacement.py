"""A script that replaces its own process is followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import FORK, harness, study_of
from tests.worker.script_backend.conftest import words


@pytest.mark.slow
def test_a_module_that_restarts_itself_is_followed(folder: Path) -> None:
    """As `python -m package.train` or by the file of the module, with its arguments."""
    (folder / "package").mkdir()
    for name, how in {"by_name": '"-m", "package.by_name"', "by_file": "__file__"}.items():
        restart = f"os.execv(sys.executable, [sys.executable, {how}, *sys.argv[1:]])"
        (folder / "package" / f"{name}.py").write_text(
            f"import os, sys\nif os.environ.setdefault('N', '') == '':\n"
            f"    os.environ['N'] = '1'\n    {restart}\nprint(sys.argv[1])\n"
        )
    modules = ["scenario.module=package.by_name,package.by_file", "scenario.args=[3]", FORK]
    options = [word for word in words("") if not word.startswith("scenario.path=")]
    done = harness("-m", *options, *modules, "runs.trace=2", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    logs = (study_of(done, folder) / "logs").glob("*.log")
    assert [log.read_text() for log in logs] == ["3\n"] * 4
