"""What Home Assistant is told on its discovery topics, and what its templates make of our messages.

The messages of the rig of this test were put through Home Assistant's own schemas by hand; docs/tools.md says how.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import pytest

from bridge.daemon.config import BrokerConfig, Config, HomeAssistantConfig
from bridge.daemon.daemon import Daemon
from bridge.daemon.discovery_messages import device_message
from bridge.demo.rig import PLACES, simulated_rig
from bridge.transfer.topics import Topics
from mocks.world import World
from tests.near import near

from .conftest import Mosquitto
from .listener import Listener, listen
from .test_reload import lab

ROOT, PREFIX = "homeassistant/device/picobridge_lab", "picobridge/lab"
PSTAT = {"potentiostat": "pstat"}
ON = "[home_assistant]\ndiscovery = true"


async def told(listener: Listener, device: str = "", *, model: str = "") -> Any:
    """The message of a device, or of the bridge; with `model` the one that names it."""
    topic = f"{ROOT}/{device}/config" if device else f"{ROOT}/config"
    return await listener.json(topic, lambda message: model in message["device"]["model"])


def shown(template: str, message: Any) -> str:
    """What Home Assistant has for a template: a lenient Jinja, the text "None" being no value."""
    return jinja2.Environment().from_string(template).render(value_json=message)


def shown_of(message: Any, payloads: dict[str, Any]) -> dict[str, str]:
    """By component."""
    return {
        name: shown(component["value_template"], payloads[component["state_topic"]])
        for name, component in message["components"].items()
        if "state_topic" in component
    }


async def test_each_device_shows_its_newest_values(tmp_path: Path) -> None:
    places = {name: place for name, place in PLACES.items() if name != "gauge"}  # a run would have to wait for it
    async with simulated_rig(World(), places) as rig:
        config = Config(
            state_dir=tmp_path / "state",
            broker=BrokerConfig(port=0),
            devices=rig.devices,
            home_assistant=HomeAssistantConfig(),
        )
        async with (
            Daemon(config, clock_for=rig.clock_for) as daemon,
            listen(daemon.broker, f"{PREFIX}/#", "homeassistant/#") as listener,
        ):
            technique = {"technique": "galvanostatic", "current_a": "10 pA", "duration_s": "2 s"}
            run = {"procedure": "technique", "parameters": technique, "devices": {"potentiostat": "pstat"}}
            await listener.request(PREFIX, "run", run)
            await listener.json(f"{PREFIX}/devices/pstat/latest", lambda latest: latest["index"] == 19)
            messages = {"": await told(listener)}
            for name in places:
                messages[name] = await told(listener, name, model="SmartSEM" if name == "stage" else "")
            for name in ("stage", "tip", "relays"):
                await listener.json(f"{PREFIX}/devices/{name}/latest")
            await listener.json(f"{PREFIX}/health")
    newest = {str(m.topic): json.loads(bytes(m.payload)) for m in listener.messages if _is_json(m)}  # type: ignore[arg-type]
    values = {name: shown_of(messages[name], newest) for name in ("", "pstat", "stage", "tip", "relays")}
    latest = newest[f"{PREFIX}/devices/pstat/latest"]
    assert float(values["pstat"]["voltage_v"]) == latest["voltage_v"]
    assert abs(float(values["pstat"]["current_a"]) * 1e-12 - latest["current_a"]) < 1e-18
    assert values["pstat"]["utc"] == latest["utc"]
    assert values["pstat"]["connection"] == "ON"
    assert float(values["stage"]["x_m"]) / 1e3 == newest[f"{PREFIX}/devices/stage/latest"]["x_m"]
    assert float(values["stage"]["tilt_deg"]) == newest[f"{PREFIX}/devices/stage/latest"]["tilt_deg"]
    assert float(values["tip"]["z_m"]) / 1e3 == newest[f"{PREFIX}/devices/tip/latest"]["z_m"]
    assert values["relays"]["route"] == "open"
    health = newest[f"{PREFIX}/health"]
    assert values[""] == {"status": health["status"], "fault": "OFF", "runs": str(len(health["runs"]))}
    by_identifier = [component["unique_id"] for each in messages.values() for component in each["components"].values()]
    assert len(by_identifier) == len(set(by_identifier))
    commanding = [
        component
        for each in messages.values()
        for component in each["components"].values()
        if component["platform"] not in ("sensor", "binary_sensor")
    ]
    assert [each["command_topic"] for each in commanding] == [f"{PREFIX}/request/stop"]
    assert "command_topic" not in json.dumps([messages[name] for name in places])
    for each in messages.values():
        for availability in each["availability"]:
            assert shown(availability.get("value_template", ""), newest[availability["topic"]]) in ("online", "offline")


def _is_json(message: Any) -> bool:
    return bytes(message.payload).startswith(b"{")


def test_what_is_not_known_has_no_value() -> None:
    description = {"interface": "potentiostat", "driver": "tdstat", "identity": None}
    components = device_message(Topics(PREFIX), "1", "pstat", description)["components"]
    for impedance in ({"frequency_hz": 1.0}, {"voltage_v": None, "current_a": "Infinity"}):
        assert shown(components["voltage_v"]["value_template"], impedance) == "None"
        assert shown(components["current_a"]["value_template"], impedance) == "None"


async def test_the_button_stops_everything(tmp_path: Path) -> None:
    async with lab(tmp_path, "pstat") as site:
        site.write("pstat", more=ON)
        await site.reload()
        async with listen(site.daemon.broker, "homeassistant/#") as listener:
            button = (await told(listener))["components"]["stop"]
        run = (await site.request("run", procedure="open-circuit", parameters={"duration_s": "1 h"}, devices=PSTAT))[
            "run"
        ]
        await site.listener.json(f"{PREFIX}/runs/{run}/state", lambda state: state["status"] == "running")
        await site.listener.client.publish(button["command_topic"], button["payload_press"], qos=button["qos"])
        result = await site.listener.json(f"{PREFIX}/runs/{run}/result")
        assert result["status"] == "aborted"


async def test_devices_that_go_are_taken_back(tmp_path: Path) -> None:
    async with lab(tmp_path, "pstat", "relays") as site:
        site.write("pstat", "relays", more=ON)
        assert (await site.reload())["applied"] == ["[home_assistant]: added"]
        async with listen(site.daemon.broker, "homeassistant/#", "house/#") as listener:
            for device in ("pstat", "relays"):
                await told(listener, device)
            site.write("pstat", more=ON)
            await site.reload()
            await listener.until(lambda: listener.of(f"{ROOT}/relays/config")[-1] == b"")
            site.write("pstat", more=f'{ON}\nprefix = "house"')
            assert (await site.reload())["applied"] == ["[home_assistant] prefix is house, was homeassistant"]
            moved = ROOT.replace("homeassistant", "house")
            await listener.json(f"{moved}/pstat/config")
            await listener.until(lambda: listener.of(f"{ROOT}/pstat/config")[-1] == b"")
            site.write("pstat")
            assert (await site.reload())["applied"] == ["[home_assistant]: taken out"]
            for topic in (f"{moved}/pstat/config", f"{moved}/config"):
                await listener.until(lambda t=topic: listener.of(t)[-1] == b"")  # type: ignore[misc]


@pytest.mark.mosquitto
async def test_the_next_daemon_takes_back_what_this_one_told(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """The configuration was changed while no daemon ran; the broker remembers."""
    topics = (f"{ROOT}/gauge/config", f"{ROOT}/config")

    def taken_back() -> bool:
        return all(payloads and payloads[-1] == b"" for payloads in map(listener.of, topics))

    async with (
        simulated_rig(World(), {"gauge": PLACES["gauge"]}) as rig,
        listen(mosquitto.address, "homeassistant/#", f"{PREFIX}/#") as listener,
    ):
        told_by: dict[str, Any] = {"broker": BrokerConfig(address=mosquitto.address), "devices": rig.devices}
        config = Config(state_dir=tmp_path / "state", home_assistant=HomeAssistantConfig(), **told_by)
        async with Daemon(config, clock_for=rig.clock_for):
            await listener.json(topics[1])
            pressure = (await listener.json(topics[0]))["components"]["pressure_pa"]
            latest = await listener.json(pressure["state_topic"])
            assert float(shown(pressure["value_template"], latest)) == near(latest["pressure_pa"])
        assert not taken_back(), "a daemon that stops is not one whose devices are gone"
        async with Daemon(replace(config, home_assistant=None), clock_for=rig.clock_for):
            await listener.until(taken_back)
    async with listen(mosquitto.address, "homeassistant/#", f"{PREFIX}/status") as listener:
        await listener.json(f"{PREFIX}/status")
        assert not listener.of(topics[0])
