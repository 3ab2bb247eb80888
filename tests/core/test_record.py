"""Records are written completely or not at all, and read back unchanged."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.files import write_json
from harness.core.record import (
    BadRecordError,
    RunRecord,
    json_number,
    load_record,
    read_distances,
    save_record,
)
from tests.conftest import repeat

Trace = Callable[..., RunRecord]


def test_a_record_reads_back_equal(tmp_path: Path, trace: Trace) -> None:
    """Loading a saved record gives an equal record, even with a NaN loss."""
    record = trace(1, repeat(losses=[0.1, "nan"]), repeat("b"))
    assert load_record(save_record(tmp_path, record)) == record


def test_a_float_survives_to_its_last_bit(tmp_path: Path, trace: Trace) -> None:
    """Floats are stored without rounding, down to the smallest subnormal number."""
    exact = 0.1 + 0.2
    assert load_record(save_record(tmp_path, trace(1, repeat(losses=[exact, 5e-324])))).repeats[
        0
    ].losses == [exact, 5e-324]


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_truncated_record_is_rejected(tmp_path: Path, trace: Trace, cut: int) -> None:
    """Loading a record that is cut off anywhere raises an error that names the file."""
    path = save_record(tmp_path, trace(1, repeat()))
    path.write_text(path.read_text()[:cut])
    with pytest.raises(BadRecordError, match=path.name):
        load_record(path)


def test_another_schema_is_rejected(tmp_path: Path, trace: Trace) -> None:
    """Loading a record of another schema raises an error that names the schema."""
    path = save_record(tmp_path, dataclasses.replace(trace(1, repeat()), schema=99))
    with pytest.raises(BadRecordError, match="schema 99"):
        load_record(path)


def test_a_failed_write_keeps_the_old_content(tmp_path: Path) -> None:
    """A failed write keeps the old content and leaves no temporary file behind."""
    path = tmp_path / "one.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_that_json_lacks_become_strings() -> None:
    """NaN and infinities are written as strings, and finite numbers as they are."""
    assert [json_number(x) for x in (1.5, float("nan"), float("-inf"))] == [1.5, "nan", "-inf"]


def test_distances_read_back_equal(tmp_path: Path) -> None:
    """Distances are read back exactly as they were written."""
    path = tmp_path / "distances.json"
    written = {"r": {"reference": "a", "repeats": [{"1": {"rel_l2": 0.1, "max_ulp": "nan"}}]}}
    write_json(path, written)
    assert read_distances(path) == written


@pytest.mark.parametrize("content", ["", '{"r": {"reference": "a", "rep', "[1]", "null", "\xff"])
def test_damaged_distances_read_as_empty(tmp_path: Path, content: str) -> None:
    """A damaged file of distances reads as one without distances."""
    path = tmp_path / "distances.json"
    path.write_text(content, encoding="latin-1")
    assert read_distances(path) == {}


def test_missing_distances_read_as_empty(tmp_path: Path) -> None:
    """A file of distances that does not exist reads as one without distances."""
    assert read_distances(tmp_path / "distances.json") == {}


def test_records_of_the_first_schema_are_read(tmp_path: Path, trace: Trace) -> None:
    """They hold the digests of a step as a row; what is read equals what is written today."""
    record = trace(1, repeat())
    document = record.to_json()
    for training, made in zip(document["repeats"], record.repeats, strict=True):
        training["steps"] = [list(dataclasses.astuple(step)) for step in made.steps]
    path = tmp_path / "first.json"
    path.write_text(json.dumps({**document, "schema": 1}))
    assert load_record(path) == record
