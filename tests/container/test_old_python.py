"""What the host's own Python runs is written for Python 3.8: it comes before any set-up."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

OLDEST = (3, 8)
# The set-up refuses old Pythons in words, for which they must be able to read it.
FILES = [*sorted((ROOT / "container").glob("*.py")), ROOT / "requirements" / "install.py"]
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


@each_file
def test_it_is_syntax_of_python_3_8(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=OLDEST)


def test_newer_syntax_would_be_noticed() -> None:
    with pytest.raises(SyntaxError, match=r"only supported in Python 3\.10"):
        ast.parse("match 1:\n    case 1: pass", feature_version=OLDEST)


@each_file
def test_its_annotations_are_never_evaluated(path: Path) -> None:
    """Only so does Python 3.8 not mind `str | None` and `list[str]`."""
    code = [node for node in ast.parse(path.read_text()).body if not isinstance(node, ast.Expr)]
    assert not code or ast.unparse(code[0]) == "from __future__ import annotations"


@each_file
def test_it_imports_the_standard_library_and_itself_alone(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    assert {name.partition(".")[0] for name in imported} <= {*sys.stdlib_module_names, "container"}


@pytest.fixture
def python3_8() -> str:
    """A Python 3.8 that really runs; a shim may not."""
    try:
        subprocess.run(["python3.8", "-c", ""], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no python3.8 on the PATH")
    return "python3.8"


def test_a_real_python_3_8_says_what_is_missing(python3_8: str) -> None:
    """Without a client nor a served Python: both parts end with their advice."""
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
