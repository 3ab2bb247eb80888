"""A script's private folder: what is copied, linked, left out, and what is told afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness.core.errors import UsageError
from harness.core.redact import redact
from harness.core.spec import Scenario
from harness.worker.script_backend.files import digest_file
from harness.worker.script_backend.sandbox import check_size, create_sandbox


def scenario(*data: str, limit: float = 200) -> Scenario:
    options = {"path": "train.py", "data": list(data), "copy_limit_mb": limit}
    return Scenario("script", "script", options, framework="script")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a script, data, secrets, a virtual environment and a study."""
    for name in (
        ".git/HEAD",
        ".env",
        ".env.local",
        "tools/pyvenv.cfg",
        "tools/bin/python",
        "__pycache__/a.pyc",
        "results/one/manifest.json",
        "results/one/runs/a.json",
        "train.py",
        "set/images.bin",
        "package/model.py",
    ):
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def test_secrets_caches_environments_and_studies_are_left_out(here: Path) -> None:
    with create_sandbox(scenario(), digest_file) as place:
        copied = sorted(
            str(path.relative_to(place.folder))
            for path in place.folder.rglob("*")
            if path.is_file()
        )
        assert Path.cwd() == place.folder
    assert copied == ["package/model.py", "set/images.bin", "train.py"]
    assert Path.cwd() == here
    assert not place.folder.exists()


def test_relative_writes_never_reach_the_original_and_are_digested(here: Path) -> None:
    with create_sandbox(scenario(), digest_file) as place:
        Path("train.py").write_text("changed")
        Path("package/new.txt").write_text("new")
        Path("set/images.bin").unlink()
    assert (here / "train.py").read_text() == "train.py"
    assert (here / "set/images.bin").exists()
    assert sorted(place.files) == ["package/new.txt", "train.py"]
    assert place.touched == []


def test_absolute_writes_are_told_by_name(here: Path) -> None:
    with create_sandbox(scenario(), digest_file) as place:
        (here / "package" / "model.py").write_text("overwritten")
        (here / "left.txt").write_text("behind")
    assert place.touched == ["left.txt", "package/model.py"]


def test_data_are_linked_and_writes_through_the_link_are_told(here: Path) -> None:
    with create_sandbox(scenario("set"), digest_file) as place:
        assert Path("set").is_symlink()
        Path("set/images.bin").write_text("other images")
    assert place.touched == ["set/images.bin"]
    assert place.files == {}


@pytest.mark.parametrize(("target", "inside"), [("train.py", True), ("../outside.txt", False)])
def test_a_link_leads_into_the_copy_or_to_where_it_led(
    target: str, inside: bool, here: Path
) -> None:
    (here.parent / "outside.txt").write_text("outside")
    (here / "link").symlink_to(target)
    with create_sandbox(scenario(), digest_file) as place:
        led = Path("link").resolve()
        assert led.read_text() == (here / target).read_text()
        assert led.is_relative_to(place.folder) is inside


def test_a_folder_that_is_too_large_names_its_largest_entries(here: Path) -> None:
    (here / "set" / "images.bin").write_bytes(bytes(3_000_000))
    with pytest.raises(UsageError, match=r"holds 3 MB: more than .*copy_limit_mb=2\. .*: set 3 MB"):
        check_size(scenario(limit=2))
    check_size(scenario("set", limit=2))


def test_data_that_are_not_there_are_refused(here: Path) -> None:
    with pytest.raises(UsageError, match=r"scenario\.data: nowhere does not exist"):
        check_size(scenario("nowhere"))


def test_a_copy_that_a_killed_run_left_is_removed(here: Path, tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    with create_sandbox(scenario(), digest_file) as place:
        orphan = place.folder.parent / f"harness-script-{child}-abc"
        orphan.mkdir()
        with create_sandbox(scenario(), digest_file):
            assert not orphan.exists()
        assert place.folder.exists()


def test_a_message_tells_of_the_copy_as_of_the_folder_it_stands_for(here: Path) -> None:
    with create_sandbox(scenario(), digest_file) as place:
        told = f'File "{place.folder}/package/model.py", line 3'
    assert redact(told) == 'File "./package/model.py", line 3'


def save_pt(path: Path, tensor: torch.Tensor) -> None:
    torch.save({"step": 3, "net": {"weight": tensor}}, path)


def save_npz(path: Path, tensor: torch.Tensor) -> None:
    with path.open("wb") as file:
        np.savez(file, weight=tensor.numpy())


@pytest.mark.parametrize(
    ("suffix", "save"),
    [
        (".pt", save_pt),
        (".npz", save_npz),
        (".safetensors", lambda path, tensor: save_file({"weight": tensor}, path)),
    ],
)
def test_checkpoints_of_equal_tensors_are_equal_and_of_one_bit_more_are_not(
    suffix: str, save: Callable[[Path, torch.Tensor], None], tmp_path: Path
) -> None:
    tensor = torch.arange(4.0)
    one, other, third = (tmp_path / f"{name}{suffix}" for name in ("a", "some_other_name", "c"))
    save(one, tensor)
    save(other, tensor.clone())
    tensor[3] = torch.nextafter(tensor[3], torch.tensor(9.0))
    save(third, tensor)
    assert digest_file(one, tmp_path) == digest_file(other, tmp_path)
    assert digest_file(one, tmp_path) != digest_file(third, tmp_path)
    if suffix == ".pt":  # its archive holds its own name
        assert one.read_bytes() != other.read_bytes()


def test_what_is_no_checkpoint_is_compared_byte_by_byte(tmp_path: Path) -> None:
    for name, text in (("a.pt", "x"), ("b.pt", "x"), ("c.pt", "y")):
        (tmp_path / name).write_text(text)
    a, b, c = (digest_file(tmp_path / name, tmp_path) for name in ("a.pt", "b.pt", "c.pt"))
    assert a == b != c


@pytest.mark.parametrize("name", ["last.ckpt", "last.pth.tar", "hparams.yaml"])
def test_the_copys_own_path_in_a_file_is_no_difference(name: str, here: Path) -> None:
    found = []
    for value in (1, 1, 2):
        with create_sandbox(scenario(), digest_file) as place:
            path = str(Path("checkpoints").absolute())
            if name.endswith("yaml"):
                Path(name).write_text(f"folder: {path}, best: {value}")
            else:
                torch.save({path: torch.tensor(value), "folder": path}, name)
        found.append(place.files[name])
    assert found[0] == found[1] != found[2]
