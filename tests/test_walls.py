"""The three sides never import each other's libraries."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "pandas", "matplotlib", "scipy", "numpy"}
TELLING = {"hydra", "omegaconf", "pandas", "matplotlib", "rich", "scipy"}
FORBIDDEN = {
    "harness": {*HEAVY, "hydra", "omegaconf", "rich", "psutil", "safetensors"},
    "harness.__main__": HEAVY,
    "harness.testing.result": {*HEAVY, "hydra", "omegaconf", "rich", "psutil"},
    "harness.testing.target": {*HEAVY, "hydra", "omegaconf", "rich", "psutil"},
    "harness.testing.golden": {*HEAVY, "hydra", "omegaconf", "rich", "psutil"},
    "harness.settings": {*HEAVY, "hydra", "rich"},
    "harness.launch.fresh": {*HEAVY, "hydra", "omegaconf"},
    "harness.testing.reproducible": {*HEAVY - {"numpy"}, "hydra", "rich"},
    "harness.testing.marked": {*HEAVY - {"numpy"}, "hydra", "rich"},
    "harness.worker.call": {*TELLING, "keras", "tensorflow"},
    "harness.testing.same": {*TELLING, "keras", "tensorflow"},
    "harness.pytest_plugin": {*TELLING - {"omegaconf"}, "keras", "tensorflow"},
    "harness.bench": HEAVY,
    "harness.config": HEAVY,
    "harness.composition": HEAVY,
    "harness.plan": HEAVY | {"hydra", "omegaconf"},
    "harness.study": HEAVY | {"hydra", "omegaconf"},
    "harness.diagnose": HEAVY | {"hydra", "omegaconf"},
    "harness.launch.local": HEAVY | {"hydra", "omegaconf"},
    "harness.analysis.verdict": {*HEAVY, "hydra", "omegaconf", "rich", "psutil"},
    "harness.analysis.origin": {*HEAVY, "hydra", "omegaconf", "rich", "psutil"},
    "harness.analysis.rates": {*HEAVY, "hydra", "omegaconf", "rich", "psutil"},
    "harness.operations": {*HEAVY, "hydra", "omegaconf", "rich", "psutil"},
    "harness.record": {*HEAVY, "hydra", "omegaconf", "rich", "psutil"},
    "harness.worker.__main__": {"hydra", "omegaconf", "pandas", "matplotlib", "rich", "scipy"},
    "harness.worker.perform": {*HEAVY - {"numpy"}, "keras", "tensorflow", "hydra", "rich"},
    "harness.worker.torch_runs": {*TELLING, "keras", "tensorflow"},
    "harness.worker.keras.runs": {*TELLING, "torch"},
    "harness.worker.keras.probe": {*TELLING, "torch"},
    "scenarios.keras_mlp": {"torch"},
    "scenarios.keras_cnn": {"torch"},
    "harness.worker.probe": {"hydra", "omegaconf", "pandas", "matplotlib", "rich", "scipy"},
    "scenarios": {"hydra", "omegaconf", "pandas", "matplotlib", "rich", "scipy", "harness"},
    "harness.report.__main__": {"torch", "hydra", "omegaconf"},
    "harness.check.__main__": {"torch", "hydra", "omegaconf", "matplotlib", "rich", "jinja2"},
    "harness.analysis.distances": {"torch", "hydra", "omegaconf"},
}


def file_of(module: str, root: Path = ROOT) -> Path | None:
    path = root.joinpath(*module.split("."))
    found = [path.with_suffix(".py"), path / "__init__.py"]
    return next((one for one in found if one.is_file()), None)


def imports(path: Path) -> set[str]:
    """Every module that a file names in an import, also inside functions; what only a type checker
    reads is never imported.
    """
    tree = ast.parse(path.read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for one in node.body
        for inner in ast.walk(one)
    }
    found = set()
    for node in set(ast.walk(tree)) - for_types:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def reached(module: str, root: Path = ROOT) -> set[str]:
    """All modules that importing one can lead to, through our own files."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        waiting += [one.rpartition(".")[0]] * ("." in one)  # importing a module imports its package
        path = file_of(one, root)
        if path is not None:
            waiting += imports(path)
    return seen


def trespasses(module: str, forbidden: set[str], root: Path = ROOT) -> set[str]:
    return {one.split(".")[0] for one in reached(module, root)} & forbidden


def modules_of(name: str) -> list[str]:
    if name != "scenarios":
        return [name]
    return [f"scenarios.{path.stem}" for path in (ROOT / "scenarios").glob("*.py")]


@pytest.mark.parametrize("side", FORBIDDEN)
def test_a_side_reaches_none_of_the_others_libraries(side: str) -> None:
    for module in modules_of(side):
        assert file_of(module), module
        assert not trespasses(module, FORBIDDEN[side]), module


def test_only_configuration_composition_and_settings_import_hydra_or_its_omegaconf() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "harness").rglob("*.py")
        if {one.split(".")[0] for one in imports(path)} & {"hydra", "omegaconf"}
    }
    assert users == {"harness/config.py", "harness/composition.py", "harness/settings.py"}


def test_the_wall_is_found_broken_where_it_is(tmp_path: Path) -> None:
    package = tmp_path / "harness"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "plan.py").write_text("def f():\n    from harness import far\n")
    (package / "far.py").write_text("import torch.nn\n")
    assert trespasses("harness.plan", HEAVY, tmp_path) == {"torch"}
    (package / "plan.py").write_text("if TYPE_CHECKING:\n    from harness import far\n")
    assert not trespasses("harness.plan", HEAVY, tmp_path)
    (package / "plan.py").write_text("if TYPE_CHECKING:\n    pass\nelse:\n    import torch\n")
    assert trespasses("harness.plan", HEAVY, tmp_path) == {"torch"}
