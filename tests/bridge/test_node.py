"""mqtt.js subscribes and an npm CBOR library decodes: programs that nobody here wrote."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from bridge.daemon.config import BrokerConfig
from tests.client.conftest import BenchMaker, bench

from .conftest import Mosquitto

__all__ = ["bench"]

NODE = Path(__file__).parents[1] / "node"


@pytest.mark.node
@pytest.mark.mosquitto
async def test_mqtt_js_sees_every_sample_to_the_bit(bench: BenchMaker, mosquitto: Mosquitto) -> None:
    async with bench("pstat", broker=BrokerConfig(address=mosquitto.address)) as b:
        subscriber = await asyncio.create_subprocess_exec(
            *("node", str(NODE / "subscribe.mjs"), str(mosquitto.address), b.daemon.topics.samples("pstat"), "20"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert subscriber.stdout is not None
        assert await subscriber.stdout.readline() == b"subscribed\n"
        block = await b.lab.pstat.galvanostatic(current_a=1e-12, duration_s=2.0)
        assert len(block) == 20
        seen = json.loads(await subscriber.stdout.readline())
        assert await subscriber.wait() == 0
    assert (seen["received"], seen["missing"]) == (20, 0)
    assert seen["units"] == {"time_s": "s", "voltage_v": "V", "current_a": "A", "flags": "1"}
    for name in ("time_s", "voltage_v", "current_a", "flags"):
        assert np.array_equal(np.array(seen["columns"][name]), block[name])
