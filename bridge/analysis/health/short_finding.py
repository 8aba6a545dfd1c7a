"""The finding that all the short detectors make."""

from __future__ import annotations

import math

import numpy as np

from .detector import Finding, Samples, Situation

_RECLEAN = "Disconnect. Clean the cross-section again, enter the new length and width, and repeat the short test."


def short_finding(
    samples: Samples,
    at: int,
    since_s: float,
    situation: Situation,
    text: str,
    through_a: float = 0.0,
    **evidence: float,
) -> Finding:
    """Kind `short`, told at sample `at`, begun at `since_s`; `through_a` flows through it beside the set current."""
    now = float(samples.time_s[at])
    first = int(np.searchsorted(samples.time_s[: at + 1], since_s))
    return Finding(
        kind="short",
        from_s=since_s,
        to_s=now,
        first_index=samples.index + first * samples.stride,
        next_index=samples.index + (at + 1) * samples.stride,
        severity="error",
        charge_c=(abs(situation.set_a or 0.0) + through_a) * (now - since_s),
        delay_s=now - since_s,
        action=_RECLEAN,
        text=text,
        evidence=evidence,
    )


def noise_v(samples: Samples, at: int, window: int = 15) -> float:
    """Standard deviation of a voltage sample up to sample `at`, from second differences (which see no slope)."""
    voltage = samples.voltage_v[max(0, at - window) : at + 1]
    if len(voltage) < 5:
        return 0.0
    # the median of |N(0, s)| is 0.6745 s, a second difference has sqrt(6) of a sample's s
    return float(np.median(np.abs(np.diff(voltage, 2)))) / (0.6745 * math.sqrt(6.0))
