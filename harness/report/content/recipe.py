"""What `recipe` found: the necessary switches, what each does, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.analysis.cell_table import ratio_between
from harness.analysis.cost import Ratio
from harness.analysis.study_data import StudyData
from harness.core.switches import FILL
from harness.report.content.recipe_snippets import snippets
from harness.report.format import DASH, interval, is_known, join_words, percent

Row = Mapping[str, Any]
NOISY = 0.1  # half width of the twin's interval beyond which the headline says so
SEED_OF = {
    "seeds.torch": "the seed of torch",
    "seeds.numpy": "the seed of NumPy",
    "seeds.python": "the seed of Python",
}


@dataclass(frozen=True)
class RecipeReport:
    headline: str
    sentences: list[str]
    rows: list[tuple[str, ...]]  # by legend.RECIPE
    snippets: dict[str, str]  # by what they are for


def recipe_of(study: StudyData, table: pd.DataFrame) -> RecipeReport | None:
    """Return what the report says of a study's recipe; ``table`` is the cell table with costs."""
    if study.recipe is None:
        return None
    full, taken = study.recipe["full"], study.recipe["taken"]
    planned = {cell.id for cell in study.cells}  # without `taken` if the search was stopped
    ratios = {
        name: ratio_between(study, full, without)
        for name, without in taken.items()
        if {full, without} <= planned
    }
    return describe_recipe(study.recipe, table, ratios)


def describe_recipe(
    document: Mapping[str, Any], table: pd.DataFrame, within_all: Mapping[str, Ratio | None]
) -> RecipeReport:
    """Return what the report says of recipe.json.

    ``within_all`` is the time with all switches relative to that with all but one, by its name.
    """
    rows: dict[str, Row] = {
        row["cell"]: {str(key): value for key, value in row.items()}
        for row in table[~table["twin"]].to_dict("records")
    }
    if not document["cell"]:
        return RecipeReport(_no_recipe(document), _limits(document), [], {})
    names = [*document["kept"], *document["unneeded"]]
    everything = ("all of them", "", "", _cost(rows.get(document["full"])), DASH)
    return RecipeReport(
        headline=_headline(document, rows, _noise(table)),
        sentences=[*_alternatives(document, rows), *_limits(document), *_contradictions(document)],
        rows=[
            *(_switch_row(name, document, rows, within_all.get(name)) for name in names),
            everything,
        ],
        snippets=_snippets(document),
    )


def _noise(table: pd.DataFrame) -> str:
    """Return how uncertain the ratio of equal trainings is, if that is much."""
    twins = table[table["twin"]]
    reach = ((twins["cost_high"] - twins["cost_low"]) / 2).max()
    if twins.empty or not is_known(reach) or reach <= NOISY:
        return ""
    return f" The machine was noisy: the interval of two equal trainings is ± {percent(reach)}."


def _snippets(document: Mapping[str, Any]) -> dict[str, str]:
    """Return code that sets what the recipe's runs had, and nothing else."""
    switches = dict(document["kept"])
    if "algorithms" in switches and FILL in document["unneeded"]:
        switches[FILL] = False  # which torch turns on with deterministic algorithms
    names = [
        word.partition("=")[2]
        for word, evidence in document["alternatives"].items()
        if word.startswith("deterministic_operations=") and evidence["agrees"]
    ]
    return snippets(switches, *names)


def _headline(document: Mapping[str, Any], rows: Mapping[str, Row], noise: str) -> str:
    words = [_switch(name, value) for name, value in document["kept"].items()]
    needs = f"needs {join_words(words)}, and nothing else" if words else "needs no switch"
    found = (
        f"This training {needs}: {document['runs']} runs agree, so at most "
        f"{percent(document['rate'])} of new runs differ (95 % confidence)."
    )
    if not words:
        return found
    if not any(name in document["added"] for name in document["kept"]):
        return f"{found} Seeds cost no time."  # whatever the noise of a measurement says
    cost = _step(rows.get(document["cell"]))
    return f"{found} {cost} with seeds alone.{noise}" if cost else found


def _no_recipe(document: Mapping[str, Any]) -> str:
    (evidence,) = document["without"].values()
    found = (
        f"There is no recipe: with every switch, the training {_happens(evidence)}, and "
        "leaving out any one that costs time does not help."
    )
    if evidence["failure"]:
        return found
    return f"{found} Find the operation with `{document['diagnose']}`."


def _alternatives(document: Mapping[str, Any], rows: Mapping[str, Row]) -> list[str]:
    return [
        f"`{word}` in place of `algorithms`: {_outcome(evidence, rows)}."
        for word, evidence in document["alternatives"].items()
    ]


def _outcome(evidence: Mapping[str, Any], rows: Mapping[str, Row]) -> str:
    if not evidence["agrees"]:
        return f"the training {_happens(evidence)}"
    cost = _step(rows.get(evidence["cell"]))
    return f"{evidence['runs']} runs agree{f'. {cost} with seeds alone' if cost else ''}"


def _limits(document: Mapping[str, Any]) -> list[str]:
    sets, runs, rate = document["sets"], document["screen"], percent(document["missed"])
    tried = (
        f"{sets} sets of switches were tried, each by {runs} runs or until two differ; that can "
        f"miss a difference seen in fewer than {rate} of processes."
    )
    confirmed = (
        f" The set that was found had {document['runs']} runs: a switch that it lacks matters in "
        f"at most {percent(document['rate'])} of processes."
    )
    names = join_words([f"`{name}`" for name in document["without_effect"]])
    ignored = f"Left out, as they change nothing in this training or on this device: {names}."
    fixed = join_words([f"`{name}`" for name in document.get("out_of_reach", ())])
    outside = f"Left out, as they cannot be set from outside a program: {fixed}."
    refused = (
        f"`{document.get('refused')}` has no deterministic algorithm, so `algorithms=warn` was "
        "searched in place of `require`."
    )
    own = join_words([_switch(*item) for item in document["overridden"].items()])
    overridden = f"Left out, as the program sets them itself (values at its end): {own}."
    return [
        tried + confirmed * bool(document["cell"]),
        *[ignored] * bool(names),
        *[outside] * bool(fixed),
        *[overridden] * bool(own),
        *[refused] * bool(document.get("refused")),
    ]


def _contradictions(document: Mapping[str, Any]) -> list[str]:
    return [
        f"Runs agree with {_names(smaller)}, but differ with {_names(larger)}: more switches are "
        "not always better here."
        for smaller, larger in document["contradictions"]
    ]


def _switch_row(
    name: str, document: Mapping[str, Any], rows: Mapping[str, Row], within_all: Ratio | None
) -> tuple[str, ...]:
    evidence = document["without"].get(name)
    return (
        SEED_OF.get(name, name),
        "yes" if evidence else "no",
        f"{_happens(evidence)}" if evidence else "runs agree",
        _cost(rows.get(document["added"].get(name, ""))),
        _ratio(within_all.point, within_all.low, within_all.high) if within_all else DASH,
    )


def _cost(row: Row | None) -> str:
    """The ratio with its interval, of whatever verdict: it is of the switch, not of the recipe."""
    if row is None or not is_known(row["cost_ratio"]):
        return DASH
    return _ratio(row["cost_ratio"], row["cost_low"], row["cost_high"])


def _ratio(point: float, low: float, high: float) -> str:
    return f"{point:.3f} × ({interval(low, high)})"


def _step(row: Row | None) -> str:
    if row is None or not is_known(row["cost_ratio"]):
        return ""
    low_to_high = interval(row["cost_low"], row["cost_high"])
    return f"A step takes {row['cost_ratio']:.3f} times (95 % interval {low_to_high}) as long as"


def _happens(evidence: Mapping[str, Any]) -> str:
    if evidence["failure"]:
        return f"fails ({evidence['failure']})"
    if evidence["agrees"]:
        return f"shows no difference in {evidence['runs']} runs"
    return f"{evidence['verdict']} ({evidence['differ']}{_where(evidence)})"


def _where(evidence: Mapping[str, Any]) -> str:
    if evidence["step"] is None:
        return ""
    if evidence["step"] == 0:
        return ", before the first step"
    return f", first at step {evidence['step']}, {evidence['component']}"


def _names(names: list[str]) -> str:
    return join_words([f"`{SEED_OF.get(name, name)}`" for name in names]) or "no switch"


def _switch(name: str, value: Any) -> str:
    """A switch as a word of the command line, except for seeds, of which there is only one."""
    return f"{SEED_OF[name]} ({value})" if name in SEED_OF else f"`{name}={_value(value)}`"


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
