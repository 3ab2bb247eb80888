"""Operations as the first of a process, in processes that a real run forks."""

from __future__ import annotations

import threading
from pathlib import Path

import pandas as pd
import pytest
import torch
from harness.scenarios import first_op

from harness.core.paths import CONF
from harness.report.tables.columns import read_columns
from harness.scenario import Context
from tests.conftest import command, harness, study_of


@pytest.mark.slow
def test_a_study_counts_the_processes_whose_calls_differ(tmp_path: Path) -> None:
    """Each run forks its processes, and the table has the sum over runs for each operation."""
    words = ["first_call=true", "scenario.op=exp,square", "scenario.processes=3"]
    study = study_of(harness("audit", *words, cwd=tmp_path), tmp_path)
    table = pd.read_csv(study / "tables" / "first_calls.csv").set_index("operation")
    assert ["operation", *table.columns] == list(read_columns()["first_calls"])
    assert list(table["processes"]) == [6, 6]
    assert table.loc["square", "differ"] == 0  # it calls no library
    assert "in 6 forks each" in (study / "report.md").read_text()


def test_a_planted_difference_is_counted_with_its_size() -> None:
    """An operation that is off by one ulp in one element at its first call is seen as such."""
    calls = []

    def planted(x: torch.Tensor) -> torch.Tensor:
        result = torch.ones(8)
        if not calls:
            result[3] = torch.nextafter(result[3], torch.tensor(2.0))
        calls.append(x)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(first_op.POINTWISE, "planted", planted)
        assert first_op.compare_two_calls("planted") == (1, 8, 1)


def test_a_hanging_process_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked process that gives no answer is ended, as after a fork beside torch's threads."""
    monkeypatch.setattr(first_op, "LIMIT_S", 0.2)
    with pytest.raises(RuntimeError, match="gave no answer"):
        first_op.in_forked_process(threading.Event().wait)  # type: ignore[arg-type]


def test_a_failing_process_fails_the_run() -> None:
    """A forked process that raises is not counted as one whose calls agree."""
    with pytest.raises(RuntimeError, match="forked process failed with exit status"):
        first_op.in_forked_process(lambda: 1 // 0)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("options", "why"), [({"op": "sqr"}, "must be one of abs, "), ({"processes": 0}, "at least 1")]
)
def test_bad_options_are_refused(options: dict[str, object], why: str) -> None:
    """An unknown operation and a run without processes are errors that say what is allowed."""
    with pytest.raises(ValueError, match=why):
        first_op.Options(**options)  # type: ignore[arg-type]


def test_it_runs_on_a_cpu_only() -> None:
    """A device that cannot be used after a fork is refused."""
    with pytest.raises(ValueError, match="must be cpu"):
        first_op.build(first_op.Options(), Context(torch.device("cuda")))


def test_the_command_asks_for_the_cpu_of_a_machine_with_a_gpu(tmp_path: Path) -> None:
    """`audit first_call=true` does not leave the device to `auto`, which a GPU would be."""
    done = command("audit", "first_call=true", "--cfg", "job", cwd=tmp_path)
    assert "device: cpu" in done.stdout.split("\n"), done.stdout + done.stderr


def test_an_unknown_value_of_the_command_is_refused(tmp_path: Path) -> None:
    """`audit first_call=yes` says which values there are."""
    done = command("audit", "first_call=yes", cwd=tmp_path)
    assert (done.returncode, "first_call=true or first_call=false" in done.stderr) == (2, True)


def test_the_matrix_names_every_operation() -> None:
    """The study tries every operation of the scenario that a CPU has."""
    text = (CONF / "matrix" / "first_call.yaml").read_text()
    names = text.partition("scenario.op: >-")[2].partition("determinism")[0]
    listed = {name.strip() for name in names.split(",")}
    assert {*first_op.POINTWISE, *first_op.OPERATIONS} - listed == {"attention_efficient"}
