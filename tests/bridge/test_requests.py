"""Requests that must not be executed, and how each is answered."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
import uuid
from typing import Any

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge.daemon.config import BrokerConfig
from bridge.transfer.messages import load_object
from drivers.errors import Interrupted, InvalidValue, RequestExpired

from .conftest import Mosquitto, Rig, RigMaker, eventually
from .listener import listen

MOVE = {"device": "stage", "method": "move_to", "arguments": {"x_m": 0.01}}
UNTOUCHED = ["stop", "identify"]


def envelope(prefix: str = "picobridge/lab", **fields: Any) -> bytes:
    return json.dumps(
        {
            "id": str(uuid.uuid4()),
            "from": "test",
            "expires_at": time.time() + 10,
            "reply_to": f"{prefix}/reply/test",
            "params": MOVE,
            **fields,
        }
    ).encode()


async def leased(r: Rig) -> dict[str, Any]:
    """What a request says to move the stage."""
    granted = await r.request("lease", device="stage", ttl="60 s")
    return {"lease": granted["lease"], "fence": granted["fence"]}


async def test_expired_and_far_ones_are_refused_with_the_daemons_time(rig: RigMaker, any_broker: BrokerConfig) -> None:
    async with rig(any_broker) as r:
        for offset, text in ((-1.0, "the request expired"), (3600.0, "at most 60 s")):
            with pytest.raises(RequestExpired, match=text) as caught:
                await r.listener.request(r.prefix, "call", MOVE, expires_at=time.time() + offset)
            assert abs(caught.value.detail["daemon_time_s"] - time.time()) < 5
        with pytest.raises(RequestExpired, match="no expires_at"):
            await r.listener.request(r.prefix, "call", MOVE, expires_at=None)
        assert r.device("stage").done == UNTOUCHED


async def test_a_repeated_id_acts_once_and_is_answered_again(rig: RigMaker, any_broker: BrokerConfig) -> None:
    async with rig(any_broker) as r:
        reply_topic = f"{r.prefix}/reply/once"
        request = envelope(id="once", reply_to=reply_topic, **await leased(r))
        for _ in range(3):
            await r.listener.client.publish(f"{r.prefix}/request/call", request, qos=1)
        await r.listener.until(lambda: len(r.listener.of(reply_topic)) >= 1)
        await r.listener.client.publish(f"{r.prefix}/request/call", request, qos=1)
        before = len(r.listener.of(reply_topic))
        await r.listener.until(lambda: len(r.listener.of(reply_topic)) > before)
        assert len(set(r.listener.of(reply_topic))) == 1
        assert r.device("stage").done == [*UNTOUCHED, "move_to 0.01"]


async def test_one_that_is_repeated_while_it_is_under_way_acts_once_and_is_answered_each_time(
    rig: RigMaker, any_broker: BrokerConfig
) -> None:
    async with rig(any_broker) as r:
        stage = r.device("stage")
        stage.slow = True
        reply_topic = f"{r.prefix}/reply/once"
        request = envelope(id="once", reply_to=reply_topic, **await leased(r))
        await r.listener.client.publish(f"{r.prefix}/request/call", request, qos=1)
        await stage.moving.wait()
        for _ in range(2):
            await r.listener.client.publish(f"{r.prefix}/request/call", request, qos=1)
        await r.request("ping")  # behind them
        await r.request("stop")
        await r.listener.until(lambda: len(r.listener.of(reply_topic)) == 3)
        assert len(set(r.listener.of(reply_topic))) == 1
        assert stage.done.count("move_to 0.01") == 1


async def test_a_retained_request_is_refused_at_every_start(rig: RigMaker, broker: Any) -> None:
    async with aiomqtt.Client(broker.host, broker.port) as client:
        for method in ("call", "stop"):
            await client.publish(f"picobridge/lab/request/{method}", envelope(), qos=1, retain=True)
    # listening before there is a daemon: it answers as soon as it is there
    async with listen(broker, "picobridge/lab/reply/test") as replies, rig(BrokerConfig(address=broker)) as r:
        reply = await replies.json("picobridge/lab/reply/test")
        assert reply["error"]["error"] == "RequestExpired"
        assert "retained" in reply["error"]["message"]
        await r.request("ping")
        assert r.device("stage").done == UNTOUCHED


@pytest.mark.mosquitto
async def test_mqtt_5_does_not_even_fetch_retained_requests(rig: RigMaker, mosquitto: Mosquitto) -> None:
    async with aiomqtt.Client("127.0.0.1", mosquitto.port) as client:
        await client.publish("picobridge/lab/request/call", envelope(), qos=1, retain=True)
    async with rig(BrokerConfig(address=mosquitto.address)) as r:
        await r.request("ping")
        assert r.device("stage").done == UNTOUCHED


UNANSWERABLE = [
    (b"", "not JSON"),
    (b"\xff\xfe", "not UTF-8"),
    (b"[1]", "where an object is needed"),
    (b'{"id": "1", "id": "2"}', "occurs twice"),
    (b'{"x": NaN}', "no number"),
    (b'{"x": 1e999}', "no number"),
    (b"[" * 10_000 + b"]" * 10_000, "nested deeper"),
    (b'{"x": ' + b"9" * 5000 + b"}", "64 bits"),
    (b'{"id": "\\ud800"}', "UTF-8"),
    (b'{"pad": "' + b"x" * 70_000 + b'"}', "at most 65536"),
    (b'{"id": "1", "from": "a/b"}', "from is 'a/b'"),
    (b'{"id": "a b"}', "id is 'a b'"),
    (b'{"surprise": 1}', "'surprise' is not known"),
]


async def test_what_cannot_be_answered_becomes_an_event(rig: RigMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.daemon.refusals._COMPLAINTS_PER_S", 1000)
    async with rig(devices=("stage",)) as r:
        for payload, text in UNANSWERABLE:
            await r.listener.client.publish(f"{r.prefix}/request/call", payload, qos=1)
            event = await r.listener.event(text)
            assert event["kind"] == "request"
        assert len([e for e in r.listener.of(f"{r.prefix}/events") if b"was refused" in e]) == len(UNANSWERABLE)
        assert r.device("stage").done == UNTOUCHED


async def test_what_says_where_to_is_answered(rig: RigMaker) -> None:
    async with rig(devices=("stage",)) as r:
        for fields, text in (
            ({"from": 7}, "from is 7"),
            ({"params": []}, "params is []"),
            ({"extra": 1}, "'extra' is not known"),
            ({"expires_at": "soon"}, "expires_at is 'soon'"),
            ({"params": {**MOVE, "speed": 3}}, "parameter 'speed' is not known"),
        ):
            given: dict[str, Any] = {"params": MOVE, **fields}
            with pytest.raises(InvalidValue) as caught:
                await r.listener.request(r.prefix, "call", **given)
            assert text in caught.value.message
        assert r.device("stage").done == UNTOUCHED


async def test_a_reply_never_leaves_the_reply_branch(rig: RigMaker) -> None:
    async with rig(devices=("stage",)) as r:
        for topic in ("elsewhere", f"{r.prefix}/request/stop", f"{r.prefix}/reply/../x y", f"{r.prefix}/reply/+"):
            await r.listener.client.publish(f"{r.prefix}/request/call", envelope(reply_to=topic), qos=1)
            await r.listener.event("reply_to is " + repr(topic))
        assert r.device("stage").done == UNTOUCHED


async def test_a_flood_of_refusals_is_no_flood_of_events(rig: RigMaker) -> None:
    async with rig(devices=("stage",)) as r:
        started = time.monotonic()
        for _ in range(200):
            await r.listener.client.publish(f"{r.prefix}/request/call", b"rubbish", qos=0)
        await r.request("ping")
        events = [e for e in r.listener.of(f"{r.prefix}/events") if b"was refused" in e]
        assert 1 <= len(events) <= 5 * (time.monotonic() - started + 1)


async def test_a_stop_is_executed_however_it_is_written(rig: RigMaker) -> None:
    async with rig(devices=("stage",)) as r:
        stage = r.device("stage")
        for payload in (b"", b"\xff", b"{}", envelope(expires_at=1.0), envelope(params={"why": "x"}, id="")):
            before = stage.done.count("stop")
            await r.listener.client.publish(f"{r.prefix}/request/stop", payload, qos=1)
            await eventually(lambda before=before: stage.done.count("stop") == before + 1)
        await r.listener.json(f"{r.prefix}/reply/test", lambda reply: reply["ok"])


@pytest.mark.mosquitto
async def test_by_hand_with_mosquitto_pub(rig: RigMaker, any_broker: BrokerConfig) -> None:
    async with rig(any_broker) as r:
        request = envelope(reply_to=f"{r.prefix}/reply/me", id="by-hand", **{"from": "me"}, **await leased(r))
        command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(r.daemon.broker.port), "-q", "1"]
        command += ["-t", f"{r.prefix}/request/call", "-m", request.decode()]
        await asyncio.to_thread(subprocess.run, command, check=True)
        reply = await r.listener.json(f"{r.prefix}/reply/me")
        assert reply["id"] == "by-hand"
        assert reply["result"]["x_m"] == 0.01


@pytest.mark.mosquitto
async def test_mqtt_5_properties_stand_in_for_fields(rig: RigMaker, mosquitto: Mosquitto) -> None:
    async with rig(BrokerConfig(address=mosquitto.address)) as r:
        assert r.daemon.uplink.version == "5"
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = f"{r.prefix}/reply/five"
        properties.CorrelationData = b"correlated"
        properties.MessageExpiryInterval = 20
        payload = json.dumps({"from": "five", "params": MOVE, **await leased(r)})
        async with aiomqtt.Client("127.0.0.1", mosquitto.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
            await client.subscribe(f"{r.prefix}/reply/five", qos=1)
            await client.publish(f"{r.prefix}/request/call", payload, qos=1, properties=properties)
            async with asyncio.timeout(10):
                message = await anext(aiter(client.messages))
            assert message.properties is not None
            assert message.properties.CorrelationData == b"correlated"
            assert json.loads(bytes(message.payload))["result"]["x_m"] == 0.01  # type: ignore[arg-type]
            properties.ResponseTopic = f"{r.prefix}/status"
            properties.CorrelationData = b"forged"
            await client.publish(f"{r.prefix}/request/call", payload, qos=1, properties=properties)
        await r.listener.event("reply_to is ")
        assert r.device("stage").done == [*UNTOUCHED, "move_to 0.01"]


def test_strict_json_reads_what_is_meant() -> None:
    assert load_object(b'{"a": [1, 2.5, "[[[[", "\\"{", null, true], "b": {"c": -1e-12}}') == {
        "a": [1, 2.5, "[[[[", '"{', None, True],
        "b": {"c": -1e-12},
    }


async def test_what_fails_because_the_daemon_ends_says_so(rig: RigMaker, broker: Any) -> None:
    """Making safe stops a move, which fails by that before the request is cancelled."""
    async with rig(BrokerConfig(address=broker)) as r:
        stage = r.device("stage")
        stage.slow = True
        move = asyncio.create_task(r.request("call", device="stage", method="move_to", arguments={"x": 0.01}))
        await stage.moving.wait()
        halt = stage.stop

        async def halt_and_rest() -> Any:
            position = await halt()
            await eventually(lambda: not stage.moving.is_set())
            return position

        stage.stop = halt_and_rest
        r.daemon.stop()
        await r.daemon.__aexit__(None, None, None)
        with pytest.raises(Interrupted, match="the daemon stopped before this was done: stopped") as told:
            await move
        assert told.value.device == "stage"
