"""What a rule found, and the error that says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drivers.errors import InterlockViolated
from drivers.plain import to_plain

from .acts import Act
from .condition import Verdict
from .rules import Rule


@dataclass(frozen=True, slots=True)
class Violation:
    """An act that a rule forbids now."""

    act: Act
    rule: Rule
    verdict: Verdict

    def __str__(self) -> str:
        return f"rule {self.rule.id} ({self.rule.text}): {self.verdict.why}"

    def to_dict(self) -> dict[str, Any]:
        """JSON values: the rule, each input with value and age, what would satisfy it."""
        plain: dict[str, Any] = to_plain(
            {
                "rule": self.rule.id,
                "text": self.rule.text,
                "why": self.verdict.why,
                "inputs": [seen.to_dict() for seen in self.verdict.seen],
                "needs": self.verdict.needs,
            }
        )
        return plain


def refusal(violations: Sequence[Violation]) -> InterlockViolated:
    """One error for all that forbid an act. `violations` is not empty."""
    act = violations[0].act
    return InterlockViolated(
        f"forbidden by {'; and by '.join(map(str, violations))}",
        device=act.device,
        operation=act.method,
        hint="Needed: " + "; ".join(dict.fromkeys(violation.verdict.needs for violation in violations)) + ".",
        rules=[violation.to_dict() for violation in violations],
    )


@dataclass(frozen=True, slots=True)
class Broken:
    """An act under way that a rule forbids, and what the rule says is to be done: `refuse` (nothing but telling),
    `stop` (the device), `safe_state` (of the group, with a latched fault). `since_s` is how long it has been so."""

    violation: Violation
    since_s: float

    @property
    def act(self) -> Act:
        return self.violation.act

    @property
    def reaction(self) -> str:
        return self.violation.rule.on_violation

    @property
    def error(self) -> InterlockViolated:
        return refusal([self.violation])
