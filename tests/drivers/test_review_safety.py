"""Whatever ends a run or a move, and whoever asks for it: the source is off, the motion stopped, and it is said."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from drivers.errors import CellNotOff, DeviceError, DeviceLost
from drivers.feedthroughs import ModbusRelay, ModbusRelayOptions
from drivers.interfaces import Potentiostat
from drivers.potentiostats.methodscript import MethodScript
from drivers.potentiostats.methodscript.protocol import Protocol
from drivers.potentiostats.methodscript.run import ScriptRun
from drivers.samples import EndReason
from drivers.stages import ZeissRemcon, zeiss_remcon
from drivers.techniques import Galvanostatic
from mocks.instruments.methodscript import MethodScriptMock
from mocks.instruments.modbus_relay import ModbusRelayMock
from mocks.instruments.zeiss_remcon import ZeissRemconMock
from mocks.wires import serve
from mocks.world import World

from .keithley_bench import bench as keithley
from .tdstat_rig import rig as tdstat


async def switched_off_from_elsewhere(device: Potentiostat, technique: Galvanostatic) -> EndReason | None:
    """Run it, and call `cell_off` after the first block; returns how the run ended."""
    end = None
    async with asyncio.timeout(20), aclosing(device.run(technique)) as blocks:
        first = await anext(blocks)
        assert first.end is None
        await device.cell_off()
        async for block in blocks:
            end = block.end
    return end


async def test_cell_off_ends_the_run_of_a_tdstat() -> None:
    async with tdstat() as r:
        technique = Galvanostatic(current_a=1e-9, duration_s=1e6)
        assert await switched_off_from_elsewhere(r.device, technique) is EndReason.STOPPED
        assert not r.mock.cell_on


async def test_cell_off_ends_the_run_of_a_keithley() -> None:
    async with keithley() as b:
        technique = Galvanostatic(current_a=1e-9, duration_s=1e6)
        assert await switched_off_from_elsewhere(b.smu, technique) is EndReason.STOPPED
        assert b.mock.source.output is False


async def test_a_stage_whose_tool_refuses_to_tell_its_position_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zeiss_remcon, "_QUIET_S", 0.02)
    world = World()
    world.chamber.set_stage(0.020, 0.020, 0.005)
    mock = ZeissRemconMock(world, speed_mm_per_s=0.001)
    plain = mock._execute

    def execute(verb: str, arguments: list[str]) -> str | int:
        return 604 if verb == "C95?" and mock.moving else plain(verb, arguments)

    async with serve(mock, "tcp") as served:
        stage = ZeissRemcon(served.address, name="stage", clock=world.host_clock("stage"))
        await stage.connect()
        monkeypatch.setattr(mock, "_execute", execute)
        with pytest.raises(DeviceError, match="604") as caught:
            await stage.move_to(x_m=0.080)
        async with asyncio.timeout(10):
            while "ABO" not in mock.record:  # noqa: ASYNC110 - the mock has no event for what it was told
                await asyncio.sleep(0)
        assert not mock.moving
        assert "may still be moving" in f"{caught.value.message} {caught.value.hint}"
        await stage.close()


async def test_an_unplug_after_a_run_time_error_says_that_the_cell_is_not_proven_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*_: Any) -> None:
        raise DeviceError("error 0032: critical overload", code=0x32)

    async def gone(*_: Any) -> None:
        raise DeviceLost("unplugged")

    world = World(seed=7)
    async with serve(MethodScriptMock(world, "pstat")) as served:
        driver = MethodScript(served.address, name="pstat", clock=world.host_clock("pstat"))
        await driver.connect()
        with monkeypatch.context() as patch:
            patch.setattr(ScriptRun, "_stream", broken)
            patch.setattr(Protocol, "recover", gone)
            with pytest.raises(CellNotOff, match="unplugged"):
                await driver.collect(Galvanostatic(current_a=1e-6, duration_s=1.0))
        await driver.close()


async def test_a_cancelled_selection_leaves_no_relay_closed_that_is_not_proven() -> None:
    world = World()
    mock = ModbusRelayMock(world, "relays", write_many=False)
    options = ModbusRelayOptions(routes={"cell": [0, 1, 2]})
    async with serve(mock, "tcp") as served:
        relay = ModbusRelay(served.address, options, name="relays", clock=world.host_clock("relays"))
        await relay.connect()
        selecting = asyncio.create_task(relay.select("cell"))
        async with asyncio.timeout(10):
            while not any(world.wiring.relays.values()):  # noqa: ASYNC110 - the world has no event for a relay
                await asyncio.sleep(0)
        selecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await selecting
        assert not any(world.wiring.relays.values())
        assert await relay.route() == "open"
        await relay.close()
