"""A run whose limits cannot be judged, because what they judge is no number, ends as an overload does."""

from __future__ import annotations

import math

import numpy as np
import pytest

from drivers.potentiostats.limits import OVERLOAD_SAMPLES, LimitWatch
from drivers.samples import EndReason, Flag
from drivers.techniques import Galvanostatic, OpenCircuit, Potentiostatic, Technique

CHARGE = Galvanostatic(current_a=1e-9, duration_s=1e6, voltage_max_v=4.2)
COUNTED = Galvanostatic(current_a=1e-9, duration_s=1e6, charge_limit_c=1.0)
HOLD = Potentiostatic(voltage_v=4.2, duration_s=1e6, current_limit_a=1e-6)


def ended_by(technique: Technique, voltage_v: list[float], current_a: list[float], size: int) -> EndReason | None:
    watch = LimitWatch(technique)
    times, flags = np.arange(1, len(voltage_v) + 1) * 0.1, np.full(len(voltage_v), int(Flag.INVALID), np.uint32)
    voltages, currents = np.array(voltage_v), np.array(current_a)
    for begin in range(0, len(times), size):
        part = slice(begin, begin + size)
        reason = watch.check_samples(times[part], voltages[part], currents[part], flags[part])
        if reason is not None:
            return reason
    return None


@pytest.mark.parametrize("size", [1, OVERLOAD_SAMPLES, 100])
@pytest.mark.parametrize(
    ("technique", "voltage_v", "current_a", "expected"),
    [
        (CHARGE, math.nan, 1e-9, EndReason.OVERLOAD),
        (CHARGE, 3.0, math.nan, None),
        (COUNTED, math.nan, 1e-9, None),
        (COUNTED, 3.0, math.nan, EndReason.OVERLOAD),
        (HOLD, math.nan, 1e-9, None),
        (HOLD, 4.2, math.nan, EndReason.OVERLOAD),
        (OpenCircuit(duration_s=1e6), math.nan, math.nan, None),
    ],
)
def test_a_run_that_nobody_can_watch_ends(
    technique: Technique, voltage_v: float, current_a: float, expected: EndReason | None, size: int
) -> None:
    assert ended_by(technique, [voltage_v] * OVERLOAD_SAMPLES, [current_a] * OVERLOAD_SAMPLES, size) is expected


@pytest.mark.parametrize("size", [1, 100])
def test_a_number_in_between_begins_the_count_again(size: int) -> None:
    few = [math.nan] * (OVERLOAD_SAMPLES - 1)
    voltage_v = [*few, 3.0, *few]
    assert ended_by(CHARGE, voltage_v, [1e-9] * len(voltage_v), size) is None
