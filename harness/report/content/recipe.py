"""What `recipe` found: the necessary switches, what each does, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.report.format import DASH, interval, is_known, join_words, percent

Row = Mapping[str, Any]
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


def describe_recipe(document: Mapping[str, Any] | None, table: pd.DataFrame) -> RecipeReport | None:
    """Return what the report says of recipe.json; ``table`` is the cell table, with the costs."""
    if document is None:
        return None
    rows: dict[str, Row] = {
        row["cell"]: {str(key): value for key, value in row.items()}
        for row in table[~table["twin"]].to_dict("records")
    }
    if not document["cell"]:
        return RecipeReport(_no_recipe(document), _limits(document), [], {})
    names = [*document["kept"], *document["unneeded"]]
    everything = ("all but the hash seed", "", "", DASH, _cost(rows.get(document["full"])))
    return RecipeReport(
        headline=_headline(document, rows),
        sentences=[*_alternatives(document, rows), *_limits(document), *_contradictions(document)],
        rows=[*(_switch_row(name, document, rows) for name in names), everything],
        snippets=document["snippets"],
    )


def _headline(document: Mapping[str, Any], rows: Mapping[str, Row]) -> str:
    words = [_switch(name, value) for name, value in document["kept"].items()]
    needs = f"needs {join_words(words)}, and nothing else" if words else "needs no switch"
    cost = _quoted_cost(rows.get(document["cell"]))
    return (
        f"This training {needs}: {document['runs']} runs agree, so that at most "
        f"{percent(document['rate'])} of fresh ones differ (95 % confidence)"
        f"{f', at {cost} the time per step with `seed` alone' if cost else ''}."
    )


def _no_recipe(document: Mapping[str, Any]) -> str:
    (evidence,) = document["without"].values()
    return (
        f"There is no recipe: with every switch, the training {_happens(evidence)}. Find the "
        f"operation with `{document['diagnose']}`."
    )


def _alternatives(document: Mapping[str, Any], rows: Mapping[str, Row]) -> list[str]:
    return [
        f"`{word}` in place of `algorithms`: {_outcome(evidence, rows)}."
        for word, evidence in document["alternatives"].items()
    ]


def _outcome(evidence: Mapping[str, Any], rows: Mapping[str, Row]) -> str:
    if not evidence["agrees"]:
        return f"it {_happens(evidence)}"
    cost = _quoted_cost(rows.get(evidence["cell"]))
    return f"{evidence['runs']} runs agree, too{f', at {cost}' if cost else ''}"


def _limits(document: Mapping[str, Any]) -> list[str]:
    sets, runs, rate = document["sets"], document["screen"], percent(document["missed"])
    tried = (
        f"{sets} sets of switches were tried, each by {runs} runs or until two differ: a switch "
        f"that matters in fewer than {rate} of processes may have been missed."
    )
    names = join_words([f"`{name}`" for name in document["without_effect"]])
    ignored = f"Left out, as nothing on this device consults them: {names}."
    own = join_words([_switch(*item) for item in document["overridden"].items()])
    overridden = f"Left out, as the program sets them itself: {own}."
    return [tried, *[ignored] * bool(names), *[overridden] * bool(own)]


def _contradictions(document: Mapping[str, Any]) -> list[str]:
    return [
        f"Runs agree with {_names(smaller)}, but differ with {_names(larger)}: more switches are "
        "not always better here."
        for smaller, larger in document["contradictions"]
    ]


def _switch_row(name: str, document: Mapping[str, Any], rows: Mapping[str, Row]) -> tuple[str, ...]:
    evidence = document["without"].get(name)
    return (
        SEED_OF.get(name, name),
        "yes" if evidence else "no",
        f"{_happens(evidence)}" if evidence else "runs agree",
        _cost(rows.get(document["added"].get(name, ""))),
        _cost(rows.get(document["taken"].get(name, ""))),
    )


def _cost(row: Row | None) -> str:
    """The ratio with its interval, of whatever verdict: it is of the switch, not of the recipe."""
    if row is None or not is_known(row["cost_ratio"]):
        return DASH
    return f"{row['cost_ratio']:.3f} × ({interval(row['cost_low'], row['cost_high'])})"


def _quoted_cost(row: Row | None) -> str:
    return "" if row is None or not is_known(row["cost_ratio"]) else _cost(row)


def _happens(evidence: Mapping[str, Any]) -> str:
    if evidence["failure"]:
        return f"ends otherwise ({evidence['failure']})"
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
