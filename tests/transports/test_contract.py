"""What every wire promises, each against its mock."""

from __future__ import annotations

import asyncio
import re

import pytest

from drivers.errors import DeviceLost, DeviceTimeout, PortBusy
from drivers.transports import open_transport
from mocks.wires import serve

from .instruments import KINDS, PATIENCE_S, STREAMS, Echo, address_of, rig


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_round_trips(kind: str) -> None:
    async with rig(kind) as r:
        for number in range(5):
            assert await r.ask(b"%d" % number) == b"answer to %d" % number
        assert r.echo.record == ["0", "1", "2", "3", "4"]


async def test_every_byte_value_passes_both_ways(kind: str) -> None:
    everything = bytes(value for value in range(256) if value != 0x0A)
    async with rig(kind) as r:
        for start in range(0, 255, 40):
            part = everything[start : start + 40]
            assert await r.ask(part) == b"answer to " + part


async def test_a_reply_in_single_bytes_arrives_whole(kind: str) -> None:
    async with rig(kind) as r:
        rule = r.served.faults.split()
        assert await r.ask(b"x") == b"answer to x"
        assert rule.hits == 1


async def test_ten_replies_at_once_arrive_all(kind: str) -> None:
    async with rig(kind) as r:
        r.served.faults.merge(10)
        await r.transport.write(b"".join(b"%d\n" % n for n in range(10)))
        received = b""
        while received.count(b"\n") < 10:
            received += await r.transport.read(PATIENCE_S)
        assert received == b"".join(b"answer to %d\n" % n for n in range(10))


async def test_large_amounts_pass_without_loss(kind: str) -> None:
    async with rig(kind) as r:
        line = bytes(range(11, 256)) * 40
        await r.transport.write(line[:9000] + b"\n", PATIENCE_S)
        assert await r.line() == b"answer to " + line[:9000]


async def test_silence_ends_at_the_deadline_with_a_named_error(kind: str) -> None:
    async with rig(kind) as r:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        with pytest.raises(DeviceTimeout, match=r"no answer from .* within 0\.08 s") as caught:
            await r.transport.read(0.08)
        assert loop.time() - begin >= 0.08 - 0.001
        assert isinstance(caught.value, TimeoutError)
        assert "baud" in caught.value.hint
        assert await r.ask(b"still there") == b"answer to still there"


async def test_a_cancelled_read_loses_nothing(kind: str) -> None:
    async with rig(kind) as r:
        r.served.faults.late()
        reading = asyncio.create_task(r.ask(b"first"))
        async with asyncio.timeout(PATIENCE_S):
            await r.served.faults.holding()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        r.served.faults.release()
        assert await r.line() == b"answer to first"
        assert await r.ask(b"second") == b"answer to second"


async def test_reads_cancelled_at_any_moment_lose_nothing(kind: str) -> None:
    async with rig(kind) as r:
        r.served.faults.split()
        await r.transport.write(b"abcdefgh\n")
        received = bytearray()
        for turns in range(200):
            reading = asyncio.create_task(r.transport.read(PATIENCE_S))
            for _ in range(turns % 4):
                await asyncio.sleep(0)
            reading.cancel()
            try:
                received += await reading
            except asyncio.CancelledError:
                continue
        while not received.endswith(b"\n"):
            received += await r.transport.read(PATIENCE_S)
        assert received == b"answer to abcdefgh\n"


async def test_leftovers_are_what_nobody_waits_for(kind: str) -> None:
    async with rig(kind) as r:
        r.served.faults.duplicate()
        first = await r.ask(b"x")
        left = await r.transport.leftovers()
        # on a stream the second copy may have come with the first
        assert (first + b"\n" + left) == b"answer to x\nanswer to x\n"
        assert await r.transport.leftovers() == b""


async def test_drain_discards_until_quiet(kind: str) -> None:
    async with rig(kind) as r:
        r.served.faults.garbage(b"\x00\xff#", after=True)
        await r.transport.write(b"x\n")
        assert await r.transport.drain(0.1) == b"answer to x\n\x00\xff#"
        assert await r.ask(b"y") == b"answer to y"


async def test_an_unplug_in_a_read_ends_it_at_once(kind: str) -> None:
    async with rig(kind) as r:
        r.served.faults.late()
        reading = asyncio.create_task(r.ask(b"x"))
        async with asyncio.timeout(PATIENCE_S):
            await r.served.faults.holding()
            await r.served.unplug()
            with pytest.raises(DeviceLost) as caught:
                await reading
        assert r.transport.address.kind in str(caught.value)
        assert caught.value.hint
        assert len(r.lost) == 1


@pytest.mark.parametrize("idle_kind", ["serial", "tcp", "visa-socket"])
async def test_an_unplug_is_noticed_while_nobody_reads(idle_kind: str) -> None:
    async with rig(idle_kind) as r:
        assert await r.ask(b"x") == b"answer to x"
        await r.served.unplug()
        async with asyncio.timeout(PATIENCE_S):
            await r.was_lost.wait()
        for _ in range(3):
            with pytest.raises(DeviceLost, match="is gone"):
                await r.transport.read(0.1)
            with pytest.raises(DeviceLost):
                await r.transport.write(b"x\n")
        assert len(r.lost) == 1


async def test_after_an_unplug_everything_fails_and_it_is_reported_once(kind: str) -> None:
    async with rig(kind) as r:
        await r.served.unplug()
        for _ in range(3):
            with pytest.raises(DeviceLost):
                await r.transport.read(PATIENCE_S)
            with pytest.raises(DeviceLost):
                await r.transport.write(b"x\n")
        assert len(r.lost) == 1
        assert r.echo.record == []


async def test_what_came_before_an_unplug_can_still_be_read() -> None:
    # over TCP: a pty forgets what its client has not fetched
    async with rig("tcp") as r:
        await r.transport.write(b"x\n")
        async with asyncio.timeout(PATIENCE_S):
            await r.echo.heard.wait()
            await r.served.unplug()
            await r.was_lost.wait()
        assert await r.transport.read(0.0) == b"answer to x\n"
        with pytest.raises(DeviceLost):
            await r.transport.read(0.0)


async def test_the_same_transport_works_again_after_a_replug(kind: str) -> None:
    async with rig(kind) as r:
        address = r.served.address
        assert await r.ask(b"before") == b"answer to before"
        await r.served.unplug()
        await r.transport.close()
        with pytest.raises(DeviceLost) as caught:
            await r.transport.open()
        assert caught.value.hint
        await r.served.replug()
        assert r.served.address == address
        await r.transport.open()
        assert await r.ask(b"after") == b"answer to after"


async def test_what_was_open_before_an_unplug_stays_dead(kind: str) -> None:
    async with rig(kind) as r:
        assert await r.ask(b"before") == b"answer to before"
        await r.served.unplug()
        await r.served.replug()
        for _ in range(2):
            with pytest.raises(DeviceLost):
                await r.ask(b"CELL ON")
        assert r.echo.record == ["before"]


async def test_closing_ends_a_read_and_is_final(kind: str) -> None:
    async with rig(kind) as r:
        reading = asyncio.create_task(r.transport.read(PATIENCE_S))
        await asyncio.sleep(0)
        await r.transport.close()
        with pytest.raises(DeviceLost):
            await reading
        with pytest.raises(DeviceLost, match="not open"):
            await r.transport.read(0.1)
        with pytest.raises(DeviceLost, match="not open"):
            await r.transport.write(b"x")
        await r.transport.close()
        assert r.lost == []


async def test_the_instrument_sees_its_client_come_and_go(kind: str) -> None:
    async with rig(kind) as r:
        assert await r.ask(b"x") == b"answer to x"
        assert r.echo.clients == ["connected"]
        await r.transport.close()
        async with asyncio.timeout(PATIENCE_S):
            await r.echo.left.wait()
        assert r.echo.clients == ["connected", "gone"]


@pytest.mark.parametrize("exclusive_kind", ["serial", "usb", "visa-asrl"])
async def test_a_port_that_is_held_is_named_with_its_holder(exclusive_kind: str) -> None:
    async with rig(exclusive_kind) as r:
        # a client that was never heard of does not hold a pty yet
        assert await r.ask(b"x") == b"answer to x"
        second = open_transport(str(r.transport.address))
        with pytest.raises(PortBusy, match="held by") as caught:
            await second.open()
        assert caught.value.hint
        assert not second.is_open
        assert await r.ask(b"y") == b"answer to y"


async def test_an_opening_that_is_cancelled_leaves_nothing_open(kind: str) -> None:
    async with serve(Echo(), KINDS[kind]) as served:
        for turns in range(6):
            transport = open_transport(address_of(served, kind))
            opening = asyncio.create_task(transport.open())
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            await asyncio.wait([opening])
            assert transport.is_open != opening.cancelled()
            await transport.close()
        transport = open_transport(address_of(served, kind))
        async with asyncio.timeout(PATIENCE_S):
            while not transport.is_open:
                try:
                    await transport.open()
                except PortBusy:
                    # the thread of the last cancelled opening is about to close the port
                    await asyncio.sleep(0.001)
        await transport.close()


@pytest.mark.parametrize("stream", STREAMS)
async def test_two_readers_at_once_are_a_mistake_that_shows(stream: str) -> None:
    async with rig(stream) as r:
        reading = asyncio.create_task(r.transport.read(PATIENCE_S))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match=re.escape("two tasks")):
            await r.transport.read(PATIENCE_S)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
