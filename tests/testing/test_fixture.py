"""The fixture `same_across_runs` compares values with a golden file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.testing.fixture import GoldenFixture, GoldenOptions
from harness.testing.golden import BadGoldenError, Golden


def golden_fixture(folder: Path, **changes: Any) -> GoldenFixture:
    options = {
        "test": "test_a",
        "node": "test_x.py::test_a",
        "updates": False,
        "in_ci": False,
        "limit_mb": 1.0,
        **changes,
    }
    return GoldenFixture(Golden(folder / "test_x.py"), GoldenOptions(**options))  # type: ignore[arg-type]


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., None]:
    def record(value: Any, **changes: Any) -> None:
        same = golden_fixture(tmp_path, **changes)
        same("value", value)
        assert same.finish() == ["value"]

    return record


def test_a_changed_environment_is_reported(tmp_path: Path, recorded: Callable[..., None]) -> None:
    """A difference is reported with the changes in the environment since the recording."""
    recorded(torch.tensor([1.0, 2.0]))
    path = tmp_path / "__reproducible__" / "test_x.json"
    document = json.loads(path.read_text())
    environment = document["values"]["test_a"]["value"]["environment"]
    environment |= {"torch": "2.0.0", "device": "cuda (Tesla T4)"}
    path.write_text(json.dumps(document))
    golden_fixture(tmp_path)(
        "value", torch.tensor([1.0, 2.0])
    )  # equal bits pass in any environment
    with pytest.raises(AssertionError) as raised:
        golden_fixture(tmp_path)("value", torch.tensor([1.0, 3.0]))
    assert "value[1] is 2.0 in the golden file and 3.0 in this run" in str(raised.value)
    assert (
        "Recorded in a different environment, where bits may differ: torch was 2.0.0, "
        f"is now {torch.__version__}; device was cuda (Tesla T4), is now cpu"
    ) in str(raised.value)


def test_a_missing_value_fails_in_ci(tmp_path: Path) -> None:
    """In CI, a missing golden value fails unless --update-golden records it."""
    with pytest.raises(AssertionError, match=r"no golden value 'value' for test_a in .*commit the"):
        golden_fixture(tmp_path, in_ci=True)("value", 1)
    assert not (tmp_path / "__reproducible__").exists()
    same = golden_fixture(tmp_path, in_ci=True, updates=True)
    same("value", 1)
    same.finish()
    golden_fixture(tmp_path, in_ci=True)("value", 1)


@pytest.mark.parametrize("text", ["", '{"format": 1, "val', "[]", '{"format": 1, "values": [1]}'])
@pytest.mark.parametrize("updates", [False, True])
def test_a_corrupt_golden_file_is_rejected_and_left_unchanged(
    tmp_path: Path, recorded: Callable[..., None], text: str, updates: bool
) -> None:
    """A damaged golden file raises BadGoldenError and is not overwritten."""
    recorded(1)
    path = tmp_path / "__reproducible__" / "test_x.json"
    path.write_text(text)
    with pytest.raises(
        BadGoldenError, match=r"is not a valid golden file .*restore it from version"
    ):
        golden_fixture(tmp_path, updates=updates)("value", 2)
    assert path.read_text() == text


def test_a_golden_file_of_another_format_is_rejected(
    tmp_path: Path, recorded: Callable[..., None]
) -> None:
    """A golden file of another format raises BadGoldenError with both format numbers."""
    recorded(1)
    path = tmp_path / "__reproducible__" / "test_x.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(
        BadGoldenError, match="has format 2, but this version of the harness reads format 1"
    ):
        golden_fixture(tmp_path)("value", 1)


@pytest.mark.parametrize(
    ("limit_mb", "reason"),
    [(0.0, "the value exceeds golden_limit_mb"), (1.0, "is missing"), (2.0, "cannot be read")],
)
def test_without_stored_elements_a_difference_names_only_the_tensor(
    tmp_path: Path, recorded: Callable[..., None], limit_mb: float, reason: str
) -> None:
    """If a tensor's elements were not stored, the message names the tensor and the reason."""
    recorded({"w": torch.zeros(2)}, limit_mb=limit_mb)
    for path in (tmp_path / "__reproducible__" / "test_x").glob("*"):
        path.write_text("damaged") if limit_mb == 2.0 else path.unlink()
    with pytest.raises(AssertionError) as raised:
        golden_fixture(tmp_path)("value", {"w": torch.ones(2)})
    assert "value.w is torch.float32 of shape (2,) with digest " in str(raised.value)
    assert "Cannot locate the differing elements: " in str(raised.value)
    assert reason in str(raised.value)


def test_a_name_can_be_used_only_once_in_a_test(tmp_path: Path) -> None:
    """A second value under the same name raises ValueError."""
    same = golden_fixture(tmp_path)
    same("value", 1)
    with pytest.raises(ValueError, match="the name 'value' is already used in this test"):
        same("value", 1)
