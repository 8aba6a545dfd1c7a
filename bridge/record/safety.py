"""What the interlocks had to say of a run: the part `safety` of its manifest.

rules        every rule as it was when the run began, with its status: in force, set aside (by whom, why), off, absent
statements   what people had stated then where a device cannot tell
notices      protections that the configuration has switched off
judged       by rule: how often it was judged for an act of the run, how often it was violated, when first and last (ns
             since 1970), and what it saw the last time and at the first violation

What was set aside, stated or refused while the run went is among its events.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bridge.safety.acts import Act
from bridge.safety.condition import Verdict
from bridge.safety.rules import Rule
from drivers.plain import to_plain


def at_the_start(state: Mapping[str, Any]) -> dict[str, Any]:
    """`state` is that of `Interlocks`, as the request `rules` has it."""
    return {**{key: to_plain(state[key]) for key in ("rules", "statements", "notices")}, "judged": {}}


def note(safety: dict[str, Any], act: Act, rule: Rule, verdict: Verdict) -> None:
    """A rule was judged. Takes the same memory however often."""
    now_ns = time.time_ns()
    entry = safety["judged"].get(rule.id)
    if entry is None:
        entry = safety["judged"][rule.id] = {
            "text": rule.text,
            "times": 0,
            "violated": 0,
            "first_ns": now_ns,
            "first_violation": None,
        }
    entry["times"] += 1
    entry["last_ns"] = now_ns
    entry["last"] = saw = {"act": act.name, "holds": verdict.ok, "seen": verdict.seen}
    if not verdict.ok:
        entry["violated"] += 1
        if entry["first_violation"] is None:
            entry["first_violation"] = {**saw, "time_ns": now_ns, "why": verdict.why, "needs": verdict.needs}
