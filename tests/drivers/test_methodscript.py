"""The driver against the simulated instrument on a pty; the cell by the instrument's own record."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import numpy as np
import pytest

from drivers.errors import (
    Busy,
    DeviceError,
    InvalidValue,
    LinkError,
    RunFailed,
    Unsupported,
    WrongDevice,
)
from drivers.potentiostats.methodscript import MethodScript, MethodScriptOptions, run
from drivers.samples import EndReason, Flag, SampleBlock
from drivers.techniques import CyclicVoltammetry, OpenCircuit, Potentiostatic
from mocks.instruments.methodscript import MethodScriptMock
from mocks.wires import serve
from mocks.world import World
from tests.near import near

from .methodscript_bench import LONG, bench, first_blocks, until

# --- who it is ------------------------------------------------------------------------------------------------------


async def test_connect_identifies_and_switches_the_cell_off() -> None:
    async with bench(model="es4_lr") as b:
        identity = b.driver.identity
        assert identity is not None
        assert (identity.make, identity.model, identity.serial, identity.firmware) == (
            "PalmSens", "EmStat4 LR", "ES4LR20B0008", "1.5.00",
        )  # fmt: skip
        # at once, and once more to find out whether it has l and r
        assert b.mock.record == ["loaded 1 lines", "run", "cell off"] * 2
        assert await b.driver.identify() == identity
        assert b.driver.script_version == "01.09.00"


@pytest.mark.parametrize("model", ["espico", "senswb"])
async def test_a_pico_is_a_potentiostat_only(model: str) -> None:
    async with bench(model=model) as b:
        assert "galvanostatic" not in b.driver.capabilities.techniques
        before = list(b.mock.record)
        with pytest.raises(Unsupported, match="no constant-current mode"):
            await b.driver.galvanostatic(1e-9, 1.0)
        assert b.mock.record == before


async def test_a_low_range_emstat_cannot_hold_a_full_cell() -> None:
    async with bench(model="es4_lr") as b:
        with pytest.raises(InvalidValue, match=r"voltage_max_v is 4\.2 V"):
            await b.driver.galvanostatic(1e-9, 1.0, voltage_max_v=4.2)
        assert b.driver.capabilities.voltage_max_v == 3.0
        assert b.driver.capabilities.current_ranges[0].label == "1 nA"


async def test_a_bootloader_says_so() -> None:
    async with bench(model="espbl", connect=False) as b:
        with pytest.raises(DeviceError, match="bootloader") as caught:
            await b.driver.connect()
        assert "Power-cycle" in caught.value.hint


async def test_another_model_than_configured_gets_no_command() -> None:
    async with bench(connect=False, options={"model": "nexus1"}) as b:
        with pytest.raises(WrongDevice, match="es4_hr answers; the option model asks for nexus1"):
            await b.driver.connect()
        assert b.mock.record == []


async def test_old_firmware_without_capabilities_is_driven_by_e() -> None:
    async with bench(old_firmware=True) as b:
        block = await b.driver.potentiostatic(3.8, 1.0)
        assert len(block) == 10
        assert b.mock.record[-7:] == [
            "loaded 22 lines",
            "run",
            "cell on",
            "cell off",
            "loaded 1 lines",
            "run",
            "cell off",
        ]


@pytest.mark.parametrize(("own", "asked", "hinted"), [(921600, "230400", "921600"), (230400, "921600", "230400")])
async def test_the_wrong_baud_rate_names_the_other(own: int, asked: str, hinted: str) -> None:
    world = World(seed=7)
    async with serve(MethodScriptMock(world, "pstat", baud=own)) as served:
        driver = MethodScript(f"{served.address}?baud={asked}", clock=world.host_clock("pstat"))
        driver._protocol.reply_timeout_s = 0.2
        with pytest.raises(LinkError) as caught:
            await driver.connect()
        assert f"?baud={hinted}" in caught.value.hint


def test_options_are_checked() -> None:
    for wrong, message in (
        ({"model": "es5"}, "model is 'es5'; accepted: espico"),
        ({"mains_hz": 55}, "mains_hz is 55; accepted: 50, 60"),
        ({"current_range_a": 0.0}, "current_range_a is 0.0"),
    ):
        with pytest.raises(InvalidValue, match=message):
            MethodScriptOptions(**wrong)  # type: ignore[arg-type]


def test_before_connecting_it_speaks_for_the_family() -> None:
    driver = MethodScript("serial:/dev/null")
    assert driver.capabilities.voltage_max_v == 10.0
    assert driver.transport.address.parameters["baud"] == "230400"
    assert MethodScript("visa:ASRL/dev/ttyS9::INSTR").transport.address.parameters["baud"] == "230400"


# --- measuring ------------------------------------------------------------------------------------------------------


async def test_open_circuit_leaves_the_cell_off() -> None:
    async with bench() as b:
        block = await b.driver.open_circuit(1.0, 10.0)
        assert block.end is EndReason.DURATION
        assert block["time_s"].tolist() == [float(f"0.{n}") for n in range(1, 10)] + [1.0]
        assert (block["current_a"] == 0).all()
        assert np.ptp(block["voltage_v"][5:]) < 0.01
        assert "cell on" not in b.mock.record


async def test_galvanostatic_stops_at_the_voltage_limit_and_the_cell_is_off() -> None:
    async with bench() as b:
        block = await b.driver.galvanostatic(2e-9, 60.0, voltage_max_v=4.2)
        assert block.end is EndReason.VOLTAGE_MAX
        assert block["voltage_v"][-1] >= 4.2
        assert (block["voltage_v"][:-1] < 4.2).all()
        assert block["current_a"] == near(2e-9, rel=0.01)
        assert block.attributes["current_range"] == "100 nA"
        assert not b.mock.cell_is_on
        assert b.mock.record[-3:] == ["loaded 1 lines", "run", "cell off"]


async def test_the_charge_limit_ends_it_on_the_instruments_own_time() -> None:
    async with bench(model="es4_lr", route=0) as b:
        block = await b.driver.galvanostatic(1e-9, 60.0, charge_limit_c=2e-9)
        assert block.end is EndReason.CAPACITY
        assert block["time_s"][-1] == 2.0
        assert len(block) == 20


async def test_potentiostatic_ends_by_taper_and_by_current_limit() -> None:
    async with bench() as b:
        tapered = await b.driver.potentiostatic(3.8, 600.0, taper_current_a=6.05e-10)
        assert tapered.end is EndReason.TAPER
        assert (np.abs(tapered["current_a"][-3:]) <= 6.05e-10).all()
        limited = await b.driver.potentiostatic(5.0, 600.0, current_limit_a=1e-10)
        assert limited.end is EndReason.CURRENT_LIMIT
        assert len(limited) == 1
        assert not b.mock.cell_is_on


async def test_voltammogram_and_spectrum() -> None:
    async with bench(route=0) as b:
        sweep = CyclicVoltammetry(begin_v=0, vertex1_v=0.5, vertex2_v=-0.5, rate_v_per_s=0.1, step_v=0.1, cycles=2)
        curve = await b.driver.collect(sweep)
        assert curve.end is EndReason.FINISHED
        assert len(curve) == 2 * 21
        assert curve["voltage_v"].max() == 0.5
        assert curve["voltage_v"].min() == -0.5
        assert np.polyfit(curve["voltage_v"], curve["current_a"], 1)[0] == near(1e-9, rel=0.1)
        spectrum = await b.driver.impedance(1e3, 1.0, 7, 0.01, 0.1)
        assert spectrum.end is EndReason.FINISHED
        assert spectrum["frequency_hz"][[0, -1]].tolist() == [1000.0, 1.0]
        assert (spectrum["z_imag_ohm"] < 0).all()
        assert (np.diff(spectrum["time_s"]) > 0).all()


async def test_ranges_change_between_blocks_and_flags_come_with_the_samples() -> None:
    async with bench(model="es4_lr", route=0) as b:
        sweep = CyclicVoltammetry(begin_v=0, vertex1_v=2.9, vertex2_v=0, rate_v_per_s=1, step_v=0.1)
        async with aclosing(b.driver.run(sweep)) as blocks:
            seen = [block async for block in blocks]
        ranges = [block.attributes["current_range"] for block in seen if len(block)]
        assert list(dict.fromkeys(ranges)) == ["1 nA", "10 nA"]
        fixed = await b.driver.potentiostatic(0.05, 0.5)
        assert (fixed["flags"] & Flag.UNDERLOAD == 0).all()
    async with bench(model="es4_lr", route=0, options={"current_range_a": 1e-9}) as b:
        clipped = await b.driver.collect(Potentiostatic(voltage_v=2.99, duration_s=5.0))
        assert clipped.end is EndReason.OVERLOAD
        assert (clipped["flags"] & Flag.OVERLOAD != 0).all()
        assert len(clipped) >= 3


async def test_blocks_are_numbered_without_gaps_and_the_last_has_the_end() -> None:
    async with bench(route=0) as b:
        async with aclosing(b.driver.run(OpenCircuit(duration_s=50.0))) as blocks:
            seen = [block async for block in blocks]
        assert [block.end for block in seen[:-1]] == [None] * (len(seen) - 1)
        assert seen[-1].end is EndReason.DURATION
        assert SampleBlock.concatenate(seen).next_index == 500


async def test_the_same_seed_gives_the_same_bytes() -> None:
    results = []
    for _ in range(2):
        async with bench() as b:
            block = await b.driver.galvanostatic(5e-10, 20.0)
            results.append([block[name].tobytes() for name in ("time_s", "voltage_v", "current_a", "flags")])
    assert results[0] == results[1]


async def test_flow_control_bytes_are_no_data() -> None:
    async with bench(route=0) as b:
        plain = await b.driver.open_circuit(2.0, 10.0)
        b.mock.xon_every = 2
        sprinkled = await b.driver.open_circuit(2.0, 10.0)
        assert len(sprinkled) == len(plain) == 20
        assert not (sprinkled["flags"] & Flag.GAP).any()


# --- however it is left ---------------------------------------------------------------------------------------------


async def _fail_in_the_loop(driver: MethodScript) -> None:
    async with aclosing(driver.run(LONG)) as blocks:
        async for _ in blocks:
            raise ZeroDivisionError


async def test_leaving_the_iterator_aborts_and_the_cell_is_off() -> None:
    async with bench() as b:
        await first_blocks(b.driver, 20)
        assert not b.mock.cell_is_on
        assert not b.mock.is_running
        assert b.mock.record[-6:] == ["Z", "aborted", "cell off", "loaded 1 lines", "run", "cell off"]
        assert (await b.driver.open_circuit(0.5)).end is EndReason.DURATION


async def test_an_exception_in_the_loop_and_a_cancellation_do_the_same() -> None:
    async with bench() as b:
        with pytest.raises(ZeroDivisionError):
            await _fail_in_the_loop(b.driver)
        assert not b.mock.cell_is_on
        task = asyncio.create_task(b.driver.collect(LONG))
        await until(lambda: b.mock.cell_is_on)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not b.mock.cell_is_on
        assert not b.mock.is_running
        assert len(await b.driver.open_circuit(0.5)) == 5


async def test_a_second_cancellation_does_not_leave_the_cell_on() -> None:
    async with bench() as b:
        task = asyncio.create_task(b.driver.collect(LONG))
        await until(lambda: b.mock.cell_is_on)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not b.mock.cell_is_on


async def test_stop_while_a_run_is_read_and_while_nobody_reads() -> None:
    async with bench() as b:
        reading = asyncio.create_task(b.driver.collect(LONG))
        await until(lambda: b.mock.cell_is_on)
        await b.driver.stop()
        assert not b.mock.cell_is_on
        assert (await reading).end is EndReason.STOPPED
        async with aclosing(b.driver.run(LONG)) as blocks:
            await anext(blocks)
            await b.driver.make_safe()
            assert not b.mock.cell_is_on
            rest = [block async for block in blocks]
        assert rest[-1].end is EndReason.STOPPED
        await b.driver.stop()


async def test_a_stop_during_the_loading_starts_nothing() -> None:
    async with bench() as b:
        b.faults.late()
        running = asyncio.create_task(b.driver.collect(LONG))
        await b.faults.holding()
        stopping = asyncio.create_task(b.driver.stop())
        await asyncio.sleep(0)
        b.faults.release()
        await stopping
        block = await running
        assert (len(block), block.end) == (0, EndReason.STOPPED)
        assert "cell on" not in b.mock.record


async def test_one_run_at_a_time_and_the_heartbeat_does_not_disturb_it() -> None:
    async with bench() as b, aclosing(b.driver.run(LONG)) as blocks:
        await anext(blocks)
        with pytest.raises(Busy):
            await b.driver.open_circuit()
        assert await b.driver.identify() == b.driver.identity
        assert b.mock.is_running


async def test_samples_that_nobody_takes_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PENDING_SAMPLES", 500)
    async with bench() as b:
        async with aclosing(b.driver.run(LONG)) as blocks:
            await anext(blocks)
            await until(lambda: not b.mock.is_running and not b.mock.cell_is_on)
            with pytest.raises(RunFailed, match="nobody takes them"):
                async for _ in blocks:
                    pass
        assert not b.mock.cell_is_on
