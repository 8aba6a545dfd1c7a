from __future__ import annotations
import pytest, asyncio
from drivers.transports import open_transport
from drivers.errors import *
from mocks.wires import serve, UsbDescriptor
from .conftest import Echo

class UEcho(Echo):
    wire="usb"
    usb=UsbDescriptor(0xa0a0,2,serial="X1",product="echo")

async def test_round_trip():
    async with serve(UEcho()) as served:
        print(served.address)
        t = open_transport(served.address)
        await t.open()
        await t.write(b"hello\n")
        assert await t.read(1.0) == b"answer to hello\n"
        import time
        t0=time.perf_counter()
        for i in range(500):
            await t.leftovers()
            await t.write(b"hello\n")
            assert await t.read(1.0) == b"answer to hello\n"
        print((time.perf_counter()-t0)/500)
        with pytest.raises(DeviceTimeout): await t.read(0.12)
        served.wire.stall(0x81)
        with pytest.raises(ProtocolError) as e: await t.read(0.12)
        print(e.value)
        served.wire.zero_length_packet()
        assert await t.read(1)==b""
        t2 = open_transport(served.address)
        with pytest.raises(PortBusy) as e: await t2.open()
        print(e.value)
        lost=[]
        t.on_lost(lost.append)
        task=asyncio.create_task(t.read(1))
        await asyncio.sleep(0.02)
        await served.unplug()
        with pytest.raises(DeviceLost): await task
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
