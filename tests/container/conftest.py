"""One private Docker engine and one image, shared by all tests that need them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from container.run import FLAGS
from tests.conftest import ROOT
from tests.container.private_engine import build_settings, make_base, make_wheels, private_engine

SOURCES = (
    "harness",
    "scenarios",
    "conf",
    "requirements",
    "container",
    "Dockerfile",
    ".dockerignore",
)


@dataclass(frozen=True)
class Engine:
    """A private engine that holds a base image and wheels, and the variables that select it."""

    environment: dict[str, str]

    def docker(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/usr/bin/docker", *words],
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
        )

    def container(
        self, *words: str, root: Path = ROOT, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return container(*words, root=root, **{**self.environment, **environment})


def container(
    *words: str, root: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `python -m container` with exactly this environment."""
    return subprocess.run(
        [sys.executable, "-m", "container", *words],
        cwd=root,
        text=True,
        capture_output=True,
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="session")
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    if not request.config.getoption("--image"):
        pytest.skip("needs a private Docker engine, which `make test-image` starts")
    folder = tmp_path_factory.mktemp("wheels")
    settings = build_settings(tmp_path_factory.mktemp("conf"))
    with private_engine() as environment:
        make_base(environment)
        make_wheels(environment, folder)
        yield Engine({**environment, **settings})


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    """Build the image and return its ID."""
    built = engine.container("image")
    assert built.returncode == 0, built.stdout + built.stderr
    return built.stdout.strip().split()[-1]


@pytest.fixture
def inside(engine: Engine, image: str) -> Callable[[str], str]:
    """Run a Python program in the container as the harness runs, and return its output."""

    def run(program: str) -> str:
        words = ["--entrypoint", "python", image, "-c", dedent(program)]
        done = engine.docker("run", *FLAGS, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the image's sources that a test may modify."""
    for name in SOURCES:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, tmp_path / name)
    return tmp_path
