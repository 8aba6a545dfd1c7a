"""The interlocks: every rule, asked before an act, right before its bytes go out, and while it lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from drivers.errors import Busy, InvalidValue, Refused

from .acts import Act, Kind
from .condition import Situation, Verdict
from .observations import UNKNOWN, Observations, reads
from .rules import ROLES, Rule, RuleSet
from .violations import Broken, Violation, refusal

#: An act that goes on although it was told to stop is told again after this.
TELL_AGAIN_S = 1.0

#: Kinds that the group's other movers have to wait for.
_OCCUPIES = frozenset({Kind.MOVE, Kind.SWITCH})
_CONNECTS = frozenset({Kind.ENERGISE, Kind.MEASURE})


@dataclass(frozen=True, slots=True)
class Override:
    """A rule set aside for a time: who, in which role, why, until when (monotonic seconds)."""

    rule: str
    by: str
    role: str
    reason: str
    until_s: float


@dataclass(eq=False, slots=True)
class Lasting:
    """An act under way. `broken_since` and `told` are by rule: since when it is broken, when that was told last."""

    act: Act
    broken_since: dict[str, float] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)


class Interlocks:
    """Rules and what is observed. Nothing here waits: between the last check and the first byte nothing can change."""

    def __init__(self, rules: RuleSet, observations: Observations) -> None:
        self.rules = rules
        self.observations = observations
        #: told each verdict about an act, for those who keep them
        self.heard: Callable[[Act, Rule, Verdict], None] = lambda act, rule, verdict: None
        self._by_id = {rule.id: rule for rule in rules.rules}
        self._lasting: list[Lasting] = []
        self._overrides: dict[str, Override] = {}
        for rule in rules.rules:
            rule.requires.prepare(observations)

    # --- before an act ----------------------------------------------------------------------------------------------

    def rules_for(self, act: Act, now: float) -> list[Rule]:
        """Those that are about it and not set aside."""
        if not act.kinds:
            return []
        aside = {one.rule for one in self.overrides(now)}
        return [rule for rule in self.rules.rules if rule.id not in aside and rule.applies_to(act)]

    def check(self, act: Act, now: float) -> list[Violation]:
        """Every rule that forbids it at `now`; none for reading and for the safe direction."""
        found = []
        for rule in self.rules_for(act, now):
            verdict = self._judge(rule, act, now)
            if not verdict.ok:
                found.append(Violation(act, rule, verdict))
        return found

    def _judge(self, rule: Rule, act: Act, now: float) -> Verdict:
        verdict = rule.judge(Situation(act, self.observations, now, rule.max_age_s))
        self.heard(act, rule, verdict)
        return verdict

    def require(self, act: Act, now: float) -> None:
        """Raises `InterlockViolated`, naming each rule, its inputs with their ages, and what would satisfy it."""
        if violations := self.check(act, now):
            raise refusal(violations)

    @contextmanager
    def acting(self, act: Act, clock: Callable[[], float]) -> Iterator[Lasting]:
        """The second check and the act itself, in one: enter it under the device's lock, right before the bytes go out.

        Raises `InterlockViolated`. While the block lasts, the act counts as under way: other movers of its group wait,
        and `poll` looks after it. A technique's cell counts as on from here until somebody has seen it off.
        """
        now = clock()
        self.require(act, now)
        lasting = Lasting(act)
        self._lasting.append(lasting)
        self._begun(act, now)
        try:
            yield lasting
        finally:
            self._lasting.remove(lasting)
            if act.kinds & _OCCUPIES and not self._occupied(act.device):
                self.observations.see(f"{act.device}.moving", False, clock())

    def _begun(self, act: Act, now: float) -> None:
        """What an act makes of what was known before it."""
        if act.kinds & _OCCUPIES:
            self.observations.see(f"{act.device}.moving", True, now)
        if act.kinds & _CONNECTS:  # whoever proves it off says so; until then it is not
            self.observations.see(f"{act.device}.cell", "on", now)
        if act.interface == "manipulator" and Kind.MOVE in act.kinds:  # what was seen of the tip was seen before
            self.observations.withdraw(f"{act.device}.contact")
            self.observations.see(f"{act.device}.inserted", UNKNOWN, now)

    def _occupied(self, device: str) -> bool:
        return any(one.act.device == device and one.act.kinds & _OCCUPIES for one in self._lasting)

    def wanted(self, act: Act, now: float) -> frozenset[tuple[str, str]]:
        """What should be read before the act is checked, as devices and methods: what was never read, is at least half
        as old as its rule allows, or was not yet read often enough. To be asked again after reading, a few times."""
        return reads(
            input
            for rule in self.rules_for(act, now)
            for more in [rule.requires.wants_more(Situation(act, self.observations, now, rule.max_age_s))]
            for input in rule.requires.inputs(act)
            if more or self._is_old(input, now, rule.max_age_s / 2)
        )

    def _is_old(self, input: str, now: float, limit_s: float) -> bool:
        age_s = self.observations.age_s(input, now)
        return age_s is None or age_s >= limit_s

    # --- while it lasts -----------------------------------------------------------------------------------------------

    def under_way(self) -> tuple[Act, ...]:
        return tuple(lasting.act for lasting in self._lasting)

    def while_lasting(self, act: Act, now: float) -> tuple[Rule, ...]:
        """The rules that are looked at as long as an act goes on."""
        return tuple(rule for rule in self.rules_for(act, now) if rule.lasts)

    def watched(self, now: float) -> frozenset[tuple[str, str]]:
        """What has to be read again and again for what is under way, as devices and methods."""
        return reads(
            input
            for lasting in self._lasting
            for rule in self.while_lasting(lasting.act, now)
            for input in rule.requires.inputs(lasting.act)
        )

    def poll(self, now: float) -> list[Broken]:
        """What is under way and may not be: told at once (after the rule's grace), and again every `TELL_AGAIN_S`."""
        found = []
        for lasting in self._lasting:
            for rule in self.while_lasting(lasting.act, now):
                verdict = self._judge(rule, lasting.act, now)
                if verdict.ok:
                    lasting.broken_since.pop(rule.id, None)
                    lasting.told.pop(rule.id, None)
                    continue
                since_s = now - lasting.broken_since.setdefault(rule.id, now)
                told_s = lasting.told.get(rule.id)
                if since_s >= rule.grace_s and (told_s is None or now - told_s >= TELL_AGAIN_S):
                    lasting.told[rule.id] = now
                    found.append(Broken(Violation(lasting.act, rule, verdict), since_s))
        return found

    # --- other rules ------------------------------------------------------------------------------------------------

    def judged_otherwise(self, rules: RuleSet) -> list[Act]:
        """What is under way that `rules` would look after otherwise than the rules in force do."""
        return [act for act in self.under_way() if _looking_after(self.rules, act) != _looking_after(rules, act)]

    def use(self, rules: RuleSet) -> None:
        """From now on; what is admitted and has not begun is checked by them. A rule stays set aside if it is there
        still, and may be.

        Raises `Busy`, and changes nothing, while something is under way that they would look after otherwise.
        """
        if acts := self.judged_otherwise(rules):
            doing = " and ".join(act.name for act in acts)
            raise Busy(f"other rules would be about {doing}, under way", hint="Change the rules when it has ended.")
        allowed = {id: rule.override for id, rule in self._by_id.items()}
        self.rules = rules
        self._by_id = {rule.id: rule for rule in rules.rules}
        self._overrides = {
            id: one
            for id, one in self._overrides.items()
            if id in self._by_id and self._by_id[id].override == allowed[id]
        }
        for rule in rules.rules:
            rule.requires.prepare(self.observations)

    # --- setting a rule aside -----------------------------------------------------------------------------------------

    def override(self, rule: str, *, by: str, role: str, seconds: float, reason: str, now: float) -> Override:
        """Set a rule aside until `now + seconds`. To be audited before, and shown: it is in `state`.

        Raises `InvalidValue` (no such rule, no name, no reason, too long) and `Refused` (not this rule, not this role).
        """
        found = self._by_id.get(rule)
        if found is None or found.off:
            raise InvalidValue(f"rule is {rule!r}; accepted: {', '.join(self._overridable()) or 'none'}")
        if found.override is None:
            raise Refused(f"rule {rule} ({found.text}) cannot be set aside", hint="Make it hold instead.")
        if role not in ROLES or ROLES.index(role) < ROLES.index(found.override.role):
            raise Refused(f"rule {rule} is set aside by an {found.override.role} only; {by or 'you'} acts as {role}")
        if not by or not reason.strip():
            raise InvalidValue("by and reason are needed: they stand in the audit")
        if not 0 < seconds <= found.override.seconds:
            raise InvalidValue(f"seconds is {seconds:g}; accepted: above 0, up to {found.override.seconds:g} s")
        made = Override(rule, by, role, reason.strip(), now + seconds)
        self._overrides[rule] = made
        return made

    def end_override(self, rule: str) -> None:
        """The rule is in force again; nothing happens where it was."""
        self._overrides.pop(rule, None)

    def overrides(self, now: float) -> tuple[Override, ...]:
        """Those that count at `now`."""
        self._overrides = {rule: one for rule, one in self._overrides.items() if now < one.until_s}
        return tuple(self._overrides.values())

    def _overridable(self) -> list[str]:
        return [rule.id for rule in self.rules.rules if rule.override is not None and not rule.off]

    # --- what is shown ----------------------------------------------------------------------------------------------

    def state(self, now: float) -> dict[str, Any]:
        """JSON values: notices, the rules with what became of them, what is set aside and what people stated."""
        aside = {one.rule: one for one in self.overrides(now)}
        rules = [
            rule.to_dict()
            | {"status": "off" if rule.off else "set aside" if rule.id in aside else "in force"}
            | ({"set_aside": self._aside(aside[rule.id], now)} if rule.id in aside else {})
            for rule in self.rules.rules
        ]
        absent = [{"id": one.id, "text": one.text, "status": "absent", "off": one.why} for one in self.rules.absent]
        return {
            "notices": list(self.rules.notices),
            "rules": rules + absent,
            "under_way": [act.name for act in self.under_way()],
            "statements": [
                {"input": said.input, "value": said.value, "by": said.by, "left_s": said.until_s - now}
                for said in self.observations.statements(now)
            ],
        }

    @staticmethod
    def _aside(one: Override, now: float) -> dict[str, Any]:
        return {"by": one.by, "role": one.role, "reason": one.reason, "left_s": one.until_s - now}


def _looking_after(rules: RuleSet, act: Act) -> dict[str, tuple[Any, ...]]:
    """What the rules do about an act as long as it goes on, by rule."""
    return {
        rule.id: (rule.requires, rule.max_age_s, rule.on_violation, rule.grace_s, rule.override)
        for rule in rules.rules
        if rule.lasts and rule.applies_to(act)
    }
