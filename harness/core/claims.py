"""What others have claimed, as data: which cells decide it, by which rule. Standard library only.

A claim is written in conf/claims/*.yaml. Its cells are words of the command line; ``config.py``
turns them into cells of the study, and the manifest keeps the claim with their ids, so that the
report needs nothing else. A claim with a list ``each`` stands for as many claims: ``{each}`` in its
texts is filled with every name in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import UsageError
from harness.core.record import COMPONENTS

# Each rule by the roles of the cells that it reads; harness/analysis/rules_of_*.py have the code.
RULES: dict[str, tuple[str, ...]] = {
    "identical": ("it",),
    "varies": ("it",),
    "refused": ("it",),
    "cured": ("untreated", "treated"),
    "unequal": ("one", "other"),
    "equal": ("one", "other"),
    "facts": (),  # the cells are named by the facts
    "spread_at_most": ("it",),
    "spread_above": ("it",),
    "grows": ("it",),
    "spread_larger": ("one", "other"),
    "not_dearer": ("it",),
    "wider_relatively": ("it",),
    "moves_more": ("one", "other"),
    "agree_at_first": ("it",),
    "faster_each": ("one", "other"),
    "no_experiment": (),  # nothing decides it yet; ``why`` says so
}
TIMED_RULES = ("not_dearer", "faster_each")
LIMITED_RULES = ("spread_at_most", "spread_above", "not_dearer", "agree_at_first")
NEEDS = ("any", "cpu", "cuda")


@dataclass(frozen=True)
class Fact:
    """One thing that a scenario tells of itself, and what it must be for the claim to hold."""

    cell: str  # a role
    path: str  # with dots into nested facts; [] stands for every entry of a list
    equals: Any = None
    above: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class Claim:
    name: str
    source: str
    says: str
    rule: str
    needs: str = "any"
    cells: dict[str, str] = field(default_factory=dict)  # role to the words asked, then cell id
    facts: tuple[Fact, ...] = ()
    limit: float | None = None  # of rules that compare with a number
    component: str = ""  # where `varies` is to part first: `grads` for a backward, say
    published: str = ""  # the figure that the source gives
    why: str = ""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Claim:
        """Raises UsageError, naming the claim, where something in it does not exist."""
        name = document.get("name", "?")
        try:
            facts = tuple(Fact(**one) for one in document.get("facts", ()))
            claim = cls(**{**document, "facts": facts})
        except TypeError as error:
            raise UsageError(f"claim '{name}': {error}") from error
        claim._validate()
        return claim

    def _validate(self) -> None:
        if self.rule not in RULES:
            raise UsageError(
                f"claim '{self.name}' has rule '{self.rule}'; there are {', '.join(RULES)}"
            )
        if self.needs not in NEEDS:
            raise UsageError(
                f"claim '{self.name}' needs '{self.needs}'; there are {', '.join(NEEDS)}"
            )
        roles = {*RULES[self.rule], *(fact.cell for fact in self.facts)}
        if roles != self.cells.keys():
            raise UsageError(
                f"claim '{self.name}' gives the cells {sorted(self.cells)}, but its "
                f"rule reads {sorted(roles)}"
            )
        if self.rule in LIMITED_RULES and self.limit is None:
            raise UsageError(f"claim '{self.name}': the rule {self.rule} needs a limit")
        if self.component and self.component not in COMPONENTS:
            raise UsageError(
                f"claim '{self.name}': component '{self.component}' is none of "
                f"{', '.join(COMPONENTS)}"
            )

    def applies_to(self, device: str) -> bool:
        """Whether the study's device is of the kind that the claim speaks of."""
        return self.needs in ("any", device.partition(":")[0])
