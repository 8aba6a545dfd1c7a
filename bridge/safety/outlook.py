"""What may be done with a rig now: what people think of doing with each device, judged without being done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.plain import to_plain

from .acts import Act, Kind
from .cell_conditions import CELL_MAX_AGE_S
from .condition import ALWAYS, Situation
from .conditions import SteadyBelow
from .engine import Interlocks
from .observations import READ_BY, Observations, Seen
from .rules import MAX_AGE_S
from .violations import Violation

#: By interface: what one thinks of, the method that stands for it, and its kinds. Where a move leads is not known yet,
#: so a soft limit forbids none of these; a source that is switched on is.
_THOUGHT_OF: Mapping[str, Mapping[str, tuple[str, frozenset[Kind]]]] = {
    "stage": {
        "move": ("move_by", frozenset({Kind.MOVE})),
        "tilt": ("move_by", frozenset({Kind.MOVE, Kind.TILT})),
    },
    "manipulator": {"move": ("move_by", frozenset({Kind.MOVE}))},
    "feedthrough": {"switch": ("select", frozenset({Kind.SWITCH}))},
    "potentiostat": {"energise": ("galvanostatic", frozenset({Kind.ENERGISE}))},
}


def thought_of(devices: Mapping[str, str]) -> list[tuple[str, Act]]:
    """What it is called and the act, for every device. `devices`: name to interface."""
    return [
        (name, Act(device=device, interface=interface, method=method, kinds=kinds))
        for device, interface in devices.items()
        for name, (method, kinds) in _THOUGHT_OF.get(interface, {}).items()
    ]


class Outlook:
    """`acts` as `thought_of` gives them, judged by the rules at `now`."""

    def __init__(self, interlocks: Interlocks, acts: list[tuple[str, Act]], now: float) -> None:
        self._interlocks = interlocks
        self._acts = acts
        self._now = now
        self._seen: dict[str, Seen] = {}
        self._violations = [self._judge(act) for _, act in acts]

    def acts(self) -> list[dict[str, Any]]:
        """JSON values, one for each: the rules that forbid it, each with why and what it needs."""
        return [
            {
                "device": act.device,
                "act": name,
                "allowed": not violations,
                "rules": [violation.to_dict() for violation in violations],
            }
            for (name, act), violations in zip(self._acts, self._violations, strict=True)
        ]

    def inputs(self) -> list[dict[str, Any]]:
        """JSON values: every input with its value and age, and what is wrong with it, by the strictest rule that looked
        at it; of what none looks at, by the age that rules accept unless they say otherwise."""
        observations = self._interlocks.observations
        rest = {name: _look(observations, name, self._now) for name in observations.known() if name not in self._seen}
        plain: list[dict[str, Any]] = to_plain([seen.to_dict() for _, seen in sorted((self._seen | rest).items())])
        return plain

    def windows(self) -> list[dict[str, Any]]:
        """JSON values: the limits with hysteresis, and whether they are held."""
        conditions = dict.fromkeys(
            rule.requires
            for rule in self._interlocks.rules.rules
            if isinstance(rule.requires, SteadyBelow) and not rule.off
        )
        return [
            {
                "input": condition.input,
                "on_at_most": condition.on_at_most,
                "off_above": condition.off_above,
                "open": self._interlocks.observations.watch(condition.input, condition.limits).is_open,
            }
            for condition in conditions
        ]

    def _judge(self, act: Act) -> list[Violation]:
        found = []
        for rule in self._interlocks.rules_for(act, self._now):
            verdict = rule.judge(Situation(act, self._interlocks.observations, self._now, rule.max_age_s))
            for seen in verdict.seen:
                known = self._seen.get(seen.input)
                if known is None or (known.ok and not seen.ok):
                    self._seen[seen.input] = seen
            if not verdict.ok:
                found.append(Violation(act, rule, verdict))
        return found


def _look(observations: Observations, name: str, now: float) -> Seen:
    quantity = name.rpartition(".")[2]
    if quantity == "cell":
        return observations.look(name, now, CELL_MAX_AGE_S)
    return observations.look_or_stated(name, now, MAX_AGE_S if quantity in READ_BY else ALWAYS)
