"""Code that runs with the host's Python, before any set-up, supports Python 3.8."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

OLDEST = (3, 8)
# install.py rejects an old Python with a message, so an old Python must be able to parse it.
FILES = [*sorted((ROOT / "container").glob("*.py")), ROOT / "requirements" / "install.py"]
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


@each_file
def test_the_file_parses_as_python_3_8(path: Path) -> None:
    """The file uses no syntax newer than Python 3.8."""
    ast.parse(path.read_text(), feature_version=OLDEST)


def test_newer_syntax_is_detected() -> None:
    """The syntax check above rejects a statement that Python 3.8 does not know."""
    with pytest.raises(SyntaxError, match=r"only supported in Python 3\.10"):
        ast.parse("match 1:\n    case 1: pass", feature_version=OLDEST)


@each_file
def test_annotations_are_never_evaluated(path: Path) -> None:
    """Annotations are not evaluated, so Python 3.8 accepts `str | None` and `list[str]`."""
    code = [node for node in ast.parse(path.read_text()).body if not isinstance(node, ast.Expr)]
    assert not code or ast.unparse(code[0]) == "from __future__ import annotations"


@each_file
def test_the_file_imports_only_the_standard_library_and_its_own_package(path: Path) -> None:
    """The file imports only the standard library and the container package."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    assert {name.partition(".")[0] for name in imported} <= {*sys.stdlib_module_names, "container"}


@pytest.fixture
def python3_8() -> str:
    """The command of a Python 3.8 that runs; a shim may fail to."""
    try:
        subprocess.run(["python3.8", "-c", ""], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs python3.8 on the PATH")
    return "python3.8"


def test_python_3_8_reports_what_is_missing(python3_8: str) -> None:
    """Without a Docker client and a supported Python, both commands exit with advice."""
    program = "import os, sys; os.environ['PATH'] = ''; from container.__main__ import main; "
    for verb, advice in (("image", "install Docker Engine"), ("bench", "needs 3.11, 3.12 or 3.13")):
        done = subprocess.run(
            [python3_8, "-W", "error", "-c", f"{program} sys.exit(main(['{verb}']))"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert advice in done.stderr.replace("\n", " ")
