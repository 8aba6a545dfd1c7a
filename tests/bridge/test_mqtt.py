"""Sessions against real brokers: versions, acknowledgements, refusals, losses, TLS."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.transfer import aiomqtt_session
from bridge.transfer.aiomqtt_session import connect
from bridge.transfer.embedded_broker import embedded_broker
from bridge.transfer.mqtt import BrokerAddress, Incoming, Message
from drivers.errors import BridgeUnreachable, PortBusy, Refused

from .conftest import Mosquitto, eventually, free_port


def ignore(_: Incoming) -> None: ...


class Inbox:
    """What arrived, and a way to wait for it."""

    def __init__(self) -> None:
        self.messages: list[Incoming] = []

    def __call__(self, message: Incoming) -> None:
        self.messages.append(message)

    async def until(self, count: int) -> None:
        await eventually(lambda: len(self.messages) >= count)


async def exchange(address: BrokerAddress, count: int, size: int) -> str:
    """Publish to oneself; every message must come back as it was, in order. Returns the version spoken."""
    inbox = Inbox()
    async with connect(address, identifier="exchange", on_message=inbox) as session:
        await session.subscribe("t/#")
        sent = [Message(f"t/{number}", os.urandom(size)) for number in range(count)]
        for message in sent:
            future = session.send(message)
            assert future is not None
            await future
        await inbox.until(count)
        assert [(m.topic, m.payload) for m in inbox.messages] == [(m.topic, m.payload) for m in sent]
        await session.unsubscribe("t/#")
        return session.version


async def test_the_embedded_broker_speaks_3_1_1(broker: BrokerAddress) -> None:
    assert await exchange(broker, 20, 65_000) == "3.1.1"
    assert await exchange(replace(broker, version="auto"), 3, 0) == "3.1.1"
    with pytest.raises(BridgeUnreachable, match="MQTT 5"):
        await exchange(replace(broker, version="5"), 1, 1)


@pytest.mark.mosquitto
async def test_mosquitto_speaks_both(mosquitto: Mosquitto) -> None:
    for version, spoken in (("auto", "5"), ("5", "5"), ("3.1.1", "3.1.1")):
        assert await exchange(replace(mosquitto.address, version=version), 50, 65_000) == spoken


@pytest.mark.mosquitto
async def test_a_callback_that_fails_does_not_end_the_session(mosquitto: Mosquitto) -> None:
    seen: list[str] = []

    def fail_once(message: Incoming) -> None:
        seen.append(message.topic)
        if len(seen) == 1:
            raise ValueError("oops")

    async with connect(mosquitto.address, identifier="x", on_message=fail_once) as session:
        await session.subscribe("#")
        for topic in ("a", "b"):
            session.send(Message(topic, b""))
        await eventually(lambda: seen == ["a", "b"])
        assert not session.lost.done()


@pytest.mark.mosquitto
@pytest.mark.timeout(30)
async def test_who_hears_something_may_say_something_at_once(mosquitto: Mosquitto) -> None:
    """At QoS 0 too. paho would wait for ever for a lock that it holds itself, and the whole event loop with it: the
    daemon did, when a request was refused while a newest value waited for a slow broker."""
    heard: list[str] = []

    def answer(message: Incoming) -> None:
        heard.append(message.topic)
        if message.topic == "question":
            for qos in (0, 1):
                session.send(Message(f"answer/{qos}", b"", qos=qos))

    async with connect(mosquitto.address, identifier="x", on_message=answer) as session:
        await session.subscribe("#")
        session.send(Message("question", b""))
        await eventually(lambda: sorted(heard) == ["answer/0", "answer/1", "question"])


@pytest.mark.mosquitto
async def test_what_is_not_acknowledged_fails_when_the_broker_dies(mosquitto: Mosquitto) -> None:
    async with connect(mosquitto.address, identifier="x", on_message=ignore) as session:
        assert mosquitto.process is not None
        os.kill(mosquitto.process.pid, signal.SIGSTOP)
        futures = [session.send(Message("t", b"x" * 60_000)) for _ in range(10)]
        mosquitto.kill()
        for future in futures:
            assert future is not None
            with pytest.raises(BridgeUnreachable, match="was lost: the broker is gone"):
                await future
        assert await session.lost == "the broker is gone"
        with pytest.raises(BridgeUnreachable):
            session.send(Message("t", b""))
        with pytest.raises(BridgeUnreachable):
            await session.subscribe("t")


@pytest.mark.mosquitto
async def test_a_broker_that_hangs_is_noticed(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiomqtt_session, "KEEPALIVE_S", 1)
    async with connect(mosquitto.address, identifier="x", on_message=ignore) as session:
        assert mosquitto.process is not None
        os.kill(mosquitto.process.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(20):
                assert "Keep alive" in await session.lost
        finally:
            os.kill(mosquitto.process.pid, signal.SIGCONT)


@pytest.mark.mosquitto
async def test_the_last_will_speaks_for_the_dead_only(mosquitto: Mosquitto) -> None:
    inbox = Inbox()
    will = Message("will", b"offline", retain=True)
    async with connect(mosquitto.address, identifier="watch", on_message=inbox) as watch:
        await watch.subscribe("will")
        async with connect(mosquitto.address, identifier="polite", on_message=ignore, will=will):
            pass
        async with connect(mosquitto.address, identifier="taken", on_message=ignore, will=will) as session:
            async with connect(mosquitto.address, identifier="taken", on_message=ignore):
                await session.lost
            await inbox.until(1)
    assert [message.payload for message in inbox.messages] == [b"offline"]


@pytest.mark.mosquitto
async def test_a_refusal_by_rights_is_told(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic readwrite open/#\n")
    server = Mosquitto(tmp_path, f"acl_file {tmp_path}/acl")
    server.start()
    try:
        async with connect(server.address, identifier="x", on_message=ignore) as session:
            allowed, refused = session.send(Message("open/x", b"")), session.send(Message("closed/x", b""))
            assert allowed is not None
            assert refused is not None
            await allowed
            with pytest.raises(Refused, match="Not authorized"):
                await refused
    finally:
        server.stop()


async def test_no_broker_is_said_at_once() -> None:
    address = BrokerAddress("127.0.0.1", free_port())
    with pytest.raises(BridgeUnreachable, match=f"no broker answers at mqtt://127.0.0.1:{address.port}"):
        async with connect(address, identifier="x", on_message=ignore):
            pytest.fail("there is no broker")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_what_is_no_broker_is_left_without_a_trace(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who listens and says nothing, and somebody who hangs up; the leak check sees what is left."""
    monkeypatch.setattr(aiomqtt_session, "CONNECT_TIMEOUT_S", 0.3)
    held: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    for manner in (silent, rude):
        server = await asyncio.start_server(manner, "127.0.0.1", 0)
        address = BrokerAddress("127.0.0.1", server.sockets[0].getsockname()[1], version=version)
        with pytest.raises(BridgeUnreachable):
            async with connect(address, identifier="x", on_message=ignore):
                pytest.fail("that is no broker")
        server.close()
        for writer in held:
            writer.close()
        await server.wait_closed()


async def test_connecting_can_be_given_up() -> None:
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda reader, writer: held.append(writer), "127.0.0.1", 0)
    address = BrokerAddress("127.0.0.1", server.sockets[0].getsockname()[1], version="5")

    async def enter() -> None:
        async with connect(address, identifier="x", on_message=ignore):
            pytest.fail("nobody answered")

    for pause_s in (0.0, 0.001, 0.2):
        task = asyncio.create_task(enter())
        await asyncio.sleep(pause_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(2):
                await task
    for writer in held:
        writer.close()
    server.close()
    await server.wait_closed()


async def test_the_embedded_broker_hangs_up_on_those_who_say_nothing(
    broker: BrokerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.transfer.embedded_broker.CONNECT_TIMEOUT_S", 0.1)
    for greeting in (b"", b"\x10", b"GET / HTTP/1.0\r\n\r\n", b"\x10\xff\xff\xff\xff\xff"):
        reader, writer = await asyncio.open_connection(broker.host, broker.port)
        writer.write(greeting)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    assert await exchange(broker, 3, 10) == "3.1.1"


async def test_a_taken_port_is_said(broker: BrokerAddress) -> None:
    with pytest.raises(PortBusy, match=f"cannot listen on 127.0.0.1:{broker.port}") as caught:
        async with embedded_broker(broker.port):
            pytest.fail("the port is taken")
    assert "Another broker may run there" in caught.value.hint


def certificate(folder: Path) -> tuple[Path, Path]:
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    command += f" -addext subjectAltName=DNS:localhost -keyout {key} -out {cert}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return cert, key


@pytest.mark.mosquitto
async def test_tls_with_a_certificate_and_a_password(tmp_path: Path) -> None:
    cert, key = await asyncio.to_thread(certificate, tmp_path)
    passwords = tmp_path / "passwords"
    await asyncio.to_thread(
        subprocess.run, ["mosquitto_passwd", "-c", "-b", str(passwords), "daemon", "s3cret"], check=True
    )
    server = Mosquitto(
        tmp_path,
        f"certfile {cert}",
        f"keyfile {key}",
        f"password_file {passwords}",
        anonymous=False,
    )
    await asyncio.to_thread(server.start)
    try:
        good = BrokerAddress("localhost", server.port, True, "daemon", "s3cret", cert)
        assert await exchange(good, 20, 65_000) == "5"
        for bad, text in (
            (replace(good, password="wrong"), "refuses the connection"),
            (replace(good, ca=None), "certificate verify failed"),
            (replace(good, host="127.0.0.1"), "certificate verify failed"),
        ):
            with pytest.raises((BridgeUnreachable, Refused), match=text):
                await exchange(bad, 1, 1)
    finally:
        server.stop()
