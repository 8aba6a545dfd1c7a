"""What a rule wants to see before an act is looked at then, and as often as the rule wants."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.daemon import connection
from bridge.safety.interlock_options import InterlockOptions, Thresholds
from drivers.interfaces import GaugeStatus, Pressure

from .conftest import RigMaker
from .fakes import ramp

GALVANOSTATIC = {"technique": "galvanostatic", "current_a": "10 pA", "duration_s": "30 s"}


@pytest.fixture(autouse=True)
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that read its gauge when it was connected and when it began to watch it, and not since."""
    monkeypatch.setattr(connection, "FIRST_READINGS", 1)
    monkeypatch.setattr(connection, "POLL_S", 3600.0)


async def test_three_good_readings_are_had_before_the_source_is_switched_on(rig: RigMaker) -> None:
    async with rig(devices=("pstat", "gauge")) as r:
        r.device("pstat").script = lambda technique: ramp(5)
        run = await r.run(**GALVANOSTATIC)
        assert (await r.result(run))["status"] == "finished"


async def test_a_bad_one_among_them_forbids_it(rig: RigMaker) -> None:
    async with rig(
        devices=("pstat", "gauge"), interlocks=InterlockOptions(thresholds=Thresholds(vacuum_readings=4))
    ) as r:
        gauge = r.device("gauge")
        readings: list[Any] = [gauge.reading, Pressure(0.5, True, GaugeStatus.OK)]

        async def pressure() -> Pressure:
            return readings.pop(0) if len(readings) > 1 else readings[0]

        gauge.pressure = pressure
        run = await r.run(**GALVANOSTATIC)
        result = await r.result(run)
        assert (result["status"], result["error"]["error"]) == ("failed", "InterlockViolated")
        assert "gauge.pressure_pa is 0.5" in result["error"]["message"]
        assert not r.device("pstat").cell_on
