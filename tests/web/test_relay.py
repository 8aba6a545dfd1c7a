"""MQTT through the page's WebSocket: mqtt.js hears everything to the bit; what no page sends ends the connection."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from bridge.daemon.config import BrokerConfig
from bridge.daemon.web_config import WebConfig
from bridge.web.server import opened, serving
from tests.bridge.fakes import ramp
from tests.bridge.listener import Listener
from tests.client.conftest import BenchMaker, bench

from .conftest import SiteMaker, connect_packet, packet, publish_packet, subscribe_packet, text

__all__ = ["bench"]

NODE = Path(__file__).parents[1] / "node"
CONNECT = connect_packet()
#: CONNACK of 3.1.1: no session, accepted
WELCOME = bytes.fromhex("20020000")


@pytest.mark.node
async def test_mqtt_js_sees_every_sample_to_the_bit(bench: BenchMaker, any_broker: BrokerConfig) -> None:
    config = WebConfig(port=0)
    with opened(config) as door:
        async with bench("pstat", broker=any_broker) as b, serving(b.daemon, config, door) as url:
            subscriber = await asyncio.create_subprocess_exec(
                *("node", str(NODE / "subscribe.mjs"), f"{url.replace('http', 'ws')}mqtt"),
                *(b.daemon.topics.samples("pstat"), "20"),
                stdout=asyncio.subprocess.PIPE,
            )
            assert subscriber.stdout is not None
            assert await subscriber.stdout.readline() == b"subscribed\n"
            block = await b.lab.pstat.galvanostatic(current_a=1e-12, duration_s=2.0)
            seen = json.loads(await subscriber.stdout.readline())
            assert await subscriber.wait() == 0
    assert (seen["received"], seen["missing"]) == (20, 0)
    for name in ("time_s", "voltage_v", "current_a", "flags"):
        assert np.array_equal(np.array(seen["columns"][name]), block[name])


@pytest.mark.parametrize("whole", [True, False])
async def test_packets_may_come_in_any_pieces(site: SiteMaker, any_broker: BrokerConfig, whole: bool) -> None:
    said = CONNECT + subscribe_packet("picobridge/lab/status")
    async with site(any_broker, devices=()) as s, s.mqtt() as socket:
        for piece in [said] if whole else [said[at : at + 1] for at in range(len(said))]:
            await socket.send_bytes(piece)
        heard = b""
        while b'"online"' not in heard:
            heard += await socket.receive_bytes(timeout=10)
        assert heard.startswith(WELCOME + bytes.fromhex("9003000101"))


NOT_SENT: tuple[tuple[list[bytes | str], int, str], ...] = (
    ([b"GET / HTTP/1.1\r\n\r\n"], 1002, "packet begins with"),
    ([subscribe_packet("a")], 1008, "before CONNECT"),
    ([CONNECT + CONNECT], 1008, "CONNECT came twice"),
    ([CONNECT, publish_packet("picobridge/lab/request/ping", flags=1)], 1008, "retained"),
    ([CONNECT, publish_packet("picobridge/lab/status", b"{}")], 1008, "publishing to 'picobridge/lab/status'"),
    ([CONNECT, publish_packet("picobridge/lab/request/mallory/ping")], 1008, "publishing to"),
    ([CONNECT, publish_packet("/request/ping", flags=6)], 1002, "no QoS"),
    ([CONNECT, publish_packet("picobridge/lab/request/+")], 1002, "no topic"),
    ([CONNECT, subscribe_packet("$SYS/#")], 1008, "subscribing to '$SYS/#'"),
    ([CONNECT, subscribe_packet("$share/group/picobridge/#")], 1008, "subscribing to"),
    ([CONNECT, subscribe_packet("picobridge/#/x")], 1002, "no topic filter"),
    ([CONNECT, packet(0x82, b"\0\1")], 1002, "names no topic"),
    ([CONNECT, b"\x30\xff\xff\xff\xff\x7f"], 1002, "more than four bytes"),
    ([CONNECT, b"\x30\xff\xff\x7f"], 1002, "accepted: 81920"),
    ([CONNECT, packet(0x30, b"\0\2\xff\xff")], 1002, "not UTF-8"),
    ([CONNECT, packet(0x30, b"\0\7a\0b")], 1002, "ends too early"),
    ([CONNECT, b"\xf0\x00"], 1002, "packet begins with"),
    ([CONNECT, "a text"], 1008, "binary"),
)


async def test_what_no_page_sends_ends_the_connection(site: SiteMaker) -> None:
    async with site(devices=()) as s:
        for said, code, reason in NOT_SENT:
            async with s.mqtt() as socket:
                for each in said:
                    await (socket.send_str(each) if isinstance(each, str) else socket.send_bytes(each))
                goodbye = await farewell(socket)
                assert (goodbye.data, reason in str(goodbye.extra)) == (code, True), (said, goodbye)
        assert (await s.rig.request("ping"))["bridge"] == "lab"


async def test_who_says_nothing_is_hung_up_on(site: SiteMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.web.line.GREETING_S", 0.05)
    async with site(devices=()) as s, s.mqtt() as socket:
        await socket.send_bytes(b"")
        goodbye = await farewell(socket)
        assert (goodbye.data, goodbye.extra) == (1008, "no CONNECT came")


@pytest.mark.parametrize(
    ("what", "said"), [("packets", [b"\xc0\0" * 11]), ("frames", [b""] * 11), ("frames", ["ping"] * 11)]
)
async def test_a_flood_ends_the_connection(
    site: SiteMaker, monkeypatch: pytest.MonkeyPatch, what: str, said: list[bytes | str]
) -> None:
    module = "policy" if what == "packets" else "line"
    monkeypatch.setattr(f"bridge.web.{module}.{what.upper()}_PER_S", 0.001)
    monkeypatch.setattr(f"bridge.web.{module}.{what.upper()}_AT_ONCE", 10)
    async with site(devices=()) as s, s.mqtt() as socket:
        await socket.send_bytes(CONNECT)
        for each in said:
            await (socket.ping() if isinstance(each, str) else socket.send_bytes(each))
        goodbye = await farewell(socket)
        assert (goodbye.data, goodbye.extra) == (1008, f"more than 0.001 {what} a second")


async def farewell(socket: aiohttp.ClientWebSocketResponse) -> aiohttp.WSMessage:
    """The close frame, after whatever came before."""
    socket._autoclose = False
    while True:
        message = await socket.receive(timeout=10)
        if message.type is not aiohttp.WSMsgType.BINARY:
            await socket.close()
            return message


async def test_who_connects_is_not_who_she_says(site: SiteMaker) -> None:
    """No will, no session, no client id of somebody else's: the daemon is not thrown off."""
    daemon_like = connect_packet(
        flags=0x2C, identifier="picobridge-lab", rest=text("picobridge/lab/status") + text("gone")
    )
    async with site(devices=()) as s:
        async with s.mqtt() as socket:
            await socket.send_bytes(daemon_like)
            assert await socket.receive_bytes(timeout=10) == WELCOME
        listener: Listener = s.rig.listener
        assert (await s.rig.request("ping"))["bridge"] == "lab"
        assert not [message for message in listener.messages if message.payload == b"gone"]


async def test_so_many_connections_and_no_more(site: SiteMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.web.relay.OF_A_USER", 2)
    async with site(devices=()) as s:
        async with s.mqtt() as one, s.mqtt():
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await s.mqtt()
            assert refused.value.status == 503
            await one.send_bytes(CONNECT)
            assert await one.receive_bytes(timeout=10) == WELCOME
        async with s.get("/") as answer:
            assert answer.status == 200


async def test_other_subprotocols_are_refused(site: SiteMaker) -> None:
    async with site(devices=()) as s:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await s.browser.ws_connect(f"{s.url}mqtt", protocols=("chat",))
        assert refused.value.status == 400


async def test_a_broker_that_is_away_is_said(site: SiteMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(devices=()) as s:

        async def refused(*_: object, **__: object) -> None:
            raise ConnectionRefusedError

        monkeypatch.setattr("bridge.web.server.asyncio.open_connection", refused)
        async with s.mqtt() as socket:
            goodbye = await farewell(socket)
            assert goodbye.data == 1013


async def test_the_end_of_the_daemon_is_said(site: SiteMaker) -> None:
    async with aiohttp.ClientSession() as browser:
        async with site(devices=()) as s:
            socket = await browser.ws_connect(f"{s.url}mqtt", protocols=("mqtt",))
            await socket.send_bytes(CONNECT)
            assert await socket.receive_bytes(timeout=10) == WELCOME
            said = asyncio.create_task(farewell(socket))
        assert (await said).data == 1001


@pytest.mark.parametrize(("limit", "value"), [("BACKLOG_BYTES", 100_000), ("STALLED_S", 0.05)])
async def test_a_browser_that_takes_nothing_is_hung_up_on_and_samples_go_on(
    site: SiteMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, limit: str, value: float
) -> None:
    monkeypatch.setattr(f"bridge.web.line.{limit}", value)
    async with site(devices=("pstat",)) as s, s.mqtt() as socket:
        s.rig.device("pstat").script = lambda technique: ramp(3000, 10)
        await socket.send_bytes(CONNECT + subscribe_packet("much"))
        assert await socket.receive_bytes(timeout=10) == WELCOME
        run = await s.rig.run(technique="galvanostatic", current_a="10 pA", duration_s="30 s")
        sent = 0
        while "does not take what it has asked for" not in caplog.text:
            await s.rig.listener.client.publish("much", bytes(500_000))
            sent += 1
            assert sent < 200, "it was not hung up on"
        assert (await s.rig.result(run))["status"] == "finished"
        topic = f"{s.rig.prefix}/devices/pstat/samples"
        await s.rig.listener.until(lambda: s.rig.listener.count(topic) == 3000)
