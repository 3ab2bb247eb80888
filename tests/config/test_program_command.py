"""A command after `--` reaches the script word by word, whatever it contains."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from harness.config.program_command import split_program
from harness.core.errors import UsageError
from tests.conftest import ALONE, command

PARSER = OverridesParser.create()


def options(*words: str) -> dict[str, object]:
    """The values of the overrides that a command becomes, as Hydra and OmegaConf read them."""
    parsed = PARSER.parse_overrides(split_program(["determinism=seed", "--", *words])[2:])
    config = OmegaConf.create({str(item.key_or_group): item.value() for item in parsed})
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return {str(key).removeprefix("scenario."): value for key, value in values.items()}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["python", "train.py"], {"path": "train.py", "args": []}),
        (["python3.11", "-u", "a b.py"], {"path": "a b.py", "args": []}),
        (["./train.py", "--lr=0.1", "-e"], {"path": "./train.py", "args": ["--lr=0.1", "-e"]}),
        (["/venv/bin/python", "-m", "pkg.train"], {"module": "pkg.train", "args": []}),
        (
            ["torchrun", "--standalone", "--nproc-per-node", "2", "train.py", "--x"],
            {"path": "train.py", "args": ["--x"], "processes": 2},
        ),
        (
            ["torchrun", "--nproc_per_node=3", "-m", "pkg"],
            {"module": "pkg", "args": [], "processes": 3},
        ),
        (
            [
                "python",
                "-m",
                "torch.distributed.run",
                "--nnodes",
                "1",
                "--nproc-per-node=2",
                "a.py",
            ],
            {"path": "a.py", "args": [], "processes": 2},
        ),
        (
            ["LR=0.1", "DATA=a b", "python", "train.py", "X=1"],
            {"path": "train.py", "args": ["X=1"], "environment": {"LR": "0.1", "DATA": "a b"}},
        ),
        (["accelerate", "launch", "train.py"], {"path": "train.py", "args": []}),
        (
            ["accelerate", "launch", "--num_processes", "2", "train.py"],
            {"path": "train.py", "args": [], "processes": 2},
        ),
    ],
)
def test_a_command_becomes_options(words: list[str], expected: dict[str, object]) -> None:
    """The program, its arguments and the number of processes are what was typed."""
    assert options(*words) == expected


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), max_size=3))
def test_every_argument_survives(words: list[str]) -> None:
    """Quotes, backslashes, commas, brackets and `${` reach the script as they were typed."""
    assert options("python", "train.py", *words)["args"] == words


@pytest.mark.parametrize("word", ["", "'", "\\", "\\'", "a\\", "${x}", "\\${x}", "[1,2]", "{a: 1}"])
def test_a_quoted_word_is_itself(word: str) -> None:
    """Each character with a meaning in Hydra's grammar loses it."""
    assert options("python", "train.py", word)["args"] == [word]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs the command of your training"),
        (["python"], "names no program"),
        (["LR=0.1"], "needs the command of your training"),
        (["python", "-m", "torch.distributed.launch", "a.py"], "write `-- torchrun"),
        (["python", "-O", "train.py"], "-O: options of Python itself"),
        (["bash", "train.sh"], "-- bash: a training is started by python, torchrun"),
        (["torchrun", "--nnodes=2", "train.py"], "only the number of processes"),
        (["torchrun", "--nproc-per-node=gpu", "train.py"], "must be a number of at least 1"),
    ],
)
def test_a_command_that_cannot_be_followed_is_refused(words: list[str], message: str) -> None:
    """The message names the word and what is allowed."""
    with pytest.raises(UsageError, match=message):
        split_program(["--", *words])


def test_a_training_runs_as_typed_unless_a_setting_is_named() -> None:
    """Without a setting nothing is seeded; a named setting or matrix is used."""
    program = ["--", "python", "train.py"]
    assert split_program(program)[0] == "determinism=none"
    for named in ("determinism=full", "matrix=quick"):
        assert "determinism=none" not in split_program([named, *program])


@pytest.mark.parametrize(
    ("words", "is_hinted"),
    [
        (["runs.trac=3", "--", "python", "train.py"], False),
        (["scenario=script", "scenario.path=train.py", "scenario.args=[--lr=0.1,a b']"], True),
        (["determinism=seed", "python", "train.py"], True),
    ],
)
def test_the_form_for_scripts_is_suggested_where_it_helps(
    words: list[str], is_hinted: bool, tmp_path: Path
) -> None:
    """An error in an override before `--` is not blamed on the script's arguments."""
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert ("write the script's command after `--`" in done.stderr) is is_hinted


def test_arguments_of_save_without_quotes_are_explained(tmp_path: Path) -> None:
    """`--save --steps 6` is refused with the form that works."""
    done = command("replay", "--save", "--steps", "6", "--", "python", "train.py", cwd=tmp_path)
    assert done.returncode == 2
    assert "6: expected an override" in done.stderr
    assert "in quotes, as in --save '--steps 6'" in done.stderr


def test_a_missing_script_is_named(tmp_path: Path) -> None:
    """The form after `--` meets the same checks as scenario.path."""
    done = command(*ALONE, "determinism=seed", "--", "python", "trian.py", "--lr=0.1", cwd=tmp_path)
    assert done.returncode == 2
    assert "trian.py: no such file" in done.stderr
