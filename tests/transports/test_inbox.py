"""The inbox under every wire."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import DeviceLost, DeviceTimeout, ProtocolError
from drivers.transports import Address
from drivers.transports.inbox import Inbox

ADDRESS = Address("tcp", "nowhere:1")


async def test_what_came_before_the_loss_is_read_first() -> None:
    inbox = Inbox(ADDRESS, packets=False)
    inbox.put(b"ab")
    inbox.put(b"c")
    assert inbox.fail(DeviceLost("gone", hint="look"))
    assert not inbox.fail(DeviceLost("gone again"))
    assert await inbox.get(0.0) == b"abc"
    errors = []
    for _ in range(2):
        with pytest.raises(DeviceLost, match=r"^gone$") as caught:
            await inbox.get(0.0)
        errors.append(caught.value)
    # a copy each, because whoever catches one writes the device's name into it
    assert errors[0] is not errors[1]
    assert errors[0].hint == "look"


async def test_a_fault_is_raised_once_after_what_came_before() -> None:
    inbox = Inbox(ADDRESS, packets=True)
    inbox.put(b"packet")
    inbox.put_fault(ProtocolError("stalled"))
    assert await inbox.get(0.0) == b"packet"
    with pytest.raises(ProtocolError, match="stalled"):
        await inbox.get(0.0)
    with pytest.raises(DeviceTimeout):
        await inbox.get(0.0)


async def test_a_reader_is_woken_by_each_event() -> None:
    inbox = Inbox(ADDRESS, packets=False)
    for event in (lambda: inbox.put(b"x"), lambda: inbox.fail(DeviceLost("gone"))):
        reading = asyncio.create_task(inbox.get(60.0))
        await asyncio.sleep(0)
        event()
        async with asyncio.timeout(10):
            await asyncio.wait([reading])
    assert isinstance(reading.exception(), DeviceLost)


@given(chunks=st.lists(st.binary(max_size=8), max_size=20), packets=st.booleans())
def test_nothing_is_lost_or_reordered(chunks: list[bytes], packets: bool) -> None:
    async def play() -> list[bytes]:
        inbox = Inbox(ADDRESS, packets=packets)
        read = []
        for number, chunk in enumerate(chunks):
            inbox.put(chunk)
            if number % 3 == 2:
                read.append(await inbox.get(0.0))
        while not inbox.empty:
            read.append(await inbox.get(0.0))
        assert inbox.size == 0
        return read

    read = asyncio.run(play())
    assert b"".join(read) == b"".join(chunks)
    if packets:
        assert read == chunks
