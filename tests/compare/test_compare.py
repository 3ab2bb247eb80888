"""`compare` says of each shared cell whether its bits agree, and what may explain a difference."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from harness.analysis.study_data import StudyData, read_study
from harness.compare.__main__ import main
from harness.compare.cells import Answer, SharedCell, compare, find_unlike
from harness.core.exit_codes import BAD_REQUEST, DONE, FINDING
from harness.verify.__main__ import main as verify
from tests.conftest import ROOT, command

PERTURBED = ROOT / "results" / "published" / "20261127-130953-mlp-perturb"


@pytest.fixture
def other(study: Path, tmp_path: Path) -> Path:
    """A copy of the study, as another machine would have made it."""
    shutil.copytree(study, tmp_path / "other")
    return tmp_path / "other"


def change_manifest(folder: Path, part: str, **facts: object) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest[part].update(facts)
    path.write_text(json.dumps(manifest))


def change_digests(folder: Path, component: str, step: int) -> None:
    """Let every run of `mlp` under `full` have another digest from this step on."""
    for path in (folder / "runs").glob("mlp-full*.trace.*.json"):
        record = json.loads(path.read_text())
        for repeat in record["repeats"]:
            digests = repeat["steps"][component].split(" ")
            assert all(digests[:step])
            changed = ["0" * len(digest) for digest in digests[step - 1 :]]
            repeat["steps"][component] = " ".join(digests[: step - 1] + changed)
        path.write_text(json.dumps(record))


def mlp_full(first: StudyData, second: StudyData) -> SharedCell:
    (cell,) = (c for c in compare(first, second) if (c.scenario, c.setting) == ("mlp", "full"))
    return cell


def test_a_study_has_its_own_bits(study: Path, other: Path) -> None:
    """Of equal records, cells that do not vary have the same bits, and the others no result."""
    cells = compare(read_study(study), read_study(other))
    answers = {(cell.scenario, cell.setting): cell.answer for cell in cells}
    assert answers["mlp", "seed"] is answers["mlp", "full"] is Answer.same
    assert answers["mlp", "none"] is Answer.varies
    assert command(str(study), str(other), cwd=study, program=main).returncode == DONE


@pytest.mark.parametrize(
    ("part", "facts", "reason"),
    [
        ("software", {"torch": "2.99"}, "different library (torch: "),
        ("software", {"cpu_capability": "AVX2-only"}, "different hardware (instruction set: "),
        ("software", {"threads": 64}, "different threads (threads: "),
        ("machine", {"cpu": "Z80"}, "different hardware (cpu: "),
        ("machine", {"git": "c0de"}, "different code (harness: "),
        ("sources", {"mlp": "c0de"}, "different code (file of mlp: "),
    ],
)
def test_other_bits_have_reasons(
    study: Path, other: Path, part: str, facts: dict[str, object], reason: str
) -> None:
    """The first place of a difference is named, and each recorded fact that may explain it."""
    change_digests(other, "grads", step=2)
    change_manifest(other, part, **facts)
    cell = mlp_full(read_study(study), read_study(other))
    assert (cell.answer, cell.where) == (Answer.differ, "step 2, grads")
    (text,) = cell.reasons
    assert text.startswith(reason)
    done = command(str(study), str(other), cwd=study, program=main)
    assert done.returncode == FINDING


def test_other_batches_are_other_data(study: Path, other: Path) -> None:
    """Batches that differ while the generators agree point to the data."""
    for component in ("batch", "grads"):
        change_digests(other, component, step=1)
    cell = mlp_full(read_study(study), read_study(other))
    assert cell.where == "step 1, batch"
    assert cell.reasons == (
        "different data (the batches differ, while the states of the generators agree)",
    )


@pytest.mark.parametrize("versions", [(1, 2), (None, 1), (None, None)])
def test_digests_of_different_versions_are_not_compared(
    study: Path, other: Path, tmp_path: Path, versions: tuple[int | None, int | None]
) -> None:
    """Nor those of early studies of different commits, which do not name a version.

    Where the digests agree all the same, so do the bits.
    """
    first = Path(shutil.copytree(study, tmp_path / "first"))
    for folder, version in zip((first, other), versions, strict=True):
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest |= {"digests": version}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    change_manifest(other, "machine", git="c0de")
    assert mlp_full(read_study(first), read_study(other)).answer is Answer.same
    change_digests(other, "grads", step=2)
    cell = mlp_full(read_study(first), read_study(other))
    assert cell.answer is Answer.unknown
    assert cell.where.startswith("digested by ")


def test_a_cell_that_varies_has_no_cost(study: Path, other: Path) -> None:
    """Nor is it called identical after a few runs."""
    cells = compare(read_study(study), read_study(other))
    varying = [cell for cell in cells if cell.answer is Answer.varies]
    assert varying
    assert all(cell.costs == ("–", "–") for cell in varying)
    assert all("identical" not in cell.where for cell in cells)


def test_a_bundle_is_compared_like_its_study(study: Path, other: Path) -> None:
    """A study packed into one file elsewhere verifies and has the same cells."""
    project = other.parent / "project"
    shutil.copytree(study, project / "results" / "mine")
    assert command("bundle", "results/mine", cwd=project).returncode == 0
    bundle = "results/mine.bundle.tar.xz"
    done = command(bundle, cwd=project, program=verify)
    assert done.returncode == DONE, done.stderr
    done = command(bundle, str(other), cwd=project, program=main)
    assert done.returncode == DONE, done.stderr


def test_what_is_no_study_is_named(study: Path, tmp_path: Path) -> None:
    """A file that is no bundle and a folder without a manifest are refused by name."""
    (tmp_path / "file").write_text("no bundle")
    (tmp_path / "folder").mkdir()
    for name in ("file", "folder", "nothing"):
        done = command(str(study), str(tmp_path / name), cwd=study, program=main)
        assert done.returncode == BAD_REQUEST
        assert f"{tmp_path / name} is not a study or bundle" in done.stderr


def change_option(folder: Path, name: str, value: object) -> None:
    """Let the study's cells of `mlp` be another training."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for entry in manifest["cells"]:
        if entry["cell"]["scenario"]["label"] == "mlp":
            entry["cell"]["scenario"]["options"][name] = value
    path.write_text(json.dumps(manifest))


def test_other_trainings_are_not_compared(study: Path, other: Path) -> None:
    """Cells of equal names with other options are refused, and the option is named."""
    change_option(other, "steps", 99)
    (line,) = {
        line
        for line in find_unlike(read_study(study), read_study(other))
        if line.startswith("mlp under full")
    }
    assert line == "mlp under full: other scenario.steps (12 and 99)"
    done = command(str(study), str(other), cwd=study, program=main)
    assert "not compared: mlp under full: other scenario.steps" in done.stdout.replace("\n", " ")
    assert all(cell.scenario != "mlp" for cell in compare(read_study(study), read_study(other)))


def test_distance_and_costs_stand_side_by_side(study: Path, other: Path) -> None:
    """Of a cell with other bits; one with the same bits has no distance."""
    change_digests(other, "grads", step=2)
    first, second = read_study(study), read_study(other)
    cell = mlp_full(first, second)
    assert cell.distance.startswith("equal final losses (")
    assert cell.costs[0] == cell.costs[1]
    assert cell.costs[0].endswith(" ×")
    (same,) = (c for c in compare(first, second) if (c.scenario, c.setting) == ("mlp", "seed"))
    assert same.distance == ""


def test_three_studies_are_compared_pair_by_pair(study: Path, other: Path, tmp_path: Path) -> None:
    """The figure says of each pair how many cells have the same bits."""
    third = Path(shutil.copytree(other, tmp_path / "third"))
    change_digests(third, "grads", step=2)
    words = [f"--figure={tmp_path}", str(study), str(other), str(third)]
    done = command(*words, cwd=study, program=main)
    assert done.returncode == FINDING, done.stdout + done.stderr
    assert done.stdout.count("in common") == 3
    fields = re.findall(r">(\d+) of (\d+)<", (tmp_path / "compare.svg").read_text())
    missing = sorted(int(known) - int(same) for same, known in fields)
    assert missing == [0, 0, 1, 1, 1, 1]  # each pair stands on both sides of the diagonal


@pytest.mark.parametrize("words", [["--plot=x"], ["--figure"], ["--figure", "x"], ["--figure=x"]])
def test_an_unknown_option_is_refused(study: Path, words: list[str]) -> None:
    """With the one that there is; a folder is not made for it."""
    done = command(*words, str(study), str(study), cwd=study, program=main)
    assert done.returncode == BAD_REQUEST
    assert "the only option is --figure=FOLDER" in done.stderr


def test_perturbed_cells_are_compared_with_their_own(study: Path) -> None:
    """Not with another one of the same training and setting."""
    perturbed = read_study(PERTURBED)
    assert {cell.answer for cell in compare(perturbed, perturbed)} == {Answer.same}
    assert compare(perturbed, read_study(study)) == []


def test_a_study_without_a_common_cell_hides_no_other(study: Path, other: Path) -> None:
    """Of three; two without one are refused."""
    done = command(str(study), str(other), str(PERTURBED), cwd=study, program=main)
    assert done.returncode == DONE, done.stdout + done.stderr
    assert done.stdout.count("no cell in common") == 2
    assert done.stdout.count("in common (") == 1
    done = command(str(study), str(PERTURBED), cwd=study, program=main)
    assert done.returncode == BAD_REQUEST
    assert "no cell is in two of these studies" in done.stderr


def test_studies_of_one_name_are_told_apart(study: Path, tmp_path: Path) -> None:
    """As the targets of two studies: by the folders that they are in."""
    paths = [Path(shutil.copytree(study, tmp_path / name / "left")) for name in ("one", "two")]
    done = command(*map(str, paths), cwd=study, program=main)
    assert "one/left (first) and two/left (second)" in done.stdout
