"""Published claims about reproducibility, as data: which cells decide each claim, by which rule.

Claims are written in conf/claims/*.yaml. Their cells are command-line overrides, which
harness/config/collect.py composes into cells of the study. The manifest stores each claim with its
cell ids, so the report needs nothing else. A claim with a list ``each`` expands to one claim per
entry, with ``{each}`` in its strings replaced by that entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import UsageError
from harness.core.steps import COMPONENTS

# Each rule, with the roles of the cells it reads; harness/analysis/claims/*_rules.py have the code.
RULES: dict[str, tuple[str, ...]] = {
    "identical": ("it",),  # and "also", another cell of the class that the claim is about
    "varies": ("it",),
    "refused": ("it",),
    "cured": ("untreated", "treated"),
    "unequal": ("one", "other"),
    "equal": ("one", "other"),
    "facts": (),  # its facts name the cells
    "fact_cured": ("untreated", "treated"),  # with one fact, of which the path counts
    "spread_at_most": ("it",),
    "spread_above": ("it",),
    "grows": ("it",),
    "spread_larger": ("one", "other"),
    "not_dearer": ("it",),
    "wider_relatively": ("it",),
    "moves_more": ("one", "other"),
    "agree_at_first": ("it",),
    "faster_each": ("one", "other"),
}
TIMED_RULES = ("not_dearer", "faster_each")
LIMITED_RULES = ("spread_at_most", "spread_above", "not_dearer", "agree_at_first")
NEEDS = ("any", "cpu", "cuda")


@dataclass(frozen=True)
class Fact:
    """A value that a scenario reports, and the condition it must meet for the claim to hold."""

    cell: str  # a role
    path: str  # dotted, into nested facts; [] stands for every entry of a list
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
    cells: dict[str, str] = field(default_factory=dict)  # role to overrides, or to cell id
    facts: tuple[Fact, ...] = ()
    limit: float | None = None  # for LIMITED_RULES, which compare with a number
    # For `varies` and `cured`: what must diverge first, such as `grads`. Generators (`rng`) do not
    # count: unseeded ones always differ before anything uses them.
    component: str = ""
    published: str = ""  # the figure in the source
    scope: str = ""  # what the source speaks of: network, device, framework and number of runs
    runs: int | None = None  # trainings that the published figure is about; we compare as many
    own: bool = False  # our variant of a claim, or our answer to it: no write-up says it
    sentence: str = ""  # name of the published sentence, if several claims are about it

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Claim:
        """Raises UsageError, naming the claim, if a field, rule, role or component is invalid."""
        name = document.get("name", "?")
        try:
            facts = tuple(Fact(**fact) for fact in document.get("facts", ()))
            claim = cls(**{**document, "facts": facts})
        except TypeError as error:
            raise UsageError(f"claim '{name}': {error}") from error
        claim._validate()
        return claim

    def _validate(self) -> None:
        if self.rule not in RULES:
            raise UsageError(
                f"claim '{self.name}': rule '{self.rule}' must be one of {', '.join(RULES)}"
            )
        if self.needs not in NEEDS:
            raise UsageError(
                f"claim '{self.name}': needs '{self.needs}' must be one of {', '.join(NEEDS)}"
            )
        roles = {*RULES[self.rule], *(fact.cell for fact in self.facts)}
        further = {role for role in self.cells if self.rule == "identical" and role == "also"}
        if roles | further != self.cells.keys():
            raise UsageError(
                f"claim '{self.name}' names the cells {sorted(self.cells)}, but its "
                f"rule reads {sorted(roles)}"
            )
        if self.rule in LIMITED_RULES and self.limit is None:
            raise UsageError(f"claim '{self.name}': rule '{self.rule}' needs a limit")
        if self.component and self.component not in COMPONENTS:
            raise UsageError(
                f"claim '{self.name}': component '{self.component}' must be one of "
                f"{', '.join(COMPONENTS)}"
            )

    def applies_to(self, device: str) -> bool:
        """Whether the claim is about the study's kind of device."""
        return self.needs in ("any", device.partition(":")[0])
