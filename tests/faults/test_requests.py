"""Rows 43 to 46 and 50: requests from a wrong clock, twice, from long ago, retained, or of nonsense."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from typing import Any

import cbor2
import pytest

from bridge.daemon.config import BrokerConfig
from drivers.errors import InvalidValue, RequestExpired
from tests.bridge.conftest import eventually
from tests.bridge.listener import Listener, listen

from .audit import audited
from .conftest import RigMaker
from .rig import LONG, PREFIX

RUN = {"procedure": "technique", "parameters": LONG, "devices": {"potentiostat": "pstat"}}
HOUR_S = 3600.0


def envelope(**fields: Any) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "from": "test",
        "expires_at": time.time() + 10,
        "reply_to": f"{PREFIX}/reply/test",
        "params": RUN,
        **fields,
    }


async def replies(listener: Listener, identifier: str, count: int) -> list[Any]:
    """So many answers to a request."""

    def found() -> list[Any]:
        return [r for r in map(json.loads, listener.of(f"{PREFIX}/reply/test")) if r["id"] == identifier]

    await listener.until(lambda: len(found()) >= count)
    return found()


@pytest.mark.parametrize("wrong_s", [-HOUR_S, HOUR_S], ids=["slow", "fast"])
async def test_43_the_clients_clock_is_wrong_by_an_hour(path: RigMaker, wrong_s: float) -> None:
    """43. A client whose clock is wrong by an hour asks for a run. It is refused and told the daemon's time; nothing is
    energised."""
    async with path("pstat") as rig, listen(rig.mosquitto.address, f"{PREFIX}/#") as client:
        request = envelope(expires_at=time.time() + 10 + wrong_s)
        await client.client.publish(f"{PREFIX}/request/run", json.dumps(request), qos=1)
        (reply,) = await replies(client, request["id"], 1)
        rig.told(reply["error"], RequestExpired, "")
        assert abs(reply["error"]["detail"]["daemon_time_s"] - time.time()) < 60
        assert rig.witness.energised["pstat"] == 0
        await rig.measured()
        await rig.check()


async def test_44_the_same_command_twice(path: RigMaker) -> None:
    """44. The same request arrives twice, as QoS 1 may deliver it. There is one run and two equal answers."""
    async with path("pstat") as rig, listen(rig.mosquitto.address, f"{PREFIX}/#") as client:
        request = json.dumps(envelope())
        for _ in range(2):
            await client.client.publish(f"{PREFIX}/request/run", request, qos=1)
        first, second = await replies(client, json.loads(request)["id"], 2)
        assert first == second
        await rig.arrived("pstat", 5)
        assert rig.witness.energised["pstat"] == 1
        assert [run.id for run in await rig.lab.runs()] == [first["result"]["run"]]
        await (await rig.lab.runs())[0].abort()
        await rig.check(quiet="one act, two equal answers")


async def test_45_an_old_command_is_replayed(path: RigMaker) -> None:
    """45. Somebody sends a recorded request again, after it has expired. It is refused, which the audit
    keeps; nothing is energised."""
    async with path("pstat") as rig, listen(rig.mosquitto.address, f"{PREFIX}/#") as client:
        await rig.measured()
        energised = rig.witness.energised["pstat"]
        request = envelope(expires_at=time.time() - 1.0)
        await client.client.publish(f"{PREFIX}/request/run", json.dumps(request), qos=1)
        (reply,) = await replies(client, request["id"], 1)
        rig.told(reply["error"], RequestExpired, "")
        assert rig.witness.energised["pstat"] == energised
        await eventually(lambda: bool(audited(rig, "request refused")))
        (refused,) = audited(rig, "request refused")
        assert (refused["user"], refused["method"]) == ("test", "run")
        await rig.check()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_46_a_retained_command_waits_for_the_daemon(path: RigMaker, version: str) -> None:
    """46. A retained request lies on the broker when the daemon starts. It is not executed; where the protocol shows it
    at all (3.1.1), the user is told so and how to remove it."""
    async with path("pstat", with_daemon=False) as rig, listen(rig.mosquitto.address, f"{PREFIX}/#") as client:
        await client.client.publish(f"{PREFIX}/request/run", json.dumps(envelope()), qos=1, retain=True)
        address = replace(rig.mosquitto.address, version=version)
        async with rig.running(broker=BrokerConfig(address=address)):
            if version == "3.1.1":
                (reply,) = await replies(client, json.loads(client.of(f"{PREFIX}/request/run")[0])["id"], 1)
                rig.told(reply["error"], RequestExpired, "")
            await rig.lab.request("ping")
            assert await rig.lab.runs() == []
            assert rig.witness.energised["pstat"] == 0
            await rig.measured()
            await rig.check(quiet="" if rig.judged else "the daemon asks for no retained messages")


def nested(depth: int) -> bytes:
    return b'{"id":' * depth + b"1" + b"}" * depth


NONSENSE = {
    "empty": b"",
    "2 MB": b'{"id": "' + b"x" * 2_000_000 + b'"}',
    "deep": nested(10_000),
    "CBOR": cbor2.dumps({"id": "1", "from": "me"}),
    "NaN": json.dumps(envelope(expires_at=float("nan"))).encode(),
    "the same key twice": b'{"id": "1", "id": "2", "from": "me", "expires_at": 1}',
    "infinite": b'{"id": "1", "from": "me", "expires_at": 1e999}',
    "half": json.dumps(envelope()).encode()[:50],
    "not UTF-8": b'{"id": "\xff\xfe"}',
    "a list": b"[]",
    "unknown field": json.dumps(envelope(urgent=True)).encode(),
}


@pytest.mark.parametrize("payload", NONSENSE.values(), ids=NONSENSE.keys())
async def test_50_a_request_of_nonsense(path: RigMaker, payload: bytes) -> None:
    """50. A request is empty, 2 MB long, deeply nested, of another format, or has NaN or a key twice. It is refused
    with the reason, as a reply where that is possible, else as an event; a run that goes on does not notice."""
    async with path("pstat") as rig, listen(rig.mosquitto.address, f"{PREFIX}/#") as client:
        run = await rig.measuring()
        await client.client.publish(f"{PREFIX}/request/run", payload, qos=1)

        def refusals() -> list[Any]:
            told = [json.loads(event) for event in client.of(f"{PREFIX}/events")]
            answers = [json.loads(reply) for reply in client.of(f"{PREFIX}/reply/test")]
            return [m["error"] for m in told + answers if m.get("error") is not None]

        await client.until(lambda: bool(refusals()))
        rig.told(refusals()[0], InvalidValue, "")
        await rig.arrived("pstat", rig.recorder.samples("pstat") + 20)
        await run.abort()
        assert len(await rig.lab.runs()) == 1
        await rig.check()


async def test_50_a_flood_of_nonsense_is_no_flood_of_events(path: RigMaker) -> None:
    """50. A thousand malformed requests in a row. The user sees a handful of events, the run goes on."""
    async with path("pstat") as rig, listen(rig.mosquitto.address, f"{PREFIX}/#") as client:
        run = await rig.measuring()
        for _ in range(1000):
            await client.client.publish(f"{PREFIX}/request/run", b"{", qos=0)
        await client.client.publish(f"{PREFIX}/request/run", b"{", qos=1)
        await rig.lab.request("ping")
        events = [event for event in rig.recorder.told["events"] if event["kind"] == "request"]
        assert 1 <= len(events) < 100
        rig.told(events[0]["error"], InvalidValue, "")
        await rig.arrived("pstat", rig.recorder.samples("pstat") + 20)
        await run.abort()
        await rig.check()
