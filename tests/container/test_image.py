"""The image, built and run on a real Docker engine by `make test-image`."""

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


def test_the_harness_runs_as_an_unprivileged_user(inside: Inside) -> None:
    """The image runs programs as user 10001, not as root."""
    assert inside("import os; print(os.getuid())") == "10001"


def test_the_container_has_no_capabilities_and_gains_no_privileges(inside: Inside) -> None:
    """All capability sets are empty and `no_new_privs` is set."""
    lines = inside("print(open('/proc/self/status').read())").split("\n")
    status = dict(line.split(":\t") for line in lines if ":\t" in line)
    assert [int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")] == [0, 0, 0]
    assert status["NoNewPrivs"].strip() == "1"


def test_the_container_has_no_network(inside: Inside) -> None:
    """The loopback device is the only network interface."""
    assert inside("import os; print(os.listdir('/sys/class/net'))") == "['lo']"


def test_only_tmp_is_writable(inside: Inside) -> None:
    """Of the folders in the image, only /tmp is writable; results/ is mounted by `run`."""
    program = """
        import os
        for folder in ("/", "/bench", "/bench/harness", "/bench/.venv", "/etc", "/tmp"):
            try:
                open(os.path.join(folder, "x"), "w")
                print(folder)
            except OSError:
                pass
    """
    assert inside(program) == "/tmp"  # noqa: S108 - inside the image


def test_compiled_kernels_can_be_loaded_from_tmp(inside: Inside) -> None:
    """A file in /tmp can be executed, which compiled kernels require."""
    program = """
        import os, subprocess
        os.makedirs("/tmp/x")
        with open("/tmp/x/run", "w") as file:
            file.write("#!/bin/sh\\necho ran")
        os.chmod("/tmp/x/run", 0o755)
        subprocess.run(["/tmp/x/run"])
    """
    assert inside(program) == "ran"


def test_the_image_records_its_base_locks_and_commit(
    engine: Engine, image: str, inside: Inside
) -> None:
    """The labels and the file image.json contain the same base, lock digest and commit."""
    recorded = json.loads(inside("print(open('/bench/image.json').read())"))
    labels = json.loads(
        engine.docker("image", "inspect", "--format", "{{json .Config.Labels}}", image).stdout
    )
    assert recorded["base"] == BASE
    assert labels["org.opencontainers.image.base.digest"] == recorded["base_digest"]
    assert labels["determinism-harness.locks"] == recorded["locks"]
    assert labels["org.opencontainers.image.revision"] == recorded["git"]


def test_the_image_contains_no_build_secret(inside: Inside) -> None:
    """The files where BuildKit mounts secrets are absent or empty in the image."""
    program = """
        import os
        for path in ("/etc/pip.conf", "/run/ca.pem"):
            if os.path.exists(path):
                print(open(path).read(), end="")
    """
    assert inside(program) == ""


def test_a_study_records_the_image_and_the_caller_owns_its_results(
    engine: Engine, image: str
) -> None:
    """A study's report names the image, and the caller owns every file of the study."""
    done = engine.container("bench", "matrix=smoke", CONTAINER="docker")
    assert done.returncode in (0, 1), (
        done.stdout + done.stderr
    )  # a twin check may fail with two blocks
    study = ROOT / done.stdout.strip().split("\n")[-1].removeprefix("study: ")
    digest = json.loads((study / "manifest.json").read_text())["image"]["base_digest"]
    assert f"| container | {image}, on {BASE}@{digest} |" in (study / "report.md").read_text()
    assert {path.stat().st_uid for path in (study.parent, *study.rglob("*"))} == {os.getuid()}


def test_a_source_change_reuses_the_package_layers(
    engine: Engine, image: str, checkout: Path
) -> None:
    """After a change to a source file, the build reuses the layers with the packages."""
    with (checkout / "harness" / "cli.py").open("a") as file:
        file.write("# a change\n")
    rebuilt = engine.container("image", root=checkout)
    assert rebuilt.returncode == 0, rebuilt.stderr
    history = [
        engine.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image_id).stdout
        for image_id in (image, rebuilt.stdout.strip().split()[-1])
    ]
    layers, changed = map(json.loads, history)
    shared = sum(before == after for before, after in zip(layers, changed, strict=False))
    assert layers != changed
    assert shared >= 4  # base, user, folder, packages


def test_a_wrong_hash_stops_the_build(engine: Engine, image: str, checkout: Path) -> None:
    """The build fails if a package does not match its locked hash."""
    lock = checkout / "requirements" / "torch-cpu.txt"
    text = lock.read_text()
    digit = text.rstrip()[-1]
    lock.write_text(text.rstrip()[:-1] + ("0" if digit != "0" else "1") + "\n")
    done = engine.container("image", root=checkout)
    assert done.returncode == 2
    assert "does not match its locked hash" in done.stderr


@pytest.mark.parametrize("place", ["auto", "docker"])
def test_an_unavailable_base_falls_back_to_running_natively(engine: Engine, place: str) -> None:
    """If the base cannot be pulled, `auto` runs natively and `docker` fails."""
    done = engine.container(
        "bench", "--version", CONTAINER=place, BASE_IMAGE="localhost:9/none:1@sha256:" + "0" * 64
    )
    output = done.stdout + done.stderr
    assert "the base image localhost:9/none:1 cannot be pulled" in output
    assert done.returncode == (0 if place == "auto" else 2)
    assert ("running natively" in output) == (place == "auto")


def test_a_missing_gpu_toolkit_is_reported_before_a_study_starts(
    engine: Engine, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the NVIDIA Container Toolkit, the run fails and creates no study."""
    monkeypatch.setenv("DOCKER_HOST", engine.environment["DOCKER_HOST"])
    before = set((ROOT / "results").iterdir())
    with pytest.raises(ContainerError, match="install the NVIDIA Container Toolkit"):
        run(Client(CLIENT), image, gpu=True, words=["matrix=smoke"])
    assert set((ROOT / "results").iterdir()) == before


def test_denied_access_to_the_engine_is_reported(engine: Engine) -> None:
    """A user without access to the engine's socket is advised to join the docker group."""
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
        "container: the Docker engine denies access to this user; "
        "add the user to the docker group, or use rootless Docker\n"
    )


def test_results_owned_by_another_user_are_reported(image: str, checkout: Path) -> None:
    """If another user owns results/, the run fails with the command that changes the owner."""
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
    assert "results/ belongs to user 0, but you are user 65534; run `sudo chown" in done.stderr
