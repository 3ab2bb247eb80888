"""Records are whole or not there, and read back as they were."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.record import (
    BadRecordError,
    RunRecord,
    json_number,
    load_record,
    read_distances,
    save_record,
    write_json,
)
from tests.conftest import repeat

Trace = Callable[..., RunRecord]


def test_a_record_reads_back_equal(tmp_path: Path, trace: Trace) -> None:
    record = trace(1, repeat(losses=[0.1, "nan"]), repeat("b"))
    assert load_record(save_record(tmp_path, record)) == record


def test_a_float_survives_to_its_last_bit(tmp_path: Path, trace: Trace) -> None:
    exact = 0.1 + 0.2
    assert load_record(save_record(tmp_path, trace(1, repeat(losses=[exact, 5e-324])))).repeats[
        0
    ].losses == [exact, 5e-324]


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_truncated_record_is_named_and_not_believed(
    tmp_path: Path, trace: Trace, cut: int
) -> None:
    path = save_record(tmp_path, trace(1, repeat()))
    path.write_text(path.read_text()[:cut])
    with pytest.raises(BadRecordError, match=path.name):
        load_record(path)


def test_another_schema_is_refused(tmp_path: Path, trace: Trace) -> None:
    path = save_record(tmp_path, dataclasses.replace(trace(1, repeat()), schema=99))
    with pytest.raises(BadRecordError, match="schema 99"):
        load_record(path)


def test_a_failed_write_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_what_json_lacks_becomes_a_word() -> None:
    assert [json_number(x) for x in (1.5, float("nan"), float("-inf"))] == [1.5, "nan", "-inf"]


def test_distances_read_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "distances.json"
    written = {"r": {"reference": "a", "repeats": [{"1": {"rel_l2": 0.1, "max_ulp": "nan"}}]}}
    write_json(path, written)
    assert read_distances(path) == written


@pytest.mark.parametrize("content", ["", '{"r": {"reference": "a", "rep', "[1]", "null", "\xff"])
def test_damaged_distances_are_none_at_all(tmp_path: Path, content: str) -> None:
    path = tmp_path / "distances.json"
    path.write_text(content, encoding="latin-1")
    assert read_distances(path) == {}


def test_missing_distances_are_none_at_all(tmp_path: Path) -> None:
    assert read_distances(tmp_path / "distances.json") == {}
