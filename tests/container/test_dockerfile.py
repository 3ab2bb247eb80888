"""What the Dockerfile promises, read from it."""

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
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))
    stages = re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE)
    for source in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE):
        base = Template(source).substitute({**defaults, "VARIANT": variant})
        assert base in ("scratch", *stages) or re.search(r"@sha256:[0-9a-f]{64}$", base), base


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_a_stage(target: str) -> None:
    assert re.search(rf"^FROM \S+ AS {stage_of(target)}$", DOCKERFILE, re.MULTILINE)


def test_a_build_without_a_target_is_the_harness_for_cuda() -> None:
    assert DOCKERFILE.endswith("\nFROM program\n")
    assert "\nARG VARIANT=cuda\n" in DOCKERFILE


def test_it_sets_nothing_that_the_matrix_varies() -> None:
    instructions = "\n".join(line for line in DOCKERFILE.split("\n") if not line.startswith("#"))
    assert not [name for name in VARIED if name in instructions]


def test_it_fetches_no_frontend() -> None:
    assert not re.search(r"^#\s*syntax\s*=", DOCKERFILE, re.MULTILINE)
