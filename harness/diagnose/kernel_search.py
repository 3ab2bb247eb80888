"""Search for the operations that alone need deterministic algorithms, by runs.

torch's switch is for all operations and can be slow for most of them. Here it is on only while the
operations of a set run (worker/torch_backend/deterministic_operations.py), and the smallest set
under which runs agree is searched like a set of switches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.core.op_log import OpLog, pop
from harness.core.spec import Cell, Kind
from harness.diagnose.advice import changes_with_algorithms
from harness.diagnose.recipe_switches import Switches
from harness.diagnose.runs import Experiment
from harness.diagnose.switch_search import Kept, SwitchSearch

LOGGED = (0, 2)  # the first step with a state of the optimizer is the second
ATEN, DEFAULT = "aten.", ".default"


def sufficient_operations(
    experiment: Experiment, switches: Switches, rest: Kept, agrees: Callable[[Cell, str], bool]
) -> list[str]:
    """Return the operations that need deterministic algorithms beside the switches of ``rest``.

    Only those are tried that torch documents to have such algorithms. Empty if they do not suffice.
    """

    def suffices(operations: Kept) -> bool:
        names = [name for name in candidates if name in operations]
        cell = switches.cell(rest, deterministic_operations="+".join(names))
        return agrees(cell, f"deterministic algorithms for {', '.join(names)} only")

    candidates = [
        name
        for name in _called_operations(experiment, switches.cell(rest))
        if changes_with_algorithms(ATEN + name, experiment.cell.device)
    ]
    known = {frozenset[str](): False}  # else deterministic algorithms were not needed
    found = SwitchSearch(candidates, suffices, known).minimize()
    return [name for name in candidates if name in (found or ())]


def _called_operations(experiment: Experiment, cell: Cell) -> Sequence[str]:
    """Names of all operations of the first steps, in order of their first call.

    Empty if they cannot be logged: a recipe does without this alternative.
    """
    experiment.log("recipe: logging the operations of the first steps")
    spec = experiment.spec(cell, Kind.operations, 1, window=LOGGED)
    (record,) = experiment.launch([spec])
    try:
        log = pop(experiment.operations, record.run_id, 1)
    except (OSError, ValueError):
        experiment.log(f"  they could not be logged: {record.outcome}: {record.reason}")
        return []
    return list(dict.fromkeys(_names(log)))


def _names(log: OpLog) -> list[str]:
    names = [op.name for one in (log, *log.others) for op in one.operations]
    return [
        name.removeprefix(ATEN).removesuffix(DEFAULT) for name in names if name.startswith(ATEN)
    ]
