"""What only TCP sockets have."""

from __future__ import annotations

import asyncio
import socket

import pytest

from drivers.errors import DeviceLost, DeviceTimeout
from drivers.transports import open_transport
from mocks.wires import serve

from .instruments import PATIENCE_S, Echo, rig


async def test_a_refused_connection_says_what_to_check() -> None:
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    with pytest.raises(DeviceLost, match=f"tcp:127.0.0.1:{port} refused the connection") as caught:
        await open_transport(f"tcp:127.0.0.1:{port}").open()
    assert "port number" in caught.value.hint


async def test_a_host_that_does_not_exist() -> None:
    with pytest.raises(DeviceLost, match="the host name is not known") as caught:
        await open_transport("tcp:no-such-host.invalid:23").open()
    assert "IP address" in caught.value.hint


async def test_a_host_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.transports.tcp.CONNECT_TIMEOUT_S", 0.05)
    # a full backlog does not answer either
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        with pytest.raises(DeviceLost, match=r"no connection within 0\.05 s"):
            await open_transport(f"tcp:127.0.0.1:{listener.getsockname()[1]}").open()


async def test_ipv6() -> None:
    async with serve(Echo(), "tcp", host="::1") as served:
        assert served.address.startswith("tcp:[::1]:")
        transport = open_transport(served.address)
        await transport.open()
        await transport.write(b"x\n")
        assert await transport.read(PATIENCE_S) == b"answer to x\n"
        await transport.close()


async def test_a_second_client_waits_for_the_first_to_go() -> None:
    async with rig("tcp") as r:
        assert await r.ask(b"one") == b"answer to one"
        second = open_transport(r.served.address)
        await second.open()
        await second.write(b"two\n")
        with pytest.raises(DeviceTimeout):
            await second.read(0.05)
        assert r.echo.record == ["one"]
        await r.transport.close()
        assert await second.read(PATIENCE_S) == b"answer to two\n"
        await second.close()


async def test_a_device_that_reads_nothing_does_not_hold_the_writer_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport = open_transport(f"tcp:127.0.0.1:{listener.getsockname()[1]}")
        await transport.open()
        with pytest.raises(DeviceTimeout, match=r"did not take \d+ bytes within 0\.05 s"):
            await transport.write(bytes(20_000_000), 0.05)
        await transport.close()


async def test_a_slow_reader_slows_the_sender_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.transports.inbox.Inbox.HIGH_WATER", 1000)
    async with rig("tcp") as r:
        sent = bytes(range(256)) * 40_000
        r.echo.send(sent)
        sending = asyncio.create_task(r.served.wire.drain())
        await asyncio.wait([sending], timeout=0.05)
        assert not sending.done()
        assert r.transport._connection.inbox.size < 1_000_000  # type: ignore[attr-defined]
        received = bytearray()
        while len(received) < len(sent):
            received += await r.transport.read(PATIENCE_S)
        assert received == sent
        await sending


async def test_keepalive_is_on() -> None:
    async with rig("tcp") as r:
        connection = r.transport._connection._wire.get_extra_info("socket")  # type: ignore[attr-defined]
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
