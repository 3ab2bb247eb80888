"""A command that is told can be pasted: a shell reads the same words from it."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.command_line import command

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
def test_a_word_with_what_a_shell_reads_comes_back_equal(word: str) -> None:
    assert shlex.split(command(["-m", word, "device=cpu"])) == [*START, "-m", word, "device=cpu"]


@given(st.lists(st.text()))
def test_any_words_come_back_equal(words: list[str]) -> None:
    assert shlex.split(command(words)) == [*START, *words]


def test_plain_words_are_told_as_they_were_typed() -> None:
    assert command(["-m", "scenario=mlp,cnn"]) == "python -m harness -m scenario=mlp,cnn"


def test_without_words_nothing_trails() -> None:
    assert command([]) == "python -m harness"
