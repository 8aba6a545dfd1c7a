"""Spectra asked for by a client, over a broker, in the daemon: the client answers the questions, the watch is on."""

from __future__ import annotations

import asyncio
import json

from mocks.world.presets import SHEET_AREA_M2
from tests.client.conftest import BenchMaker, bench
from tests.near import near

__all__ = ["bench"]


async def test_a_sweep_of_the_device_with_its_open_lead(bench: BenchMaker) -> None:
    devices = {"potentiostat": "emstat", "feedthrough": "relays"}
    async with bench("emstat", "relays", cell="sheet", area_m2=SHEET_AREA_M2, noise=False) as b:
        started = await b.lab.start(
            "open-lead", {"route": "cell", "frequency_max": "10 kHz", "frequency_min": "100 Hz"}, devices
        )
        async with asyncio.timeout(30):
            async for state in started.states():
                if state.get("question"):
                    b.rig.world.tip.retract(1e-5)
                    await started.answer("it is lifted")
                    break
            lead = await started.result()
        assert lead["capacitance_f"] == near(100e-12, rel=0.01)
        b.rig.world.tip.touch()
        parameters = {"route": "cell", "frequency_max": "100 kHz", "frequency_min": "0.1 Hz", "area": "0.1 cm2"}
        run = await b.lab.start("impedance", {**parameters, "open_lead": json.dumps(lead)}, devices)
        async with asyncio.timeout(40):
            result = await run.result()
    assert result["verdict"] == "pass", result["reason"]
    f = result["frequency_hz"]
    at = min(range(len(f)), key=lambda n: abs(f[n] - 1e3))
    assert (result["z_real_ohm"][at] ** 2 + result["z_imag_ohm"][at] ** 2) ** 0.5 == near(1181, abs=1.0)
    assert complex(result["z_real_ohm"][-1], result["z_imag_ohm"][-1]) == near(1860 - 505j, abs=1.0)
    assert result["cable"]["taken_off"] is True
    assert (result.get("health") or {}).get("findings", []) == []
