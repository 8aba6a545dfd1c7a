from __future__ import annotations
import pytest
from drivers.transports import open_transport
from drivers.errors import *
from mocks.wires import serve
from .conftest import Echo

@pytest.mark.parametrize("wire", ["pty", "tcp"])
async def test_round_trip(wire):
    async with serve(Echo(), wire) as served:
        t = open_transport(served.address)
        await t.open()
        await t.write(b"hello\n")
        assert await t.read(1.0) == b"answer to hello\n"
        lost=[]
        t.on_lost(lost.append)
        await served.unplug()
        with pytest.raises(DeviceLost): await t.read(1)
        assert len(lost)==1
        await t.close()
        with pytest.raises(DeviceLost) as e: await t.open()
        print(e.value)
        await served.replug()
        await t.open()
        await t.write(b"hello\n")
        assert await t.read(1.0) == b"answer to hello\n"
        await t.close()
