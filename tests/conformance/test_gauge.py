"""Gauges: a number or the reason why there is none."""

from __future__ import annotations

import math
from typing import Any

import pytest

from drivers.interfaces import GaugeStatus
from tests.near import near

from .rig import Bench

pytestmark = pytest.mark.conformance(interface="gauge")


async def test_a_reading_is_valid_or_says_why_not(device: Any, bench: Bench, note: Any) -> None:
    for _ in range(3):
        reading = await device.pressure()
        assert isinstance(reading.status, GaugeStatus)
        assert reading.valid == (reading.status is GaugeStatus.OK and 0 < reading.pressure_pa < math.inf)
        if reading.status not in (GaugeStatus.OK, GaugeStatus.UNDERRANGE, GaugeStatus.OVERRANGE):
            assert math.isnan(reading.pressure_pa)
    note("pressure.status", reading.status.value)


@pytest.mark.conformance(interface="gauge", hooks=True)
@pytest.mark.parametrize("pressure_pa", [3.2e-7, 5e-4, 0.1, 1234.5])
async def test_the_pressure_is_in_pascal(device: Any, bench: Bench, pressure_pa: float) -> None:
    world: Any = bench.hooks.world  # type: ignore[union-attr]
    world.chamber.pressure_pa = pressure_pa
    reading = await device.pressure()
    assert reading.valid
    assert reading.pressure_pa == near(pressure_pa, rel=1e-4)
