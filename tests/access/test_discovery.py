"""Home Assistant as a user of a bridge with users: an observer who reads what the daemon tells it, and can stop."""

from __future__ import annotations

import asyncio
import json

import pytest

from .site import PREFIX, Site, command, daemon_at

pytestmark = pytest.mark.mosquitto

TOPIC = "homeassistant/device/picobridge_lab/config"


async def test_an_observer_finds_the_devices_and_can_stop(site: Site) -> None:
    with site.config.open("a") as file:
        file.write("[home_assistant]\ndiscovery = true\n")
    assert (
        await command("broker-config", site.config, "--out", site.files, "--port", str(site.port), "--passwords") == 0
    )
    await asyncio.to_thread(site.broker.stop)
    await asyncio.to_thread(site.broker.start)
    async with daemon_at(site), site.connected("eve") as eve:
        await eve.subscribe("homeassistant/#", qos=1)
        async with asyncio.timeout(10):
            async for message in eve.messages:
                if str(message.topic) == TOPIC:
                    break
        button = json.loads(bytes(message.payload))["components"]["stop"]  # type: ignore[arg-type]
        await eve.subscribe(f"{PREFIX}/events", qos=1)
        await eve.publish(button["command_topic"], button["payload_press"], qos=button["qos"])
        async with asyncio.timeout(10):
            async for message in eve.messages:
                if (
                    str(message.topic) == f"{PREFIX}/events"
                    and "safe state" in json.loads(bytes(message.payload))["text"]
                ):  # type: ignore[arg-type]
                    break
        said = await site.pub("eve", TOPIC, "-m", "{}")
        assert "ot authorized" in said, "nobody but the daemon tells Home Assistant of devices"
