"""One private engine and one image for all tests that run in it."""

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

PARTS = ("harness", "scenarios", "conf", "requirements", "container", "Dockerfile", ".dockerignore")


@dataclass(frozen=True)
class Engine:
    """The environment that leads to the private engine, with a base and wheels in it."""

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
    """`python -m container`, with this environment and no other."""
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
        pytest.skip("needs a Docker engine of its own: `make test-image` starts one")
    folder = tmp_path_factory.mktemp("wheels")
    settings = build_settings(tmp_path_factory.mktemp("conf"))
    with private_engine() as environment:
        make_base(environment)
        make_wheels(environment, folder)
        yield Engine({**environment, **settings})


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    """The built image's id."""
    built = engine.container("image")
    assert built.returncode == 0, built.stdout + built.stderr
    return built.stdout.strip().split()[-1]


@pytest.fixture
def inside(engine: Engine, image: str) -> Callable[[str], str]:
    """What a Python program prints that runs as the harness does."""

    def run(program: str) -> str:
        words = ["--entrypoint", "python", image, "-c", dedent(program)]
        done = engine.docker("run", *FLAGS, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the image is made of, to be changed."""
    for part in PARTS:
        source = ROOT / part
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, tmp_path / part)
    return tmp_path
