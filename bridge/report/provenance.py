"""Where a record comes from, for the end of its report: who, with what, under which rules, and how to do it again."""

from __future__ import annotations

import pprint
from collections.abc import Iterator, Mapping
from typing import Any

from bridge.analysis.formatting import duration
from bridge.record import RunRecord

from .plain_page import value, words
from .summary import Summary, Table, when

#: So many events are shown; the rest is in their file.
_EVENTS = 200
#: What a report consists of.
MADE = (".html", ".png", ".svg")


def provenance(record: RunRecord) -> Summary:
    content = record.manifest
    tables = [
        Table("Devices", ("device", "role", "instrument", "driver", "address", "calibration"), list(_devices(content))),
        Table(
            "Parameters",
            ("parameter", "value"),
            [(words(key), value(key, v)) for key, v in content["parameters"].items() if v not in (None, "")],
        ),
        Table("What was said during the run", ("time", "", "what"), list(_events(record))),
        Table("Interlocks that were asked", ("rule", "", "asked", "held"), list(_judged(content))),
        Table("Interlocks not in force, and what people stated", ("what", "why"), list(_exceptions(content))),
        Table(
            "Files, with their SHA-256",
            ("file", "bytes", "SHA-256"),
            [
                (name, str(known["bytes"]), known["sha256"])
                for name, known in content["files"].items()
                if not name.endswith(MADE)
            ],
        ),
    ]
    return Summary(
        "Where this comes from",
        rows=list(_rows(record)),
        tables=[table for table in tables if table.rows],
        code=("The same again", _again(content)),
    )


def _rows(record: RunRecord) -> Iterator[tuple[str, str]]:
    content = record.manifest
    software, host, ended = content["software"], content["host"], content["ended_ns"]
    took = f", after {duration((ended - content['started_ns']) / 1e9)}" if ended else ""
    by = str(content.get("asked_by") or "not known")
    yield "Run", record.run + (f", going on from {content['resumes']}" if content.get("resumes") else "")
    yield "Started", str(content["started_utc"])
    yield "Ended", f"{content['ended_utc']}{took}" if ended else "no"
    yield "Asked for by", by + (f" (user {content['user']}, {content['user_role']})" if content.get("user") else "")
    yield "picobridge", f"{software.get('picobridge')}, Python {software.get('python')}"
    yield "Libraries", ", ".join(f"{name} {version}" for name, version in software.get("libraries", {}).items())
    yield "Computer", f"{host.get('name')}, {host.get('system')}"
    if other := content.get("recorder"):
        name = other.get("name") or "without a name"
        yield "Recorded by", f"a recorder elsewhere, {name}, on {other.get('host', {}).get('name')}"
    configuration = content.get("configuration_sha256", "not known")
    yield "Configuration", f"SHA-256 {configuration}; in the manifest, without secrets"
    yield "Sign of a current", str(content["sign"])
    for device, stream in content["streams"].items():
        indices = f"index {stream['first_index']} to {(stream['next_index'] or 1) - 1}"
        yield f"Samples of {device}", f"{stream['samples']} ({indices}), {stream['missing']} missing"


def _devices(content: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, device in content["devices"].items():
        identity = device.get("identity") or {}
        who = " ".join(str(identity[key]) for key in ("make", "model", "serial") if identity.get(key))
        firmware = f", firmware {identity['firmware']}" if identity.get("firmware") else ""
        calibration = str(device.get("calibration") or "none is known")
        role = str(device.get("role", ""))
        yield name, role, who + firmware, str(device["driver"]), str(device["address"]), calibration


def _events(record: RunRecord) -> Iterator[tuple[str, ...]]:
    events = record.events
    for event in events[:_EVENTS]:
        yield when(event["time_ns"]), event["severity"], event["text"]
    if len(events) > _EVENTS:
        yield "", "", f"and {len(events) - _EVENTS} more, in events.jsonl"


def _judged(content: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for rule, judged in content.get("safety", {}).get("judged", {}).items():
        first = judged.get("first_violation")
        held = "always" if first is None else f"not {judged['violated']} times; first {first['act']}: {first['why']}"
        yield rule, str(judged["text"]), f"{judged['times']} times", held


def _exceptions(content: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    safety = content.get("safety", {})
    for rule in safety.get("rules", ()):
        if aside := rule.get("set_aside"):
            yield f"{rule['text']}: set aside", f"by {aside['by']} ({aside['role']}): {aside['reason']}"
        elif rule.get("status") == "off":
            yield f"{rule['text']}: off", str(rule.get("off") or "by the configuration")
    for said in safety.get("statements", ()):
        yield f"{said['input']} is {said['value']}", f"stated by {said['by']}"


def _again(content: Mapping[str, Any]) -> str:
    """A script. Numbers are in SI, as their names say, to the last bit."""
    parameters = {key: given for key, given in content["parameters"].items() if given is not None}
    devices: dict[str, Any] = {}
    for name, device in content["devices"].items():
        devices.setdefault(str(device.get("role", "")), []).append(name)
    roles = {role: names[0] if len(names) == 1 else names for role, names in devices.items()}
    return (
        "import asyncio\n\nfrom bridge.client import connect\n\n"
        f"PARAMETERS = {pprint.pformat(parameters, sort_dicts=False, width=100)}\n"
        f"DEVICES = {pprint.pformat(roles, sort_dicts=False, width=100)}\n\n\n"
        "async def main():\n"
        '    async with connect("mqtt://localhost") as lab:\n'
        f"        print(await lab.run({content['procedure']!r}, PARAMETERS, DEVICES))\n\n\n"
        "asyncio.run(main())\n"
    )
