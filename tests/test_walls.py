"""Which folder may import what: one line per folder, followed through all of our own files."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

HYDRA = {"hydra", "omegaconf"}
KERAS = {"keras", "tensorflow"}
COMPUTE = {"torch", "numpy", "pandas", "matplotlib", "scipy", *KERAS}
PRESENT = {"pandas", "matplotlib", "rich", "jinja2", "scipy"}

# From the bottom up: folders of ours that files in a place import, and libraries that they never
# reach. A file has a line where its rule is stricter than its folder's.
RULES: dict[str, tuple[str, set[str]]] = {
    "core": ("", {*COMPUTE, *PRESENT, *HYDRA, "psutil", "safetensors"}),
    "data": ("", {*PRESENT, *HYDRA, "torch"}),
    "host": ("core", {*COMPUTE, *HYDRA}),
    "scenario.py": ("data", {*PRESENT, *HYDRA, *KERAS}),
    "keras_scenario.py": ("data", {*PRESENT, *HYDRA, "torch"}),
    "worker": ("core host scenario keras_scenario", {*PRESENT, *HYDRA}),
    "worker/__main__.py": ("core worker", {*PRESENT, *HYDRA, *COMPUTE - {"numpy"}}),
    "worker/torch_backend": ("core host scenario worker", {*PRESENT, *HYDRA, *KERAS}),
    "worker/script_backend": ("core worker", {*PRESENT, *HYDRA, *KERAS}),
    "worker/keras_backend": ("core host keras_scenario worker", {*PRESENT, *HYDRA, "torch"}),
    "analysis": ("core", {"torch", *HYDRA, *KERAS, "matplotlib", "rich"}),
    "report": ("core analysis", {"torch", *HYDRA, *KERAS}),
    "check": ("core analysis report", {"torch", *HYDRA, *KERAS, "matplotlib", "rich", "jinja2"}),
    "study": ("core host", {*COMPUTE, *HYDRA}),
    "config": ("core study", {*COMPUTE, "rich"}),
    "diagnose": ("core study", {*COMPUTE, *HYDRA}),
    "testing": ("core config worker analysis", {"hydra", "pandas", "matplotlib", "rich", *KERAS}),
    "testing/api.py": ("core config", {"hydra", "torch", "rich", "pandas", *KERAS}),
    "cli.py": ("core study config diagnose", COMPUTE),
    "__main__.py": ("core cli", COMPUTE),
    "__init__.py": ("core testing", {"hydra", "torch", "rich", "pandas", *KERAS}),
    "../scenarios": ("scenario keras_scenario data", {*PRESENT, *HYDRA, "psutil"}),
}


def file_of(module: str, root: Path = ROOT) -> Path | None:
    path = root.joinpath(*module.split("."))
    candidates = [path.with_suffix(".py"), path / "__init__.py"]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions; not what only type checkers read."""
    tree = ast.parse(path.read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    modules = set()
    for node in set(ast.walk(tree)) - for_types:
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def reached(path: Path, root: Path = ROOT) -> set[str]:
    """Every module that importing a file can lead to, through our own files.

    The packages around a module run too; the file's own name is left out.
    """
    modules: set[str] = set()
    waiting = list(imports(path))
    while waiting:
        module = waiting.pop()
        if module in modules:
            continue
        modules.add(module)
        waiting += [module.rpartition(".")[0]] * ("." in module)
        source = file_of(module, root)
        if source is not None:
            waiting += imports(source)
    return modules


def forbidden_libraries(path: Path, never: set[str], root: Path = ROOT) -> set[str]:
    return {module.partition(".")[0] for module in reached(path, root)} & never


def folders_imported(path: Path, root: Path = ROOT) -> set[str]:
    """The folders and single files directly under harness/ that a file imports from."""
    ours = {module.split(".")[1] for module in imports(path) if module.startswith("harness.")}
    return {name for name in ours if file_of(f"harness.{name}", root)}


def files_in(place: str) -> list[Path]:
    path = ROOT / "harness" / place
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("place", RULES)
def test_a_folder_imports_only_the_folders_in_its_line(place: str) -> None:
    """Files import from their own folder and from those that the table allows."""
    allowed = {*RULES[place][0].split(), place.partition("/")[0]}
    found = {str(path): folders_imported(path) - allowed for path in files_in(place)}
    assert files_in(place), f"nothing at {place}"
    assert not {path: folders for path, folders in found.items() if folders}


@pytest.mark.parametrize("place", RULES)
def test_a_folder_reaches_none_of_its_forbidden_libraries(place: str) -> None:
    """No chain of imports leads from a folder to a library that its line forbids."""
    found = {str(path): forbidden_libraries(path, RULES[place][1]) for path in files_in(place)}
    assert not {path: libraries for path, libraries in found.items() if libraries}


def test_the_table_has_no_loop_and_misses_no_folder() -> None:
    """Each line names folders of lines above it, and every folder and file has a line."""
    known: list[str] = []
    for place, (allowed, _) in RULES.items():
        top = place.partition("/")[0].removesuffix(".py")
        assert {*allowed.split()} <= {*known, top}, place
        known.append(top)
    package = ROOT / "harness"
    there = {path.name for path in package.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert there - {"__pycache__"} <= RULES.keys()


def test_core_is_made_of_the_standard_library() -> None:
    """The core imports nothing that has to be installed."""
    modules = {module for path in files_in("core") for module in imports(path)}
    assert {module.partition(".")[0] for module in modules} <= {"harness", *sys.stdlib_module_names}


def test_only_the_config_folder_imports_hydra() -> None:
    """Hydra and OmegaConf are named in harness/config/ alone."""
    users = {path.parent.name for path in files_in(".") if imports(path) & HYDRA}
    assert users == {"config"}


def test_a_broken_wall_is_found(tmp_path: Path) -> None:
    """The checks above see an import inside a function, and pass over one for types alone."""
    package = tmp_path / "harness"
    (package / "core").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "core" / "__init__.py").write_text("")
    plan = package / "plan.py"
    (package / "core" / "far.py").write_text("import torch.nn\n")
    plan.write_text("def f():\n    from harness.core import far\n")
    assert forbidden_libraries(plan, COMPUTE, tmp_path) == {"torch"}
    assert folders_imported(plan, tmp_path) == {"core"}
    plan.write_text("if TYPE_CHECKING:\n    from harness.core import far\n")
    assert not forbidden_libraries(plan, COMPUTE, tmp_path)
    plan.write_text("if TYPE_CHECKING:\n    pass\nelse:\n    import torch\n")
    assert forbidden_libraries(plan, COMPUTE, tmp_path) == {"torch"}
