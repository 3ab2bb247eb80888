"""`python -m harness cost OVERRIDES switch=NAME`: what one switch costs, as precisely as asked."""

from __future__ import annotations

import csv
import dataclasses
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from harness.core.command_line import program, split_words
from harness.core.errors import UsageError
from harness.core.exit_codes import INTERRUPTED
from harness.core.spec import Cell, Determinism
from harness.diagnose.recipe_switches import Switches, with_setting
from harness.study.request import Request, RequestedCell, Runs
from harness.study.session import bench

TRACES = 2  # runs of each cell whose bits are compared: this command is about time
FIRST_BLOCKS = 5  # after which it is decided how many more are needed
# Options of the command, the overrides that they stand for, and their values if they are not given.
OPTIONS = {"precision": ("timing.precision", "0.01"), "max_blocks": ("runs.timing", "40")}


def read_options(words: Sequence[str]) -> tuple[list[str], Callable[[Request], int]]:
    """Return the words as overrides, and what answers their request. Raises UsageError."""
    before, program_words = split_words(words)
    own = dict(word.split("=", 1) for word in before if "=" in word)
    name, _, value = own.get("switch", "").partition("=")
    if not name:
        raise UsageError(
            f"name the switch, as in `{program()} cost scenario=cnn switch=cudnn.deterministic`; "
            "switch=NAME=VALUE for a value that the setting does not have"
        )
    typed = [word for word in before if word.partition("=")[0] not in ("switch", *OPTIONS)]
    typed = with_setting(typed)
    if value:
        typed.append(f"determinism.{name}={value}")
    _check("precision", own, float, 0.0001)
    _check("max_blocks", own, int, 2)
    typed += [f"{key}={own.get(option, default)}" for option, (key, default) in OPTIONS.items()]
    typed += [f"timing.first={FIRST_BLOCKS}"]
    return [*typed, *program_words], partial(cost, name=name)


def cost(request: Request, name: str) -> int:
    """Time the switch from both ends: added to the seeds, and within all switches."""
    cell = request.only_cell("cost")
    switches = Switches.turned_by(cell)
    if name not in switches.with_cost:
        known = Determinism().switches()
        closest = "".join(get_close_matches(name, known, 1))
        hint = f"; did you mean {closest}?" if closest and name not in known else "."
        raise UsageError(
            f"switch={name}: the setting `{cell.setting}` has no such switch with a cost{hint} It "
            f"has {', '.join(switches.with_cost)}. For another switch, give its value: "
            "switch=threads=1"
        )
    everything = frozenset(switches.names)
    ends = {
        "added to the seeds": (switches.seeds | {name}, switches.seeds),
        "within all switches": (everything, everything - {name}),
    }
    pairs = {end: tuple(map(switches.cell, sets)) for end, sets in ends.items()}
    asked = tuple(RequestedCell(cell, baseline) for cell, baseline in pairs.values())
    runs = Runs(trace=TRACES, timing=request.runs.timing)
    folder, status = bench(dataclasses.replace(request, asked=asked, controls=(), runs=runs))
    if status == INTERRUPTED:
        return status
    print(f"\n{name}={switches.value(name)}, time per step with it relative to that without it:")
    rows = _read_rows(folder)
    for end, (with_it, _) in pairs.items():
        print(f"  {end}: {_describe(rows, with_it, request.timing.precision)}")
    print(f"study: {folder}")  # last, as after every study
    return status


def _check(option: str, typed: Mapping[str, str], type_: type[float], least: float) -> None:
    try:
        is_valid = least <= type_(typed.get(option, OPTIONS[option][1])) < math.inf
    except ValueError:
        is_valid = False
    if not is_valid:
        raise UsageError(f"{option}={typed[option]}: must be a number, at least {least:g}")


def _read_rows(folder: Path) -> dict[str, Mapping[str, str]]:
    """The cells of the study that are no twins, by their overrides: `auto` is a device by now."""
    with (folder / "tables" / "cells.csv").open(encoding="utf-8", newline="") as file:
        return {row["overrides"]: row for row in csv.DictReader(file) if row["twin"] == "False"}


def _describe(rows: Mapping[str, Mapping[str, str]], cell: Cell, precision: float) -> str:
    row = rows.get(shlex.join(cell.overrides))
    if row is None or not row["cost_ratio"]:
        return "not measured; it has no effect on this device, or see the report"
    ratio, low, high = (float(row[key]) for key in ("cost_ratio", "cost_low", "cost_high"))
    reached = (high - low) / 2 / ratio
    state = "reached" if reached <= precision else "not reached"
    return (
        f"{ratio:.3f} × ({low:.3f}–{high:.3f}), {row['timing_runs']} blocks: "
        f"±{100 * reached:.1f} %, ±{100 * precision:.1f} % is {state}"
    )
