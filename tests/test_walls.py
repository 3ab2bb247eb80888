"""Which folders and libraries each folder may import, directly and through our own files."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

HYDRA = {"hydra", "omegaconf"}
KERAS = {"keras", "tensorflow"}
COMPUTE = {"torch", "numpy", "pandas", "matplotlib", "scipy", *KERAS}
PRESENT = {"pandas", "matplotlib", "rich", "jinja2", "scipy"}

API, SHIPPED = "(API)", ("scenarios", "conf")  # names of the package; in a checkout, beside it

# From the bottom up: the folders of harness/ that a folder may import, and the libraries that its
# imports must never reach. A file whose rule is stricter than its folder's has its own line.
RULES: dict[str, tuple[str, set[str]]] = {
    "core": ("", {*COMPUTE, *PRESENT, *HYDRA, "psutil", "safetensors"}),
    "data": ("", {*PRESENT, *HYDRA, "torch"}),
    "host": ("core", {*COMPUTE, *HYDRA}),
    "factors": ("core", {*COMPUTE, *PRESENT, *HYDRA, "psutil", "safetensors"}),
    "scenario.py": ("data", {*PRESENT, *HYDRA, *KERAS}),
    "keras_scenario.py": ("data", {*PRESENT, *HYDRA, "torch"}),
    "worker": ("core host factors scenario keras_scenario", {*PRESENT, *HYDRA}),
    "worker/__main__.py": ("core factors worker", {*PRESENT, *HYDRA, *COMPUTE - {"numpy"}}),
    "worker/torch_backend": ("core host scenario worker", {*PRESENT, *HYDRA, *KERAS}),
    "worker/script_backend": (
        "core factors worker worker/torch_backend",
        {*PRESENT, *HYDRA, *KERAS},
    ),
    "worker/scenario_check.py": ("core worker worker/script_backend", {*PRESENT, *HYDRA, *KERAS}),
    "worker/keras_backend": ("core host keras_scenario worker", {*PRESENT, *HYDRA, "torch"}),
    "analysis": ("core", {"torch", *HYDRA, *KERAS, "matplotlib", "rich"}),
    "report": ("core analysis", {"torch", *HYDRA, *KERAS}),
    "compare": ("core analysis report", {"torch", *HYDRA, *KERAS, "jinja2"}),
    "site": ("core report", {*COMPUTE, *HYDRA, "scipy"}),
    "export": ("core analysis report", {"torch", *HYDRA, *KERAS}),
    "verify": ("core analysis report", {"torch", *HYDRA, *KERAS}),
    "check": ("core analysis report", {"torch", *HYDRA, *KERAS, "matplotlib", "rich", "jinja2"}),
    "study": ("core host factors", {*COMPUTE, *HYDRA}),
    "config": ("core study", {*COMPUTE, "rich"}),
    "diagnose": ("core factors study", {*COMPUTE, *HYDRA}),
    "perturb": ("core factors study diagnose", {*COMPUTE, *HYDRA}),
    "testing": (
        "core config worker worker/torch_backend analysis",
        {"hydra", "pandas", "matplotlib", "rich", *KERAS},
    ),
    "testing/api.py": ("core config", {"hydra", "torch", "rich", "pandas", *KERAS}),
    "cli.py": ("core study config diagnose perturb check", COMPUTE),
    "__main__.py": ("core cli", COMPUTE),
    "__init__.py": ("core testing", {"hydra", "torch", "rich", "pandas", *KERAS}),
    "../scenarios": ("scenario keras_scenario data", {*PRESENT, *HYDRA, "psutil"}),
}


def find_file(module: str, root: Path = ROOT) -> Path | None:
    path = root.joinpath(*module.split("."))
    candidates = [path.with_suffix(".py"), path / "__init__.py"]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


@cache
def find_imports(source: str) -> frozenset[str]:
    """Every module that a program imports, even inside functions, but not under TYPE_CHECKING."""
    tree = ast.parse(source)
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    modules: set[str] = set()
    for node in set(ast.walk(tree)) - for_types:
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level < 2, "an import from another folder is absolute"
            if node.level == 0:
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                modules |= {str(node.module), *names}
    return frozenset(modules)


def find_reachable(path: Path, root: Path = ROOT) -> set[str]:
    """Every module that importing a file can lead to through our own files.

    This includes the packages that contain a module, but not the file itself.
    """
    modules: set[str] = set()
    waiting = list(find_imports(path.read_text()))
    while waiting:
        module = waiting.pop()
        if module in modules:
            continue
        modules.add(module)
        waiting += [module.rpartition(".")[0]] * ("." in module)
        source = find_file(module, root)
        if source is not None:
            waiting += find_imports(source.read_text())
    return modules


def find_forbidden(path: Path, never: set[str], root: Path = ROOT) -> set[str]:
    return {module.partition(".")[0] for module in find_reachable(path, root)} & never


def find_places(path: Path, root: Path = ROOT) -> set[str]:
    """The lines of the table that a file imports from; API for a name of the package itself."""
    places = set()
    for module in find_imports(path.read_text()):
        package, _, inner = module.partition(".")
        if package != "harness" or inner in ("", "__version__"):
            continue
        name = inner.split(".")[0]
        below = f"{name}/{inner.split('.')[1]}" if "." in inner else name
        if below in RULES:
            places.add(below)
        else:
            known = name in SHIPPED or find_file(f"harness.{name}", root)
            places.add(name if known else API)
    return places


def list_files(place: str) -> list[Path]:
    """The files of a line; those with a line of their own are left out."""
    path = ROOT / "harness" / place
    if path.is_file():
        return [path]
    inner = [ROOT / "harness" / other for other in RULES if other.startswith(f"{place}/")]
    files = sorted(path.rglob("*.py"))
    return [file for file in files if not any(other in (file, *file.parents) for other in inner)]


@pytest.mark.parametrize("place", RULES)
def test_a_folder_imports_only_the_folders_in_its_line(place: str) -> None:
    """Files import only from their own folder and from the folders in its line of the table."""
    allowed = {*RULES[place][0].split(), place, place.partition("/")[0]}
    unexpected = {str(path): find_places(path) - allowed for path in list_files(place)}
    assert list_files(place), f"nothing at {place}"
    assert not {path: folders for path, folders in unexpected.items() if folders}


@pytest.mark.parametrize("place", RULES)
def test_a_folder_reaches_none_of_its_forbidden_libraries(place: str) -> None:
    """No chain of imports leads from a folder to a library that its line forbids."""
    reached = {str(path): find_forbidden(path, RULES[place][1]) for path in list_files(place)}
    assert not {path: libraries for path, libraries in reached.items() if libraries}


def test_the_table_has_no_cycle_and_is_complete() -> None:
    """Each line names only folders of lines above it, and every folder and file has a line."""
    known: list[str] = []
    for place, (allowed, _) in RULES.items():
        top = place.partition("/")[0].removesuffix(".py")
        assert {*allowed.split()} <= {*known, top}, place
        known += [top, place]
    package = ROOT / "harness"
    present = {path.name for path in package.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert present - {"__pycache__"} <= RULES.keys()


def test_core_needs_only_the_standard_library() -> None:
    """The core imports nothing that has to be installed."""
    modules = {module for path in list_files("core") for module in find_imports(path.read_text())}
    assert {module.partition(".")[0] for module in modules} <= {"harness", *sys.stdlib_module_names}


def test_only_the_config_folder_imports_hydra() -> None:
    """Only files in harness/config/ import Hydra or OmegaConf."""
    users = {
        path.parent.name
        for path in (ROOT / "harness").rglob("*.py")
        if {module.partition(".")[0] for module in find_imports(path.read_text())} & HYDRA
    }
    assert users == {"config"}


def test_violations_are_detected(tmp_path: Path) -> None:
    """The checks follow imports inside functions and ignore those for type checkers only."""
    package = tmp_path / "harness"
    (package / "core").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "core" / "__init__.py").write_text("")
    plan = package / "plan.py"
    (package / "core" / "far.py").write_text("import torch.nn\n")
    plan.write_text("def f():\n    from harness.core import far\n")
    assert find_forbidden(plan, COMPUTE, tmp_path) == {"torch"}
    assert find_places(plan, tmp_path) == {"core"}
    plan.write_text("from harness import assert_reproducible\nfrom harness.scenarios import mlp\n")
    assert find_places(plan, tmp_path) == {API, "scenarios"}
    plan.write_text("from harness.worker.script_backend import backend\n")
    assert find_places(plan, tmp_path) == {"worker/script_backend"}
    plan.write_text("from ..report import render\n")
    with pytest.raises(AssertionError, match="absolute"):
        find_places(plan, tmp_path)
    plan.write_text("if TYPE_CHECKING:\n    from harness.core import far\n")
    assert not find_forbidden(plan, COMPUTE, tmp_path)
    plan.write_text("if TYPE_CHECKING:\n    pass\nelse:\n    import torch\n")
    assert find_forbidden(plan, COMPUTE, tmp_path) == {"torch"}
