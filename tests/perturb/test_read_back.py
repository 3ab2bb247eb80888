"""A level is left out only if neither what is read back nor the result is other than usual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.core.record import Outcome, RunRecord
from harness.perturb.read_back import ReadBack
from tests.conftest import repeat

USUAL = {"umask": "022", "locale": "utf-8", "threads": "2"}
Trace = Callable[..., RunRecord]


@pytest.fixture
def run(trace: Trace) -> Callable[..., RunRecord]:
    """Make a run by its result, its number of threads and what was in effect at its end."""

    def make(result: str = "a", threads: int = 2, **conditions: str) -> RunRecord:
        record = trace(1, repeat(result))
        return replace(record, threads=threads, conditions={**USUAL, **conditions})

    return make


@pytest.fixture
def read_back(run: Callable[..., RunRecord]) -> ReadBack:
    return ReadBack([run(), run()])


def crashed(run: RunRecord) -> RunRecord:
    return replace(run, outcome=Outcome.crashed, repeats=[])


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"umask": "077"}, ""),
        ({}, "it has no effect here (022)"),
        ({"umask": "cannot be read"}, "it has no effect here (cannot be read)"),
        ({"umask": "077", "threads": 1}, "it would also change the number of threads (1)"),
        ({"result": "b"}, ""),  # the program has undone it at its end
    ],
)
def test_why_a_level_is_left_out(
    read_back: ReadBack, run: Callable[..., RunRecord], given: dict[str, Any], reason: str
) -> None:
    """As its own run reads back; one that changes the result is never left out."""
    assert read_back.why_unvaried("umask:077", run(**given)) == reason


def test_a_crash_is_a_result_and_no_reason(
    read_back: ReadBack, run: Callable[..., RunRecord]
) -> None:
    """Whatever was in effect, and however many threads were, before the program set them."""
    assert read_back.why_unvaried("umask:077", crashed(run(threads=1))) == ""


def test_the_number_of_threads_may_be_what_is_varied(
    read_back: ReadBack, run: Callable[..., RunRecord]
) -> None:
    """Then it is no side effect."""
    varied = replace(run(threads=1), conditions={**USUAL, "threads": "1"})
    assert read_back.why_unvaried("threads:1", varied) == ""


@pytest.mark.parametrize(
    ("given", "tells"),
    [
        ({"umask": "077", "locale": "ascii"}, True),
        ({"umask": "077"}, True),
        ({"umask": "077", "locale": "ascii", "result": "b"}, True),
        ({"umask": "077", "result": "b"}, False),  # the locale may have been in effect before
        ({"umask": "077", "locale": "ascii", "threads": 1}, False),
    ],
)
def test_when_one_run_tells_of_all_its_levels(
    read_back: ReadBack, run: Callable[..., RunRecord], given: dict[str, Any], tells: bool
) -> None:
    """If not, each level needs a run of its own."""
    words = ["umask:077", "locale:ascii"]
    assert read_back.tells_of_each(words, run(**given)) is tells
    assert not read_back.tells_of_each(words, crashed(run(**given)))


def test_another_result_tells_nothing_of_a_training_that_varies(
    run: Callable[..., RunRecord],
) -> None:
    """What is read back decides."""
    varying = ReadBack([run("a"), run("b")])
    assert varying.why_unvaried("umask:077", run("c")) == "it has no effect here (022)"
    assert varying.tells_of_each(["umask:077", "locale:ascii"], run("c", umask="077"))
