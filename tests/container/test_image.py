"""The image built and run on a real engine: `make test-image`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from container.engine import Engine as Client
from container.errors import ContainerError
from container.run import run
from tests.conftest import ROOT
from tests.container.conftest import Engine
from tests.container.private_engine import BASE, CLIENT

AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")

Inside = Callable[[str], str]


def test_it_runs_as_10001(inside: Inside) -> None:
    assert inside("import os; print(os.getuid())") == "10001"


def test_it_has_no_capabilities_and_gets_no_new_privileges(inside: Inside) -> None:
    lines = inside("print(open('/proc/self/status').read())").split("\n")
    status = dict(line.split(":\t") for line in lines if ":\t" in line)
    assert [int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")] == [0, 0, 0]
    assert status["NoNewPrivs"].strip() == "1"


def test_it_has_no_network(inside: Inside) -> None:
    assert inside("import os; print(os.listdir('/sys/class/net'))") == "['lo']"


def test_only_results_and_tmp_can_be_written(inside: Inside) -> None:
    program = """
        import os
        for folder in ("/", "/bench", "/bench/harness", "/bench/.venv", "/etc", "/tmp"):
            try:
                open(os.path.join(folder, "x"), "w")
                print(folder)
            except OSError:
                pass
    """
    assert inside(program) == "/tmp"  # noqa: S108 - the image's


def test_compiled_kernels_can_be_loaded_from_tmp(inside: Inside) -> None:
    program = """
        import os, subprocess
        os.makedirs("/tmp/x")
        with open("/tmp/x/run", "w") as file:
            file.write("#!/bin/sh\\necho ran")
        os.chmod("/tmp/x/run", 0o755)
        subprocess.run(["/tmp/x/run"])
    """
    assert inside(program) == "ran"


def test_it_tells_its_base_locks_and_commit(engine: Engine, image: str, inside: Inside) -> None:
    told = json.loads(inside("print(open('/bench/image.json').read())"))
    labels = json.loads(
        engine.docker("image", "inspect", "--format", "{{json .Config.Labels}}", image).stdout
    )
    assert told["base"] == BASE
    assert labels["org.opencontainers.image.base.digest"] == told["base_digest"]
    assert labels["determinism-harness.locks"] == told["locks"]
    assert labels["org.opencontainers.image.revision"] == told["git"]


def test_no_build_secret_is_left_in_it(inside: Inside) -> None:
    """BuildKit may leave empty places where secrets were mounted."""
    program = """
        import os
        for path in ("/etc/pip.conf", "/run/ca.pem"):
            if os.path.exists(path):
                print(open(path).read(), end="")
    """
    assert inside(program) == ""


def test_a_study_names_the_image_and_its_results_are_the_callers(
    engine: Engine, image: str
) -> None:
    done = engine.container("bench", "matrix=smoke", CONTAINER="docker")
    assert done.returncode in (0, 1), done.stdout + done.stderr  # a twin may fail at two blocks
    study = ROOT / done.stdout.strip().split("\n")[-1].removeprefix("study: ")
    digest = json.loads((study / "manifest.json").read_text())["image"]["base_digest"]
    assert f"| container | {image}, on {BASE}@{digest} |" in (study / "report.md").read_text()
    assert {path.stat().st_uid for path in (study.parent, *study.rglob("*"))} == {os.getuid()}


def test_a_change_to_a_source_builds_from_the_kept_packages(
    engine: Engine, image: str, checkout: Path
) -> None:
    with (checkout / "harness" / "words.py").open("a") as file:
        file.write("# a change\n")
    again = engine.container("image", root=checkout)
    assert again.returncode == 0, again.stderr
    history = [
        engine.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", one).stdout
        for one in (image, again.stdout.strip().split()[-1])
    ]
    layers, changed = map(json.loads, history)
    shared = sum(one == other for one, other in zip(layers, changed, strict=False))
    assert layers != changed
    assert shared >= 4  # base, user, folder, packages


def test_a_tampered_hash_stops_the_build(engine: Engine, image: str, checkout: Path) -> None:
    lock = checkout / "requirements" / "torch-cpu.txt"
    text = lock.read_text()
    digit = text.rstrip()[-1]
    lock.write_text(text.rstrip()[:-1] + ("0" if digit != "0" else "1") + "\n")
    done = engine.container("image", root=checkout)
    assert done.returncode == 2
    assert "not the one that was locked" in done.stderr


@pytest.mark.parametrize("place", ["auto", "docker"])
def test_a_base_that_cannot_be_pulled(engine: Engine, place: str) -> None:
    done = engine.container(
        "bench", "--version", CONTAINER=place, BASE_IMAGE="localhost:9/none:1@sha256:" + "0" * 64
    )
    said = done.stdout + done.stderr
    assert "the base image localhost:9/none:1 cannot be pulled" in said
    assert done.returncode == (0 if place == "auto" else 2)
    assert ("running natively" in said) == (place == "auto")


def test_a_gpu_without_the_toolkit_is_told_before_any_study(
    engine: Engine, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.environment["DOCKER_HOST"])
    before = set((ROOT / "results").iterdir())
    with pytest.raises(ContainerError, match="install the NVIDIA Container Toolkit"):
        run(Client(CLIENT), image, gpu=True, words=["matrix=smoke"])
    assert set((ROOT / "results").iterdir()) == before


def test_an_engine_that_refuses_is_told(engine: Engine) -> None:
    """As a user who may not talk to the engine's socket, by Debian's own Python."""
    Path(engine.environment["DOCKER_HOST"].removeprefix("unix://")).parent.chmod(0o755)
    done = subprocess.run(
        [*AS_NOBODY, "/usr/bin/python3", "-m", "container", "image"],
        cwd=ROOT,
        env=engine.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "container: the Docker engine refuses this user; join the group docker, "
        "or use rootless Docker\n"
    )


def test_results_of_somebody_else_are_told(image: str, checkout: Path) -> None:
    program = "from container.run import check_results; check_results()"
    (checkout / "results").mkdir()
    for folder in (checkout, *checkout.parents[:3]):
        folder.chmod(0o755)
    done = subprocess.run(
        [*AS_NOBODY, "/usr/bin/python3", "-c", program],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "results/ belongs to user 0, and you are user 65534; take it back with" in done.stderr
