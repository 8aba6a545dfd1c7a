"""However a run ends and whatever the instrument was left in: the relay is open, by the instrument's own record."""

from __future__ import annotations

import asyncio
import gc
import logging
from contextlib import aclosing

import pytest

from drivers.errors import Busy, CellNotOff, DeviceError, DeviceLost
from drivers.potentiostats.keithley24xx import Keithley24xx
from drivers.samples import EndReason, SampleBlock
from drivers.techniques import Galvanostatic
from mocks.instruments.keithley24xx import Keithley24xxMock
from mocks.instruments.keithley24xx.scpi import ScpiError
from mocks.world import CurrentDrive, HostClock, OpenDrive, VoltageDrive

from .keithley_bench import Bench, bench

FOREVER = Galvanostatic(current_a=1e-9, duration_s=1e9, interval_s=0.1)
MODELS = ["6430", "2450"]


def refuse(mock: Keithley24xxMock, header: str, error: ScpiError) -> None:
    """Let the instrument refuse one header."""
    find = mock.commands.find

    def refusing(given: str) -> object:
        if given == header:
            raise error
        return find(given)

    mock.commands.find = refusing  # type: ignore[assignment, method-assign]


async def some(smu: Keithley24xx, blocks: int = 3) -> list[SampleBlock]:
    taken = []
    async with aclosing(smu.run(FOREVER)) as run:
        async for block in run:
            taken.append(block)
            if len(taken) == blocks:
                break
    return taken


@pytest.mark.parametrize("model", MODELS)
async def test_the_factory_off_state_is_made_high_impedance_on_connecting(model: str) -> None:
    async with bench(connect=False, mock={"model": model}) as b:
        assert isinstance(b.mock.source.drives[-1][1], VoltageDrive)  # the trap: "off" is 0 V on the cell
        await b.smu.connect()
        assert b.mock.cell_is_open
        assert not any("RST" in command or "PRES" in command for command in b.mock.record)


@pytest.mark.parametrize("model", MODELS)
async def test_an_output_found_on_goes_off_without_a_moment_at_zero_volts(
    model: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(connect=False, mock={"model": model}) as b:
        source = b.mock.source
        source.function, source.level["CURR"], source.output = "CURR", 1e-9, True
        source.apply()
        drives_before = len(source.drives)
        with caplog.at_level(logging.WARNING):
            await b.smu.connect()
        assert "the output was on" in caplog.text
        assert [type(drive) for _, drive in source.drives[drives_before:]] == [OpenDrive]


async def test_errors_found_in_the_queue_are_told(caplog: pytest.LogCaptureFixture) -> None:
    async with bench(connect=False) as b:
        b.mock.fail(-350, "Queue overflow")
        with caplog.at_level(logging.WARNING):
            await b.smu.connect()
        assert "-350, Queue overflow" in caplog.text


@pytest.mark.parametrize("model", MODELS)
async def test_breaking_out_of_a_run_opens_the_relay(model: str) -> None:
    async with bench(mock={"model": model}) as b:
        await some(b.smu)
        assert b.mock.cell_is_open
        assert not b.saw_zero_volts
        assert len(await some(b.smu)) == 3  # and another run can follow


async def test_an_error_of_the_consumer_opens_the_relay() -> None:
    async with bench() as b:
        run = b.smu.run(FOREVER)

        async def consume() -> None:
            async with aclosing(run):
                async for _ in run:
                    raise KeyError("the consumer's own")

        with pytest.raises(KeyError):
            await consume()
        assert b.mock.cell_is_open


async def test_a_run_dropped_without_closing_opens_the_relay() -> None:
    async with bench() as b:
        opened = asyncio.Event()
        apply = b.mock.source.apply

        def watched() -> None:
            apply()
            if b.mock.cell_is_open and ":OUTP ON" in b.mock.record:
                opened.set()

        b.mock.source.apply = watched  # type: ignore[method-assign]
        async for _ in b.smu.run(FOREVER):
            break
        gc.collect()
        await asyncio.wait_for(opened.wait(), 10)
        await b.smu.stop()


@pytest.mark.parametrize("cancellations", [1, 3])
async def test_cancelling_a_run_opens_the_relay(cancellations: int) -> None:
    async with bench() as b:
        started = asyncio.Event()

        async def consume() -> None:
            async with aclosing(b.smu.run(FOREVER)) as run:
                async for _ in run:
                    started.set()

        task = asyncio.create_task(consume())
        await started.wait()
        for _ in range(cancellations):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert b.mock.cell_is_open


async def test_stop_ends_a_run_under_way() -> None:
    async with bench() as b:
        blocks: list[SampleBlock] = []
        started = asyncio.Event()

        async def consume() -> None:
            async for block in b.smu.run(FOREVER):
                blocks.append(block)
                started.set()

        task = asyncio.create_task(consume())
        await started.wait()
        await b.smu.stop()
        assert b.mock.cell_is_open
        await task
        assert blocks[-1].end is EndReason.STOPPED
        assert b.mock.cell_is_open
        assert SampleBlock.concatenate(blocks).first_index == 0


async def test_stop_does_not_wait_for_a_slow_consumer() -> None:
    async with bench() as b:
        async with aclosing(b.smu.run(FOREVER)) as run:
            await anext(run)
            assert not b.mock.cell_is_open
            await b.smu.stop()
            assert b.mock.cell_is_open
            rest = [block async for block in run]
        assert rest[-1].end is EndReason.STOPPED
        assert b.mock.record.count(":OUTP ON") == 1


class GateClock:
    """A host clock that stands still in its first long wait until it is told to go on."""

    def __init__(self, clock: HostClock) -> None:
        self._clock = clock
        self.monotonic, self.time_ns = clock.monotonic, clock.time_ns
        self.waiting, self.go_on = asyncio.Event(), asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds > 1:
            self.waiting.set()
            await self.go_on.wait()
        await self._clock.sleep(seconds)


async def test_stop_while_the_source_settles_keeps_the_current_from_the_cell() -> None:
    async with bench() as b:
        clock = GateClock(b.world.host_clock("smu"))
        b.smu.clock = clock
        settling_2_s = Galvanostatic(current_a=1e-12, duration_s=1e9)
        task = asyncio.create_task(b.smu.collect(settling_2_s))
        await clock.waiting.wait()
        await b.smu.stop()
        assert b.mock.cell_is_open
        clock.go_on.set()
        block = await task
        assert (len(block), block.end) == (0, EndReason.STOPPED)
        assert set(b.sourced) == {0.0}


async def test_a_second_run_is_busy_and_leaves_the_first_alone() -> None:
    async with bench() as b:
        async with aclosing(b.smu.run(FOREVER)) as run:
            await anext(run)
            with pytest.raises(Busy):
                await b.smu.open_circuit(1.0)
            assert (await anext(run)).first_index > 0
        assert b.mock.cell_is_open


async def test_closing_the_device_opens_the_relay() -> None:
    async with bench() as b:
        run = b.smu.run(FOREVER)
        await anext(run)
        await b.smu.close()
        assert b.mock.cell_is_open
        await run.aclose()


@pytest.mark.parametrize(
    ("header", "error", "wanted"),
    [
        ("SOUR:CURR:RANG", ScpiError(-222, "Parameter data out of range"), ":SOUR:CURR:RANG 1.000000000E-08"),
        ("SENS:VOLT:NPLC", ScpiError(-113, "Undefined header"), ":SENS:VOLT:NPLC"),
        ("OUTP", ScpiError(802, "OUTPUT blocked by output enable"), ":OUTP ON"),
    ],
)
async def test_a_refused_setting_names_itself_and_nothing_flows(header: str, error: ScpiError, wanted: str) -> None:
    async with bench(current_range=10e-9) as b:
        if header == "OUTP":
            original = b.mock.source.apply

            def blocked() -> None:
                if b.mock.source.output:
                    b.mock.source.output = False
                    raise error
                original()

            b.mock.source.apply = blocked  # type: ignore[method-assign]
        else:
            refuse(b.mock, header, error)
        with pytest.raises(DeviceError) as raised:
            await b.smu.galvanostatic(1e-9, 1.0)
        assert raised.value.detail["code"] == error.code
        assert error.text in raised.value.message
        assert wanted in raised.value.message
        assert b.mock.cell_is_open
        if header != "OUTP":
            assert ":OUTP ON" not in b.mock.record


async def test_a_refused_nicety_is_noted_and_the_run_goes_on() -> None:
    async with bench() as b:
        refuse(b.mock, "CALC2:NULL:STAT", ScpiError(-113, "Undefined header"))
        block = await b.smu.galvanostatic(1e-9, 1.0)
        assert len(block) == 10
        assert any(":CALC2:NULL:STAT OFF (error -113, Undefined header)" in n for n in block.attributes["notes"])


async def test_a_6430_without_its_preamplifier_is_found_out_before_anything_flows() -> None:
    async with bench(mock={"preamplifier": False}) as b:
        with pytest.raises(DeviceError, match="source range was set to 1e-11 A") as raised:
            await b.smu.galvanostatic(1e-12, 1.0)
        assert "preamplifier" in raised.value.hint
        assert ":OUTP ON" not in b.mock.record


async def test_a_set_point_that_was_rounded_away_is_found_out() -> None:
    async with bench() as b:
        set_level = b.mock.source.set_level
        b.mock.source.set_level = lambda quantity, value: set_level(quantity, 0.0)  # type: ignore[method-assign]
        with pytest.raises(DeviceError, match="set to 1e-12 A and reads back as 0 A"):
            await b.smu.galvanostatic(1e-12, 1.0)
        assert b.mock.cell_is_open


async def test_an_output_that_stays_on_is_a_cell_not_off() -> None:
    async with bench(timeout=0.1) as b:
        refuse(b.mock, "OUTP:SMOD", ScpiError(-113, "Undefined header"))
        b.mock.source.off_state = {"CURR": "NORM", "VOLT": "NORM"}
        with pytest.raises(CellNotOff) as raised:
            await b.smu.cell_off()
        assert "by hand" in raised.value.hint


async def test_silence_in_a_run_is_a_cell_not_off() -> None:
    async with bench(timeout=0.1, nplc=0.5) as b:
        async with aclosing(b.smu.run(FOREVER)) as run:
            await anext(run)
            b.served.faults.silence()
            with pytest.raises(CellNotOff, match="could not be proven off"):
                async for _ in run:
                    pass
        # nobody could prove it, but the command itself was the first thing that was sent
        assert b.mock.cell_is_open


async def lose(b: Bench) -> None:
    run = b.smu.run(FOREVER)
    await anext(run)
    await b.served.unplug()
    with pytest.raises(CellNotOff) as raised:
        async for _ in run:
            pass
    cause: BaseException | None = raised.value.__cause__
    assert isinstance(cause, DeviceLost)


@pytest.mark.parametrize("wire", ["tcp", "visa", "pty"])
async def test_a_pulled_cable_is_told_and_the_source_goes_off_first_on_reconnecting(wire: str) -> None:
    async with bench(wire) as b:
        await lose(b)
        assert isinstance(b.mock.source.drives[-1][1], CurrentDrive)  # no host watchdog: it goes on by itself
        await b.smu.transport.close()
        await b.served.replug()
        sent_before = len(b.mock.record)
        await b.smu.connect()
        assert b.mock.cell_is_open
        assert ":OUTP ON" not in b.mock.record[sent_before:]
        assert len(await b.smu.galvanostatic(1e-9, 1.0)) == 10


@pytest.mark.parametrize("model", MODELS)
async def test_a_reboot_with_lost_settings_ends_the_run_and_opens_the_relay(model: str) -> None:
    async with bench(timeout=0.2, nplc=0.5, mock={"model": model}) as b:
        run = b.smu.run(FOREVER)
        await anext(run)
        b.mock.power_cycle()
        assert not b.mock.cell_is_open  # NORMal again: 0 V on the cell
        with pytest.raises(DeviceError) as raised:
            async for _ in run:
                pass
        assert b.mock.cell_is_open
        if model == "6430":
            assert raised.value.detail["code"] == 803
        else:
            assert "the output is off although" in raised.value.message
