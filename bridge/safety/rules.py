"""Rules as data: which acts they are about, what they require, what happens where it is not so."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from drivers.plain import to_plain

from .acts import Act, Kind
from .condition import Condition, Situation, Verdict

LOG = logging.getLogger("picobridge.safety")

#: What is done about an act under way that a rule forbids (before it begins it is refused, always): nothing but
#: refusing the next; stop the device; bring the group to its safe state and latch a fault.
REACTIONS = ("refuse", "stop", "safe_state")

#: Who may do what, least first.
ROLES = ("observer", "operator", "administrator")

#: Readings of a device that is asked every second may be as old as two such periods.
MAX_AGE_S = 2.0


@dataclass(frozen=True, slots=True)
class Overriding:
    """Who may set a rule aside, and for how long at most, seconds."""

    role: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`kinds`, `interfaces` and `devices` say what it is about: an act of any of the kinds, and of one of the
    interfaces and devices where those are named (empty: any).

    `lasts`: it is looked at as long as the act goes on, and may then be broken for `grace_s`. `off` says why it is not
    in force (empty: it is).
    """

    id: str
    text: str
    requires: Condition
    kinds: frozenset[Kind] = frozenset()
    interfaces: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    max_age_s: float = MAX_AGE_S
    on_violation: str = "refuse"
    lasts: bool = False
    grace_s: float = 0.0
    override: Overriding | None = None
    off: str = ""

    def applies_to(self, act: Act) -> bool:
        """Never to reading, and never to the safe direction: those acts are of no kind."""
        if self.off or not act.kinds:
            return False
        if self.kinds and not self.kinds & act.kinds:
            return False
        if self.interfaces and act.interface not in self.interfaces:
            return False
        return not self.devices or act.device in self.devices

    def judge(self, situation: Situation) -> Verdict:
        """Never raises: a rule that cannot be judged does not hold."""
        try:
            return self.requires.judge(situation)
        except Exception as error:
            LOG.exception("rule %s cannot be judged", self.id)
            return Verdict(False, (), f"it could not be judged: {error!r}", "readings that the rule understands")

    def to_dict(self) -> dict[str, Any]:
        """As the list of rules shows it."""
        override = self.override
        plain: dict[str, Any] = to_plain(
            {
                "id": self.id,
                "text": self.text,
                "kinds": self.kinds,
                "interfaces": self.interfaces,
                "devices": self.devices,
                "requires": self.requires.name,
                "parameters": self.requires,
                "max_age_s": self.max_age_s,
                "on_violation": self.on_violation,
                "lasts": self.lasts,
                "override": None if override is None else {"role": override.role, "seconds": override.seconds},
                "off": self.off or None,
            }
        )
        return plain


@dataclass(frozen=True, slots=True)
class Absent:
    """A rule that this rig has no use for, and why."""

    id: str
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of a rig, in the order in which they are told. `notices` is what must be seen: protections that are not
    there."""

    rules: tuple[Rule, ...]
    absent: tuple[Absent, ...] = ()
    notices: tuple[str, ...] = ()
