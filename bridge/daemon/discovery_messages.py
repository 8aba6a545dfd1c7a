"""What Home Assistant is told so that it finds the devices by itself: a message for each, in its own format.

Sensors, and a button that stops everything; nothing that moves, switches or energises. The format is that of "device
discovery" (https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload), in Home Assistant since 2024.11.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.transfer.topics import Topics

#: A device that is asked once a second and was silent for so long has no value any more.
READING_EXPIRES_S = 30
#: Samples may be far apart; after the last one of a run there is no value, and the one before is not shown for it.
SAMPLE_EXPIRES_S = 600

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Number:
    """A number of `latest`, shown as `unit`, which is `factor` times as small. `kind` is Home Assistant's device class,
    which it has for some units only."""

    key: str
    name: str
    unit: str
    kind: str = ""
    factor: str = ""
    digits: int = 3


@dataclass(frozen=True, slots=True)
class _Text:
    """A word of `latest`."""

    key: str
    name: str


_AXES = tuple(_Number(f"{axis}_m", axis.upper(), "mm", "distance", "1e3", 4) for axis in "xyz")
_VALUES: Mapping[str, tuple[_Number | _Text, ...]] = {
    "potentiostat": (
        _Number("voltage_v", "Voltage", "V", "voltage", digits=4),
        _Number("current_a", "Current", "pA", factor="1e12"),  # its class for currents knows A and mA only
        _Text("run", "Run"),
    ),
    "stage": (*_AXES, _Number("tilt_deg", "Tilt", "°"), _Number("rotation_deg", "Rotation", "°")),
    "manipulator": _AXES,
    "feedthrough": (_Text("route", "Route"),),
    "gauge": (_Number("pressure_pa", "Pressure", "Pa", "pressure", digits=6), _Text("status", "Gauge status")),
}


def discovery_topic(root: str, topics: Topics, device: str = "") -> str:
    """Where Home Assistant looks below its `root` for the bridge, or for one of its devices."""
    bridge = re.sub(r"[^a-zA-Z0-9_-]", "_", topics.prefix)
    return "/".join(level for level in (root, "device", bridge, device, "config") if level)


def device_message(topics: Topics, version: str, device: str, description: Mapping[str, Any]) -> JsonObject:
    """Of one device. `description` is as in the answer to `devices`."""
    latest, state = topics.latest(device), topics.state(device)
    interface = str(description["interface"])
    expires_s = SAMPLE_EXPIRES_S if interface == "potentiostat" else READING_EXPIRES_S
    identity = description["identity"] or {}
    about = {
        "identifiers": [topics.device(device, "info")],
        "name": device,
        "manufacturer": identity.get("make"),
        "model": identity.get("model") or description["driver"],
        "serial_number": identity.get("serial"),
        "sw_version": identity.get("firmware"),
        "via_device": topics.prefix,
    }
    components = {value.key: _value(value, topics, device, expires_s) for value in _VALUES[interface]}
    components["utc"] = {
        "platform": "sensor",
        "unique_id": f"{latest}/utc",
        "name": "Last value",
        "device_class": "timestamp",
        "entity_category": "diagnostic",
        "state_topic": latest,
        "value_template": "{{ value_json.utc }}",
    }
    components["connection"] = {
        "platform": "binary_sensor",
        "unique_id": f"{state}/connection",
        "name": "Connection",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
        "state_topic": state,
        "value_template": "{{ 'ON' if value_json.connection == 'connected' else 'OFF' }}",
        "availability": [_bridge_is_online(topics)],
    }
    connected = "{{ 'online' if value_json.connection == 'connected' else 'offline' }}"
    return {
        "device": {key: text for key, text in about.items() if text},
        "origin": _origin(version),
        "components": components,
        "availability": [_bridge_is_online(topics), {"topic": state, "value_template": connected}],
        "availability_mode": "all",
    }


def bridge_message(topics: Topics, version: str) -> JsonObject:
    """Of the bridge itself: how it is, and the button. It sends an empty request, which is always obeyed."""
    health = topics.health
    components: JsonObject = {
        "status": {
            "platform": "sensor",
            "unique_id": f"{health}/status",
            "name": "Status",
            "device_class": "enum",
            "options": ["ok", "degraded", "fault"],
            "state_topic": health,
            "value_template": "{{ value_json.status }}",
            "json_attributes_topic": health,
            "json_attributes_template": "{{ {'reasons': value_json.reasons} | tojson }}",
        },
        "fault": {
            "platform": "binary_sensor",
            "unique_id": f"{health}/fault",
            "name": "Latched fault",
            "device_class": "problem",
            "state_topic": health,
            "value_template": "{{ 'ON' if value_json.faults else 'OFF' }}",
        },
        "runs": {
            "platform": "sensor",
            "unique_id": f"{health}/runs",
            "name": "Runs under way",
            "state_topic": health,
            "value_template": "{{ value_json.runs | count }}",
        },
        "stop": {
            "platform": "button",
            "unique_id": topics.request("stop"),
            "name": "Stop everything",
            "icon": "mdi:stop-circle",
            "command_topic": topics.request("stop"),
            "payload_press": "",
            "qos": 1,
        },
    }
    return {
        "device": {"identifiers": [topics.prefix], "name": topics.prefix, "model": "picobridge", "sw_version": version},
        "origin": _origin(version),
        "components": components,
        "availability": [_bridge_is_online(topics)],
    }


def _value(value: _Number | _Text, topics: Topics, device: str, expires_s: int) -> JsonObject:
    """What is not there, null or infinite has no value, which Home Assistant calls unknown."""
    latest, key = topics.latest(device), f"value_json.{value.key}"
    fields: JsonObject = {
        "platform": "sensor",
        "unique_id": f"{latest}/{value.key}",
        "name": value.name,
        "state_topic": latest,
        "expire_after": expires_s,
    }
    if isinstance(value, _Text):
        return {**fields, "value_template": f"{{{{ {key} }}}}"}
    shown = f"({key} * {value.factor}) | round(6)" if value.factor else key
    fields |= {
        "value_template": f"{{{{ ({shown}) if {key} is number else None }}}}",
        "unit_of_measurement": value.unit,
        "state_class": "measurement",
        "suggested_display_precision": value.digits,
    }
    return {**fields, "device_class": value.kind} if value.kind else fields


def _bridge_is_online(topics: Topics) -> JsonObject:
    return {"topic": topics.status, "value_template": "{{ value_json.status }}"}


def _origin(version: str) -> JsonObject:
    return {"name": "picobridge", "sw_version": version}
