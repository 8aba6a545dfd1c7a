"""The set points of a technique that has many, one an interval: what a host's loop hands to its source."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from ..techniques import CurrentSequence, CyclicVoltammetry, Technique, VoltageSequence

Stepped = CyclicVoltammetry | CurrentSequence | VoltageSequence


def set_points(technique: Technique) -> Iterator[float] | None:
    """Volts or amperes, the first one included; None for a technique that has only one."""
    if isinstance(technique, CyclicVoltammetry):
        return _sweep(technique)
    if isinstance(technique, CurrentSequence):
        return iter(technique.currents_a)
    if isinstance(technique, VoltageSequence):
        return iter(technique.voltages_v)
    return None


def step_s(technique: Stepped) -> float:
    """How long a set point holds."""
    if isinstance(technique, CyclicVoltammetry):
        return technique.step_v / technique.rate_v_per_s
    return technique.interval_s


def _sweep(technique: CyclicVoltammetry) -> Iterator[float]:
    """Each vertex is one of them, however the step divides the leg."""
    yield technique.begin_v
    corners = [technique.begin_v]
    corners += [technique.vertex1_v, technique.vertex2_v, technique.begin_v] * technique.cycles
    for start, end in itertools.pairwise(corners):
        steps = math.ceil(abs(end - start) / technique.step_v * (1 - 1e-9))
        for index in range(1, steps):
            yield start + math.copysign(index * technique.step_v, end - start)
        if steps:
            yield end
