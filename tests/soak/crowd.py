"""Other clients, none of them well-behaved."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable

from bridge.client.connection import Connection
from bridge.transfer.mqtt import BrokerAddress, Message
from drivers.errors import PicobridgeError
from tests.bridge.conftest import eventually

from .clock import pause

_PREFIX = "picobridge/lab"
_MALFORMED = (b"{", b"", b"[]", b'{"id": "1", "id": "2"}', b'{"id":' * 500)
#: takes control of the chamber, says so, and moves the stage for 20 s
_HOLDER = """
import asyncio, sys
from bridge.client import connect

async def main():
    async with connect(sys.argv[1], bridge="lab", name="holder") as lab, lab.control("stage"):
        print("holds", flush=True)
        await lab.state("stage.touch_alarm", "armed", 30)
        await lab.relays.select("open")
        x_m = (await lab.stage.position()).x_m
        await lab.stage.move_by(x_m=0.04 if x_m < 0.07 else -0.04)

asyncio.run(main())
"""
#: A lease lasts 5 s without its holder; then what moves is stopped.
_FREE_S = 12.0


async def flood(address: BrokerAddress, count: int = 300) -> None:
    """As fast as the broker takes them: nonsense, and pings that nobody waits for."""
    try:
        async with Connection(address, "soak-flood") as connection:
            for number in range(count):
                await connection.publish(Message(f"{_PREFIX}/request/run", _MALFORMED[number % len(_MALFORMED)]))
    except PicobridgeError:  # the broker was away
        return


async def slow_reader(address: BrokerAddress, seconds: float) -> None:
    """Subscribes to all samples and does not read from its socket."""
    identifier = b"soak-slow"
    payload = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(identifier).to_bytes(2, "big") + identifier
    topic = f"{_PREFIX}/#".encode()
    subscription = b"\x00\x01" + len(topic).to_bytes(2, "big") + topic + b"\x01"
    try:
        reader, writer = await asyncio.open_connection(address.host, address.port, limit=256)
    except OSError:
        return
    try:
        writer.write(b"\x10" + bytes([len(payload)]) + payload)
        await reader.readexactly(4)
        writer.write(b"\x82" + bytes([len(subscription)]) + subscription)
        await pause(seconds)
    except (OSError, asyncio.IncompleteReadError):
        return
    finally:
        writer.transport.abort()


async def dying_holder(url: str, is_moving: Callable[[str], bool]) -> bool:
    """A client takes control of the stage, moves it and is killed. Whether it got that far.

    Raises `TimeoutError` if what it moved still moves long after its lease is over.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _HOLDER, url), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(15):
            held = bool(await process.stdout.readline())
            if held:
                await eventually(lambda: is_moving("stage") or process.returncode is not None, 15)
        moved = held and is_moving("stage")
        if moved:
            await pause(0.5)
    except TimeoutError:
        moved = False
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    await process.communicate()
    await eventually(lambda: not is_moving("stage"), _FREE_S)
    return moved
