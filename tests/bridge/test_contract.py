"""`docs/mqtt.md` against the daemon: every recorded example has the form of what is sent, and nothing is left out."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest

from bridge.daemon.config import BrokerConfig, Config
from bridge.daemon.daemon import Daemon
from bridge.demo.rig import PLACES, simulated_rig
from drivers import calls
from mocks.world import World

from .listener import Listener, listen

DOCUMENT = Path(__file__).parents[2] / "docs" / "mqtt.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")

#: Objects whose keys are data, not contract.
FREE = {
    *("values", "parameters", "devices", "detail", "attributes", "limits", "streams", "arguments", "roles", "contact"),
    "recorded",
}


def examples() -> dict[str, Any]:
    """What stands under `<!-- example: name -->`."""
    found = re.findall(r"<!-- example: (\S+) -->\n```json\n(.*?)```", TEXT, re.DOTALL)
    return {name: json.loads(text) for name, text in found}


@asynccontextmanager
async def simulated_lab(folder: Path) -> AsyncIterator[tuple[Daemon, Listener]]:
    """The rig of the examples."""
    places = {name: PLACES[name] for name in ("pstat", "stage", "gauge")}
    async with simulated_rig(World(), places) as rig:
        config = Config(state_dir=folder, broker=BrokerConfig(port=0), devices=rig.devices)
        async with (
            Daemon(config, clock_for=rig.clock_for) as daemon,
            listen(daemon.broker, f"{daemon.topics.prefix}/#") as listener,
        ):
            yield daemon, listener


async def record(folder: Path) -> dict[str, Any]:
    """One message a topic, by the names that the document uses."""
    async with simulated_lab(folder) as (daemon, listener):
        prefix = daemon.topics.prefix
        recorded: dict[str, Any] = {}
        for method, params in (
            ("ping", {}),
            ("devices", {}),
            ("procedures", {}),
            ("call", {"device": "stage", "method": "position", "arguments": {}}),
            (
                "run",
                {
                    "procedure": "technique",
                    "parameters": {"technique": "galvanostatic", "current_a": "10 pA", "duration_s": "2 s"},
                    "devices": {"potentiostat": "pstat"},
                },
            ),
        ):
            recorded[f"result:{method}"] = await listener.request(prefix, method, params)
        run = recorded["result:run"]["run"]
        recorded["runs/<run>/result"] = await listener.json(f"{prefix}/runs/{run}/result")
        recorded["runs/<run>/state"] = await listener.json(
            f"{prefix}/runs/{run}/state", lambda state: state["status"] == "finished"
        )
        recorded["events"] = await listener.event("finished")
        await listener.json(f"{prefix}/devices/pstat/state", lambda s: s["published"] == s["next_index"] > 0)
        for topic, device in (("info", "stage"), ("state", "pstat"), ("latest", "pstat")):
            recorded[f"devices/<device>/{topic}"] = await listener.json(f"{prefix}/devices/{device}/{topic}")
        recorded["devices/gauge/latest"] = await listener.json(f"{prefix}/devices/gauge/latest")
        recorded["health"] = await listener.json(f"{prefix}/health", lambda h: h["status"] == "ok")
        recorded["result:streams"] = await listener.request(prefix, "streams", {})
        (stream,) = recorded["result:streams"]
        recorded["streams"] = stream
        asked = {"stream": stream["stream"], "first_index": 0, "next_index": stream["next_index"]}
        recorded["result:replay"] = recorded["replayed"] = await listener.request(prefix, "replay", asked)
        curve = {**asked, "points": 2, "charge_from": 0}
        recorded["result:history"] = recorded["history"] = await listener.request(prefix, "history", curve)
        told = {"recorder": "archive", "stream": stream["stream"], "next_index": stream["next_index"]}
        recorded["result:recorded"] = await listener.request(prefix, "recorded", told)
        shared = {"group": "hall", "member": "a", "kept": {stream["stream"]: [[0, 5]]}}
        recorded["group_recorded"] = await listener.request(prefix, "group_recorded", shared)
        recorded["lease"] = await listener.request(prefix, "lease", {"device": "stage"})
        lease = {"lease": recorded["lease"]["lease"]}
        recorded["lease"] = await listener.request(prefix, "renew", lease)
        recorded["outlook"] = await listener.request(prefix, "outlook", {})
        recorded["result:items"] = await listener.request(prefix, "items", {"run": run})
        for method, params in (("leases", {}), ("faults", {}), ("rules", {})):
            recorded[f"result:{method}"] = await listener.request(prefix, method, params)
        await listener.request(prefix, "release", lease)
        recorded["status"] = await listener.json(f"{prefix}/status")
        recorded["samples"] = cbor2.loads(listener.of(f"{prefix}/devices/pstat/samples")[0])
        asking = {
            "procedure": "nanobattery-protocol",
            "parameters": {"cell": "A7"},
            "devices": {"potentiostat": "pstat"},
        }
        asks = (await listener.request(prefix, "run", asking))["run"]
        state = await listener.json(f"{prefix}/runs/{asks}/state", lambda state: bool(state["question"]))
        recorded["question"] = state["question"]
        for method in ("pause", "continue"):
            recorded[f"result:{method}"] = await listener.request(prefix, method, {"run": asks})
        recorded["result:answer"] = await listener.request(prefix, "answer", {"run": asks, "choice": "done"})
        await listener.json(f"{prefix}/runs/{asks}/state", lambda s: s["step"].startswith("2 "))
        await listener.request(prefix, "abort", {"run": asks})
        recorded["result:resume"] = await listener.request(prefix, "resume", {"run": asks})
        await listener.request(prefix, "abort", recorded["result:resume"])
        recorded["result:runs"] = await listener.request(prefix, "runs", {})
        recorded["result:abort"] = await listener.request(prefix, "abort", {"run": run})
        recorded["result:stop"] = await listener.request(prefix, "stop", {})
        error: dict[str, Any] = {}
        try:
            await listener.request(prefix, "call", {"device": "stage", "method": "move_to", "arguments": {"x_m": 1}})
        except Exception:
            replies = [json.loads(payload) for payload in listener.of(f"{prefix}/reply/test")]
            error = replies[-1]
        recorded["reply:error"] = error
        recorded["result:emergency_stop"] = await listener.request(prefix, "emergency_stop", {})
        recorded["faults"] = await listener.request(prefix, "faults", {})
        later = {"instance": "x", "since_ns": None, "host": "elsewhere", "version": "0"}
        await listener.client.publish(f"{prefix}/claim", json.dumps(later), qos=1)
        recorded["claim"] = await listener.json(f"{prefix}/claim", lambda claim: claim["host"] != "elsewhere")
        recorded["reply"] = json.loads(listener.of(f"{prefix}/reply/test")[0])
        return recorded


def form(value: Any, key: str = "") -> Any:
    """Keys and JSON types; a null fits anything."""
    if isinstance(value, dict):
        return "object" if key in FREE else {name: form(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return "array"
    if value is None:
        return None
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "text"


def fits(documented: Any, sent: Any) -> bool:
    if isinstance(documented, dict) and isinstance(sent, dict):
        return documented.keys() == sent.keys() and all(fits(documented[key], sent[key]) for key in documented)
    return documented is None or sent is None or documented == sent


async def test_the_examples_have_the_form_of_what_is_sent(tmp_path: Path) -> None:
    recorded = await record(tmp_path)
    samples = recorded.pop("samples")
    documented = examples()
    missing = set(recorded) - set(documented)
    for method in set(re.findall(r"^\| `(\w+)` \|", TEXT.partition("## Methods")[2], re.MULTILINE)):
        missing.discard(f"result:{method}")  # the table of methods has these
    assert not missing, "topics without an example"
    for name, message in recorded.items():
        if name in documented:
            assert fits(form(documented[name]), form(message)), (name, form(documented[name]), form(message))
    columns = [(column["name"], column["unit"], column["data"].tag) for column in samples["columns"]]
    described = re.findall(r'"name": "(\w+)", "unit": "(\w+)", "data": (\d+)\(', TEXT)
    assert [(name, unit, int(tag)) for name, unit, tag in described] == columns
    assert set(re.findall(r'^  "(\w+)":', TEXT.partition("```cbor")[2].partition("```")[0], re.MULTILINE)) == set(
        samples
    )
    time = np.frombuffer(samples["columns"][0]["data"].value, "<f8")
    assert np.all(np.isfinite(time))


def test_the_table_of_calls_is_that_of_the_code() -> None:
    for interface, methods in calls.CALLS.items():
        row = re.search(rf"^\| {interface} \| (.*) \|$", TEXT, re.MULTILINE)
        assert row is not None
        remote = {
            name for name in methods if name not in {"open_circuit", "galvanostatic", "potentiostatic", "impedance"}
        }
        assert set(re.findall(r"`(\w+)`", row[1])) == remote


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
def test_the_decoder_in_the_document_works(block: str) -> None:
    from bridge.transfer import codec

    from .fakes import ramp

    names: dict[str, Any] = {}
    exec(block, names)
    columns = names["decode"](codec.encode(ramp(5, 5)[0]))
    assert columns["voltage_v"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert columns["flags"].tolist() == [0] * 5
