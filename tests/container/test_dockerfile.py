"""Properties of the Dockerfile, checked by reading it."""

from __future__ import annotations

import re
from string import Template

import pytest

from container.image import BASE_ARGUMENTS, TARGETS, stage_of
from tests.conftest import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
VARIED = ("CUBLAS_WORKSPACE_CONFIG", "PYTHONHASHSEED", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.mark.parametrize("variant", BASE_ARGUMENTS)
def test_every_base_is_pinned_by_digest(variant: str) -> None:
    """Every external base image is pinned by its SHA-256 digest."""
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))
    stages = re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE)
    for source in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE):
        base = Template(source).substitute({**defaults, "VARIANT": variant})
        assert base in ("scratch", *stages) or re.search(r"@sha256:[0-9a-f]{64}$", base), base


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_a_stage(target: str) -> None:
    """Every build target maps to a stage of the Dockerfile."""
    assert re.search(rf"^FROM \S+ AS {stage_of(target)}$", DOCKERFILE, re.MULTILINE)


def test_the_default_build_is_the_harness_for_cuda() -> None:
    """A build without a target produces the harness with the CUDA build of torch."""
    assert DOCKERFILE.endswith("\nFROM program\n")
    assert "\nARG VARIANT=cuda\n" in DOCKERFILE


def test_no_varied_environment_variable_is_set() -> None:
    """The image sets none of the variables that determinism settings vary."""
    instructions = "\n".join(line for line in DOCKERFILE.split("\n") if not line.startswith("#"))
    assert not [name for name in VARIED if name in instructions]


def test_no_external_frontend_is_requested() -> None:
    """No syntax directive makes BuildKit download a frontend."""
    assert not re.search(r"^#\s*syntax\s*=", DOCKERFILE, re.MULTILINE)
