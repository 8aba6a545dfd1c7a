"""Telegraf's configuration against what the daemon publishes. Telegraf itself could not be had; what its documentation
says of its JSON parser and its topics is applied here by hand."""

from __future__ import annotations

import json
import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt

from tests.bridge.listener import listen
from tests.client.conftest import BenchMaker

FILE = Path(__file__).parents[2] / "examples" / "telegraf" / "telegraf.conf"
CONFIG = tomllib.loads(FILE.read_text(encoding="utf-8"))
(INPUT,) = CONFIG["inputs"]["mqtt_consumer"]
(TOPICS,) = INPUT["topic_parsing"]
#: The layout of Go's time package for RFC 3339; fractions of a second are accepted behind the seconds.
RFC3339 = "2006-01-02T15:04:05Z07:00"


def point(topic: str, payload: bytes) -> tuple[str, dict[str, str], dict[str, Any], datetime]:
    """Measurement, tags, fields and time, as Telegraf makes them of a message."""
    message = json.loads(payload)
    levels = topic.split("/")
    places = TOPICS["measurement"].split("/")
    measurement = levels[places.index("measurement")]
    tags = {tag: level for tag, level in zip(TOPICS["tags"].split("/"), levels, strict=True) if tag != "_"}
    assert INPUT["json_time_format"] == RFC3339
    time = datetime.fromisoformat(message.pop(INPUT["json_time_key"]))
    fields: dict[str, Any] = {}
    for name, value in message.items():
        assert not isinstance(value, dict | list), f"{name} is not flat"
        if name in INPUT["tag_keys"]:
            tags |= {} if value is None else {name: str(value)}
        elif isinstance(value, str):
            assert name in INPUT["json_string_fields"] or value in ("Infinity", "-Infinity"), f"{name} would be lost"
            fields[name] = value
        elif value is not None and not isinstance(value, bool):
            fields[name] = float(value)
    return measurement, tags, fields, time


async def test_every_device_gives_a_point(bench: BenchMaker) -> None:
    (topic_filter,) = INPUT["topics"]
    assert topic_filter == TOPICS["topic"]
    async with bench("pstat", "stage", "tip", "relays") as b, listen(b.daemon.broker, topic_filter) as listener:
        await b.lab.pstat.galvanostatic(current_a=1e-12, duration_s=2.0)
        await b.lab.relays.route()
        for device in ("pstat", "stage", "tip", "relays"):
            await listener.json(b.daemon.topics.latest(device))
    points = [point(str(m.topic), bytes(m.payload)) for m in listener.messages]  # type: ignore[arg-type]
    assert {measurement for measurement, *_ in points} == {"latest"}
    assert {tags["bridge"] for _, tags, *_ in points} == {"lab"}
    newest = {tags["device"]: fields for _, tags, fields, _ in points}
    assert newest["pstat"].keys() >= {"time_s", "voltage_v", "current_a", "index"}
    assert newest["stage"].keys() == {"x_m", "y_m", "z_m", "tilt_deg", "rotation_deg"}
    assert newest["relays"] == {"route": "open"}
    assert {time.utcoffset() for *_, time in points} == {timedelta(0)}
    assert any("run" in tags for _, tags, *_ in points), "samples of a run are found by its name"


async def test_a_gauge_gives_a_point(bench: BenchMaker) -> None:
    async with bench("gauge") as b, listen(b.daemon.broker, *INPUT["topics"]) as listener:
        await listener.json(b.daemon.topics.latest("gauge"))
    (message, *_) = listener.messages
    _, tags, fields, _ = point(str(message.topic), bytes(message.payload))  # type: ignore[arg-type]
    assert tags == {"bridge": "lab", "device": "gauge"}
    assert fields["status"] == "ok"
    assert fields["pressure_pa"] > 0


def test_only_the_topics_that_are_meant_are_heard() -> None:
    topic = aiomqtt.Topic("picobridge/lab/devices/pstat/latest")
    assert topic.matches(INPUT["topics"][0])
    assert not aiomqtt.Topic("picobridge/lab/devices/pstat/samples").matches(INPUT["topics"][0])
