"""What a gate asks of a study, as words of the command line."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.verdict import Verdict

FEWEST_RUNS = 2  # one run is no test
# What runs can show; `failed` and `not tested` only say that they did not.
REQUIRABLE = (
    Verdict.identical,
    Verdict.varies,
    Verdict.per_call,
    Verdict.per_process,
    Verdict.refused,
)
STATUSES = """exit status: 0 every requirement holds; 1 one is broken, or cannot be decided;
2 what was asked is wrong; 3 the study lacks runs"""


@dataclass(frozen=True)
class GateOptions:
    study: Path
    require: Verdict | None  # `varies` is met by any of the three ways to vary
    min_runs: int  # completed trace runs, for `identical`
    max_cost: float | None  # of the upper end of the cost's interval
    scenarios: tuple[str, ...]  # none: all
    settings: tuple[str, ...]
    junit: Path | None
    github: bool  # broken requirements as annotations


def parse_options(words: Sequence[str]) -> GateOptions:
    """The gate that the words spell; ends the program with status 2, and why, where none is."""
    parser = _build_parser()
    found = parser.parse_args(words)
    if found.require is None and found.max_cost is None:
        parser.error("nothing is required: name --require identical, --max-cost 1.10, or both")
    if found.min_runs is not None and found.require != Verdict.identical:
        parser.error("--min-runs counts the runs of --require identical, which was not asked")
    return GateOptions(
        study=found.study,
        require=Verdict(found.require) if found.require else None,
        min_runs=found.min_runs or FEWEST_RUNS,
        max_cost=found.max_cost,
        scenarios=found.scenario,
        settings=found.determinism,
        junit=found.junit,
        github=found.github,
    )


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness check",
        description="Does an existing study show what is required? Judged from its records.",
        epilog=STATUSES,
        allow_abbrev=False,
    )
    parser.add_argument("study", type=Path, metavar="STUDY", help="a folder under results/")
    parser.add_argument(
        "--require",
        choices=[str(one) for one in REQUIRABLE],
        metavar="VERDICT",
        help=f"of every cell: {', '.join(REQUIRABLE)}; varies is met by any of the ways to vary",
    )
    parser.add_argument(
        "--min-runs",
        type=_run_count,
        metavar="N",
        help=f"completed trace runs that identical needs (at least {FEWEST_RUNS}, the default)",
    )
    parser.add_argument(
        "--max-cost",
        type=_cost_ratio,
        metavar="X",
        help="largest time per step against the baseline: the whole 95%% interval "
        "has to lie at or below it",
    )
    parser.add_argument(
        "--scenario",
        type=_names,
        default=(),
        metavar="NAME,…",
        help="only these; names a positive control's cells, too",
    )
    parser.add_argument(
        "--determinism",
        type=_names,
        default=(),
        metavar="NAME,…",
        help="only these; names cells added as baselines, too",
    )
    parser.add_argument(
        "--junit",
        type=Path,
        metavar="FILE",
        help="JUnit XML to write: a case a cell and requirement",
    )
    parser.add_argument(
        "--github",
        action=argparse.BooleanOptionalAction,
        default=os.environ.get("GITHUB_ACTIONS") == "true",
        help="GitHub annotations; on where GITHUB_ACTIONS=true",
    )
    return parser


def _run_count(text: str) -> int:
    if not text.isdecimal() or int(text) < FEWEST_RUNS:
        raise argparse.ArgumentTypeError(
            f"{text}: a number of runs, at least {FEWEST_RUNS}, is needed; one run is no test"
        )
    return int(text)


def _cost_ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = math.nan
    if not 1 <= ratio < math.inf:  # NaN is neither
        raise argparse.ArgumentTypeError(
            f"{text}: a ratio of at least 1 is needed; 1 is the "
            "baseline's own, 1.10 allows a tenth more"
        )
    return ratio


def _names(text: str) -> tuple[str, ...]:
    found = tuple(name.strip() for name in text.split(","))
    if not all(found):  # of a variable that is not set, say: that must not choose all
        raise argparse.ArgumentTypeError(f"'{text}': a name, or several with commas, is needed")
    return found
