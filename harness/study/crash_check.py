"""Whether a new study cannot work, because its script crashes in every run."""

from __future__ import annotations

from collections import Counter

from harness.core.record import Outcome, RunRecord
from harness.core.spec import RunSpec
from harness.study.plan import Plan


class CrashCheck:
    """Counts the crashed runs of a new study of scripts.

    A script is often called with wrong arguments. A scenario's crash is a result.
    """

    def __init__(self, plan: Plan) -> None:
        self.scripts = {spec.cell.id for spec in plan.runs if _is_script(spec)}
        self.crashed: Counter[str] = Counter()  # runs by cell
        self.is_possible = True  # no run of a script has ended in another way

    def all_crashed_with(self, record: RunRecord) -> bool:
        """Count a run; return whether all of scripts, two or more, have crashed, in every cell."""
        if not _is_script(record.spec):
            return False
        self.is_possible &= record.outcome is Outcome.crashed
        self.crashed[record.spec.cell.id] += 1
        return self.is_possible and self.crashed.total() > 1 and self.crashed.keys() >= self.scripts


def _is_script(spec: RunSpec) -> bool:
    return spec.cell.scenario.framework == "script"
