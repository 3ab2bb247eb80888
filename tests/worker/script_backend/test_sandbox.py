"""The sandbox of a script: what is copied or linked, and which writes are reported."""

from __future__ import annotations

import os
import tempfile
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


def make_scenario(*data: str, limit: float = 200) -> Scenario:
    options = {"path": "train.py", "data": list(data), "copy_limit_mb": limit}
    return Scenario("script", "script", options, framework="script")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a script, data, secrets, a virtual environment and a study."""
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


def test_secrets_caches_environments_and_studies_are_not_copied(project: Path) -> None:
    """Only program and data files are copied, and the copy is deleted at the end."""
    with create_sandbox(make_scenario(), Path.cwd(), digest_file) as sandbox:
        copied = sorted(
            str(path.relative_to(sandbox.folder))
            for path in sandbox.folder.rglob("*")
            if path.is_file()
        )
        assert Path.cwd() == sandbox.folder
    assert copied == ["package/model.py", "set/images.bin", "train.py"]
    assert Path.cwd() == project
    assert not sandbox.folder.exists()


def test_relative_writes_stay_in_the_copy(project: Path) -> None:
    """Writes to relative paths leave the original unchanged, and the files written are digested."""
    with create_sandbox(make_scenario(), Path.cwd(), digest_file) as sandbox:
        Path("train.py").write_text("changed")
        Path("package/new.txt").write_text("new")
        Path("set/images.bin").unlink()
    assert (project / "train.py").read_text() == "train.py"
    assert (project / "set/images.bin").exists()
    assert sorted(sandbox.files) == ["package/new.txt", "train.py"]
    assert sandbox.touched == []


def test_absolute_writes_are_reported(project: Path) -> None:
    """Files that are written to absolute paths in the original folder are listed by name."""
    with create_sandbox(make_scenario(), Path.cwd(), digest_file) as sandbox:
        (project / "package" / "model.py").write_text("overwritten")
        (project / "left.txt").write_text("behind")
    assert sandbox.touched == ["left.txt", "package/model.py"]


def test_data_is_linked_and_writes_to_it_are_reported(project: Path) -> None:
    """Data is linked instead of copied, and files written through the link are listed."""
    with create_sandbox(make_scenario("set"), Path.cwd(), digest_file) as sandbox:
        assert Path("set").is_symlink()
        Path("set/images.bin").write_text("other images")
    assert sandbox.touched == ["set/images.bin"]
    assert sandbox.files == {}


@pytest.mark.parametrize(("target", "inside"), [("train.py", True), ("../outside.txt", False)])
def test_links_keep_targets_outside_the_project(target: str, inside: bool, project: Path) -> None:
    """A link to a file of the project leads into the copy, and any other keeps its target."""
    (project.parent / "outside.txt").write_text("outside")
    (project / "link").symlink_to(target)
    with create_sandbox(make_scenario(), Path.cwd(), digest_file) as sandbox:
        resolved = Path("link").resolve()
        assert resolved.read_text() == (project / target).read_text()
        assert resolved.is_relative_to(sandbox.folder) is inside


def test_what_is_beside_the_project_is_found(project: Path) -> None:
    """A script reads ../data and ../../data as in plain Python; what it makes there is its own."""
    for folder in (project.parent / "data", project.parent.parent / "more"):
        folder.mkdir(exist_ok=True)
        (folder / "images.txt").write_text("images")
    with create_sandbox(make_scenario(), Path.cwd(), digest_file) as sandbox:
        assert Path("../data/images.txt").read_text() == "images"
        assert Path("../../more/images.txt").read_text() == "images"
        Path("../log.txt").write_text("mine")
        assert (Path.cwd().name, Path.cwd().parent.name) == (project.name, project.parent.name)
    assert not (project.parent / "log.txt").exists()
    assert (project.parent / "data" / "images.txt").exists()
    assert not sandbox.folder.parent.parent.exists()


def test_a_folder_above_the_limit_is_refused(project: Path) -> None:
    """The error lists the largest entries, and linked data does not count towards the limit."""
    (project / "set" / "images.bin").write_bytes(bytes(3_000_000))
    with pytest.raises(UsageError, match=r"holds 3 MB: more than .*copy_limit_mb=2\. .*: set 3 MB"):
        check_size(make_scenario(limit=2))
    check_size(make_scenario("set", limit=2))


def test_missing_data_is_refused(project: Path) -> None:
    """Data that does not exist raises UsageError with its name."""
    with pytest.raises(UsageError, match=r"scenario\.data: nowhere does not exist"):
        check_size(make_scenario("nowhere"))


def test_the_copy_of_a_killed_run_is_removed(project: Path, tmp_path: Path) -> None:
    """A new sandbox removes the copy of an ended process and keeps that of a running one."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    with create_sandbox(make_scenario(), Path.cwd(), digest_file) as sandbox:
        orphan = Path(tempfile.gettempdir()) / f"harness-script-{child}-abc"
        orphan.mkdir()
        with create_sandbox(make_scenario(), Path.cwd(), digest_file):
            assert not orphan.exists()
        assert sandbox.folder.exists()


def test_the_copy_is_redacted_in_messages(project: Path) -> None:
    """A path in the copy appears in a message as a path relative to the project."""
    with create_sandbox(make_scenario(), Path.cwd(), digest_file) as sandbox:
        message = f'File "{sandbox.folder}/package/model.py", line 3'
    assert redact(message) == 'File "./package/model.py", line 3'


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
def test_checkpoints_are_compared_by_their_tensors(
    suffix: str, save: Callable[[Path, torch.Tensor], None], tmp_path: Path
) -> None:
    """Checkpoints of equal tensors have equal digests, and one ulp makes another digest."""
    tensor = torch.arange(4.0)
    first, second, changed = (
        tmp_path / f"{name}{suffix}" for name in ("a", "some_other_name", "c")
    )
    save(first, tensor)
    save(second, tensor.clone())
    tensor[3] = torch.nextafter(tensor[3], torch.tensor(9.0))
    save(changed, tensor)
    assert digest_file(first, tmp_path) == digest_file(second, tmp_path)
    assert digest_file(first, tmp_path) != digest_file(changed, tmp_path)
    if suffix == ".pt":  # the archive contains its file name
        assert first.read_bytes() != second.read_bytes()


def test_an_invalid_checkpoint_is_compared_by_its_bytes(tmp_path: Path) -> None:
    """Files that cannot be loaded have equal digests exactly if their bytes are equal."""
    for name, text in (("a.pt", "x"), ("b.pt", "x"), ("c.pt", "y")):
        (tmp_path / name).write_text(text)
    a, b, c = (digest_file(tmp_path / name, tmp_path) for name in ("a.pt", "b.pt", "c.pt"))
    assert a == b != c


@pytest.mark.parametrize("name", ["last.ckpt", "last.pth.tar", "hparams.yaml"])
def test_the_path_of_the_copy_in_a_file_is_ignored(name: str, project: Path) -> None:
    """Files of two runs that differ only in the path of the copy have equal digests."""
    digests = []
    for value in (1, 1, 2):
        with create_sandbox(make_scenario(), Path.cwd(), digest_file) as sandbox:
            path = str(Path("checkpoints").absolute())
            if name.endswith("yaml"):
                Path(name).write_text(f"folder: {path}, best: {value}")
            else:
                torch.save({path: torch.tensor(value), "folder": path}, name)
        digests.append(sandbox.files[name])
    assert digests[0] == digests[1] != digests[2]


def test_empty_folders_are_copied(project: Path) -> None:
    """A script may write into a folder that is empty."""
    (project / "out" / "deep").mkdir(parents=True)
    with create_sandbox(make_scenario(), Path.cwd(), digest_file) as sandbox:
        Path("out/deep/model.txt").write_text("weights")
    assert list(sandbox.files) == ["out/deep/model.txt"]


@pytest.mark.parametrize("name", ["train.bin", "model.pt", "a.npy", "b.npz", "c.safetensors"])
def test_a_file_of_any_content_is_compared_by_its_bytes(name: str, tmp_path: Path) -> None:
    """A file whose name promises a checkpoint may hold anything, such as random tokens."""
    for seed in range(200):
        path = tmp_path / name
        path.write_bytes(np.random.default_rng(seed).integers(0, 256, 400, np.uint8).tobytes())
        assert len(digest_file(path, tmp_path)) == 32
