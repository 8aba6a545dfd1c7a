from __future__ import annotations
import pytest, asyncio
from drivers.transports import open_transport
from drivers.errors import *
from mocks.wires import serve, UsbDescriptor
from .conftest import Echo

@pytest.mark.parametrize("wire",["tcp","pty"])
async def test_round_trip(wire):
    async with serve(Echo(),wire) as served:
        if wire=="tcp":
            port=served.address.rpartition(":")[2]
            a=f"visa:TCPIP::127.0.0.1::{port}::SOCKET"
        else:
            a=f"visa:ASRL{served.address.removeprefix('serial:')}::INSTR"
        t = open_transport(a)
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
        if wire=="pty":
            t2 = open_transport(a)
            with pytest.raises(PortBusy) as e: await t2.open()
            print(e.value)
        lost=[]
        t.on_lost(lost.append)
        if wire=="pty":
            task=asyncio.create_task(t.read(1))
        await asyncio.sleep(0.02)
        await served.unplug()
        await asyncio.sleep(0.02)
        if wire=="tcp": assert lost
        else:
            with pytest.raises(DeviceLost): await task
        with pytest.raises(DeviceLost) as e: await t.read(1)
        print(e.value)
        assert len(lost)==1
        await t.close()
        with pytest.raises(DeviceLost) as e: await t.open()
        print(e.value)
        await served.replug()
        await t.open()
        await t.write(b"hello\n")
        assert await t.read(1.0) == b"answer to hello\n"
        await t.close()

async def test_bad():
    for a in ["visa:FOO", "visa:TCPIP::1.2.3.4::SOCKET", "visa:GPIB0::24::INSTR", "visa:USB0::1::2::3::INSTR", "visa:TCPIP::127.0.0.1::1::SOCKET?library=/nix.so", "visa:ASRL/dev/nix::INSTR","visa:TCPIP::127.0.0.1::INSTR"]:
        with pytest.raises(PicobridgeError) as e:
            await open_transport(a).open()
        print(repr(e.value), e.value.hint)
