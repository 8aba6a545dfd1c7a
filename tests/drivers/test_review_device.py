"""What all drivers share: construction, defaults of the wire, and a close that cannot be cut short."""

from __future__ import annotations

import asyncio

import pytest

from drivers.clock import SYSTEM_CLOCK
from drivers.errors import InvalidValue
from drivers.gauges import PfeifferTpgOptions
from drivers.interfaces import Device, Gauge, Identity, Pressure
from drivers.registry import DRIVERS, driver_class
from drivers.stages import ZeissRemcon
from drivers.transports import open_transport
from mocks.instruments.pfeiffer_tpg import PfeifferTpgMock
from mocks.wires import serve
from mocks.world import World


class _SlowToMakeSafe(Gauge):
    """Its make_safe takes a while, as switching a source off does."""

    def _set_up(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.safe = False

    async def _connect(self) -> Identity:
        await self.transport.open()
        return await self.identify()

    async def identify(self) -> Identity:
        return Identity("nobody", "test")

    async def pressure(self) -> Pressure:
        raise NotImplementedError

    async def make_safe(self) -> None:
        self.begun.set()
        await self.go_on.wait()
        self.safe = True


async def test_a_cancelled_close_makes_safe_first() -> None:
    async with serve(PfeifferTpgMock(World(seed=1), "gauge"), "tcp") as served:
        device = _SlowToMakeSafe(served.address)
        await device.connect()
        closing = asyncio.create_task(device.close())
        await device.begun.wait()
        closing.cancel()
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.sleep(0)
        assert device.transport.is_open
        device.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert device.safe
        assert not device.transport.is_open


@pytest.mark.parametrize("name", [entry.name for entry in DRIVERS])
def test_drivers_are_all_constructed_alike(name: str) -> None:
    assert driver_class(name).__init__ is Device.__init__


def test_options_of_another_driver_are_refused() -> None:
    with pytest.raises(InvalidValue, match=r"PfeifferTpgOptions; ZeissRemconOptions is accepted"):
        ZeissRemcon("serial:/dev/null", PfeifferTpgOptions(), clock=SYSTEM_CLOCK)


def test_the_usual_baud_rate_of_a_port_holds_for_its_visa_name_too() -> None:
    defaults = {"serial": {"baud": "230400"}}
    assert open_transport("visa:ASRL/dev/ttyUSB0::INSTR", defaults).address.parameters == {"baud": "230400"}
    assert open_transport("visa:ASRL/dev/ttyUSB0::INSTR?baud=9600", defaults).address.parameters == {"baud": "9600"}
    assert open_transport("visa:GPIB0::24::INSTR", defaults).address.parameters == {}
