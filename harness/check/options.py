"""The requirements of a gate, parsed from the command line."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.verdict import Verdict

FEWEST_RUNS = 2  # a single run has nothing to be compared with
GATE_RUNS = 10  # completed trace runs that `identical` requires unless told otherwise
# Verdicts that runs can establish; `failed` and `not tested` say that they established none.
REQUIRABLE = (
    Verdict.identical,
    Verdict.varies,
    Verdict.per_call,
    Verdict.per_process,
    Verdict.refused,
)
FLAGS = ("--github", "--no-github", "--help")  # options without a value
STATUSES = """exit status: 0 every requirement holds; 1 a requirement is broken, or cannot be
decided; 2 the request is wrong; 3 the study is incomplete"""


@dataclass(frozen=True)
class GateOptions:
    study: Path
    require: Verdict | None  # `varies` is met by `varies per call` and `varies per process`, too
    min_runs: int  # completed trace runs that `identical` requires
    max_cost: float | None  # limit for the upper end of the interval of a cost
    scenarios: tuple[str, ...]  # empty: all
    settings: tuple[str, ...]
    junit: Path | None
    github: bool  # print broken requirements as annotations
    depends_only_on: tuple[str, ...] | None  # names of factors; None: not required

    def runs_needed(self, words: Sequence[str]) -> list[str]:
        """The overrides that give a study the runs to decide, where ``words`` do not name them."""
        needed = {
            "runs.trace=": self.min_runs if self.require is Verdict.identical else None,
            "runs.timing=": None if self.max_cost is not None else 0,
        }
        typed = tuple(word.partition("=")[0] + "=" for word in words)
        return [f"{key}{n}" for key, n in needed.items() if n is not None and key not in typed]

    def check_answerable(self, traces: int, timings: int) -> None:
        """Raises UsageError if no study with so many runs of a cell can meet the requirements."""
        if self.require is Verdict.identical and traces < self.min_runs:
            raise UsageError(
                f"--require identical needs {self.min_runs} runs, but runs.trace={traces}: raise "
                "runs.trace, or lower --min-runs"
            )
        if self.max_cost is not None and timings == 0:
            raise UsageError("--max-cost needs timing runs, but runs.timing=0: raise it")


def parse_options(words: Sequence[str]) -> GateOptions:
    """Parse the command line; on an error, exit with a message and status 2, as argparse does."""
    parser = _build_parser()
    options = parser.parse_args(words)
    of_cells = options.require is not None or options.max_cost is not None
    if options.depends_only_on is None and not of_cells:
        parser.error(
            "no requirement: use --require identical, --max-cost 1.10, or both; or "
            "--depends-only-on seed,threads"
        )
    if options.depends_only_on is not None and of_cells:
        parser.error("--depends-only-on judges a study of `perturb`: check other things apart")
    if options.min_runs is not None and options.require != Verdict.identical:
        parser.error("--min-runs needs --require identical")
    return GateOptions(
        study=options.study,
        require=Verdict(options.require) if options.require else None,
        min_runs=options.min_runs or GATE_RUNS,
        max_cost=options.max_cost,
        scenarios=options.scenario,
        settings=options.determinism,
        junit=options.junit,
        github=options.github,
        depends_only_on=options.depends_only_on,
    )


def split_options(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split words before a `--` into the gate's options, with their values, and the others.

    What follows `--`, and the `--` itself, is among the others.
    """
    position = list(words).index("--")
    rest, options, others = list(words[:position]), list[str](), list[str]()
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            others.append(word)
            continue
        options.append(word)
        if "=" not in word and word not in FLAGS and rest:
            options.append(rest.pop(0))
    return options, [*others, *words[position:]]


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness check",
        description="Check a study against requirements, from its records. With `-- python "
        "train.py …` and overrides in place of STUDY, run a study of that command first.",
        epilog=STATUSES,
        allow_abbrev=False,
    )
    parser.add_argument("study", type=Path, metavar="STUDY", help="a folder under results/")
    parser.add_argument(
        "--require",
        choices=[str(verdict) for verdict in REQUIRABLE],
        metavar="VERDICT",
        help=f"verdict that every cell must have: {', '.join(REQUIRABLE)}; "
        "varies accepts any way to vary",
    )
    parser.add_argument(
        "--min-runs",
        type=_run_count,
        metavar="N",
        help=f"completed trace runs that identical requires (default: {GATE_RUNS}, at "
        f"least {FEWEST_RUNS})",
    )
    parser.add_argument(
        "--max-cost",
        type=_cost_ratio,
        metavar="X",
        help="limit for the time per step relative to the baseline: the whole 95%% interval "
        "must not exceed it",
    )
    parser.add_argument(
        "--depends-only-on",
        type=_names,
        metavar="NAME,…",
        help="of a study of `perturb`: factors on which the bits may depend; seed stands for all "
        "seeds",
    )
    parser.add_argument(
        "--scenario",
        type=_names,
        default=(),
        metavar="NAME,…",
        help="check only these scenarios; cells of the positive control are excluded unless named",
    )
    parser.add_argument(
        "--determinism",
        type=_names,
        default=(),
        metavar="NAME,…",
        help="check only these settings; cells added as baselines are excluded unless named",
    )
    parser.add_argument(
        "--junit",
        type=Path,
        metavar="FILE",
        help="write JUnit XML, with a test case per cell and requirement",
    )
    parser.add_argument(
        "--github",
        action=argparse.BooleanOptionalAction,
        default=os.environ.get("GITHUB_ACTIONS") == "true",
        help="print GitHub annotations (default: if GITHUB_ACTIONS=true)",
    )
    return parser


def _run_count(text: str) -> int:
    if not text.isdecimal() or int(text) < FEWEST_RUNS:
        raise argparse.ArgumentTypeError(
            f"{text}: expected a number of runs, at least {FEWEST_RUNS}"
        )
    return int(text)


def _cost_ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = math.nan
    if not 1 <= ratio < math.inf:  # NaN fails both
        raise argparse.ArgumentTypeError(
            f"{text}: expected a ratio of at least 1, such as 1.10 for 10 % above the baseline"
        )
    return ratio


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):  # an unset variable in a CI script, for example, must not select all
        raise argparse.ArgumentTypeError(f"'{text}': expected a name, or several with commas")
    return names
