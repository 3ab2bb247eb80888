"""Commands in messages can be pasted: a shell splits them into the original words."""

from __future__ import annotations

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from harness.core.command_line import command, override

START = ["python", "-m", "harness"]


@pytest.mark.parametrize(
    "word",
    [
        "scenario.data=/my data/set",
        "claims_of=[pytorch_note,two_models]",
        "+scenario.name='it'",
        'scenario.name="it"',
        "scenario.data=$HOME/`id`",
        "scenario.name=a\\b;c&d|e>f*g?h!i#j~k",
        "scenario.name={a: 1}",
        "scenario.name=two\nlines",
        "",
    ],
)
def test_special_characters_survive_a_shell(word: str) -> None:
    """A shell reads a word with special characters back unchanged."""
    assert shlex.split(command(["-m", word, "device=cpu"])) == [*START, "-m", word, "device=cpu"]


@given(st.lists(st.text()))
def test_any_words_survive_a_shell(words: list[str]) -> None:
    """Any list of words is the same after a shell has split the command."""
    assert shlex.split(command(words)) == [*START, *words]


def test_ordinary_words_are_not_quoted() -> None:
    """Words without special characters appear as they were typed."""
    assert command(["-m", "scenario=mlp,cnn"]) == "python -m harness -m scenario=mlp,cnn"


def test_no_words_leave_no_trailing_space() -> None:
    """A command without words ends after the name of the program."""
    assert command([]) == "python -m harness"


def test_advice_names_the_script_that_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's harness.py would hide `python -m harness`, so an installed script names itself."""
    monkeypatch.setattr("sys.argv", ["/venv/bin/determinism-harness", "resume"])
    assert command(["resume", "results/x"]) == "determinism-harness resume results/x"
    monkeypatch.setattr("sys.argv", ["/src/harness/__main__.py"])
    assert command(["resume", "results/x"]) == "python -m harness resume results/x"


@pytest.mark.parametrize(
    "text", ["results/x-1", "a b (1)", "it's", "x=1,y", "[a]{b}", "a&b|c", "5%"]
)
def test_hydra_reads_any_text_back(text: str) -> None:
    """An option that is given a text has this text, whatever Hydra's grammar makes of parts."""
    parsed = OverridesParser.create().parse_override(override("study.dir", text))
    assert parsed.value() == text
