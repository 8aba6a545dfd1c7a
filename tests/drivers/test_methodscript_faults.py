"""Errors of the instrument and faults of its wire; the cell by the instrument's own record."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from drivers.errors import (
    CellNotOff,
    DeviceError,
    DeviceLost,
    DeviceTimeout,
    InvalidValue,
    ProtocolError,
)
from drivers.potentiostats.methodscript import MethodScript, run
from drivers.samples import EndReason, Flag, SampleBlock
from drivers.techniques import Impedance

from .methodscript_bench import LONG, bench, first_blocks, until

# --- errors of the instrument ---------------------------------------------------------------------------------------


async def _keep(driver: MethodScript, seen: list[SampleBlock]) -> None:
    async with aclosing(driver.run(LONG)) as blocks:
        async for block in blocks:
            seen.append(block)


async def test_a_runtime_error_skips_on_finished_and_the_second_script_switches_off() -> None:
    async with bench() as b:
        b.mock.fault_after = (5, 0x0032)
        seen: list[SampleBlock] = []
        with pytest.raises(DeviceError, match="error 0032: critical cell overload") as caught:
            await _keep(b.driver, seen)
        assert caught.value.detail["code"] == 0x0032
        assert SampleBlock.concatenate(seen).next_index == 5
        record = b.mock.record
        assert record[record.index("error 0032") :] == ["error 0032", "loaded 1 lines", "run", "cell off"]
        assert not b.mock.cell_is_on


async def test_a_short_circuit_is_a_critical_overload() -> None:
    async with bench(options={"current_range_a": 0.1}) as b:
        b.mock.world.events.short_ohm = 1.0
        with pytest.raises(DeviceError, match="0032"):
            await b.driver.potentiostatic(4.2, 5.0)
        assert not b.mock.cell_is_on


async def test_a_cell_that_cannot_be_proven_off_is_said() -> None:
    async with bench() as b:
        b.mock.cell_off_fails = True
        with pytest.raises(CellNotOff, match="error 0001") as caught:
            await b.driver.potentiostatic(3.8, 1.0)
        assert caught.value.hint == "Disconnect the cell by hand, now."
        with pytest.raises(CellNotOff):
            await b.driver.cell_off()
        b.mock.cell_off_fails = False
        await b.driver.cell_off()


async def test_a_refused_script_energises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench() as b:
        monkeypatch.setattr("mocks.instruments.methodscript.models.MockModel.refused", frozenset({"set_range_minmax"}))
        with pytest.raises(
            DeviceError, match=r"refused, nothing was energised: error 001B: .*line 8.*set_range_minmax"
        ):
            await b.driver.potentiostatic(3.8, 1.0)
        assert b.mock.record[-1] == "refused 001B"
        assert "cell on" not in b.mock.record


async def test_lines_that_it_can_do_without_are_left_out_when_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench() as b:
        refused = frozenset({"set_acquisition_frac_autoadjust", "mul_var"})
        monkeypatch.setattr("mocks.instruments.methodscript.models.MockModel.refused", refused)
        block = await b.driver.potentiostatic(3.8, 1.0, taper_current_a=1e-15)
        assert block.attributes["left_out"] == ["mains filter", "taper limit"]
        assert len(block) == 10


async def test_a_script_of_an_earlier_program_is_ended_at_connect() -> None:
    async with bench() as b:
        earlier = asyncio.create_task(b.driver.collect(LONG))
        await until(lambda: b.mock.cell_is_on)
        await b.served.unplug()
        with pytest.raises(CellNotOff):
            await earlier
        assert b.mock.cell_is_on, "the instrument goes on by itself"
        b.mock.halt()
        await b.served.replug()
        await b.driver.connect()
        assert not b.mock.cell_is_on
        assert not b.mock.is_running


async def test_an_unfinished_command_of_an_earlier_program_does_not_matter() -> None:
    async with bench(connect=False) as b:
        b.mock.receive(b"garbag")
        await b.driver.connect()
        assert (await b.driver.open_circuit(0.5)).end is EndReason.DURATION


# --- faults of the wire ---------------------------------------------------------------------------------------------


async def test_bytes_one_by_one_and_merged_change_nothing() -> None:
    async with bench(route=0) as b:
        plain = await b.driver.open_circuit(3.0, 10.0)
    async with bench(route=0) as b:
        b.faults.split()
        split = await b.driver.open_circuit(3.0, 10.0)
        b.faults.clear()
    assert [split[name].tobytes() for name in split.data] == [plain[name].tobytes() for name in plain.data]
    async with bench(route=0) as b:
        b.faults.merge(5, nth=4, times=30)
        merged = await b.driver.open_circuit(3.0, 10.0)
    assert [merged[name].tobytes() for name in merged.data] == [plain[name].tobytes() for name in plain.data]


@pytest.mark.parametrize("fault", ["drop", "corrupt", "duplicate"])
async def test_a_damaged_line_is_a_gap_not_a_number(fault: str) -> None:
    """The fifth line of measurement (after the replies to l and r and the M line)."""
    async with bench(route=0) as b:
        options: dict[str, Any] = {"offset": 4, "count": 1} if fault == "drop" else {}
        if fault == "corrupt":
            options = {"offset": 3, "mask": 0x80}
        getattr(b.faults, fault)(nth=8, **options)
        block = await b.driver.open_circuit(2.0, 10.0)
        assert block.end is EndReason.DURATION
        if fault == "duplicate":
            assert np.diff(block["time_s"]).min() > 0.05, "a line that came twice is one sample"
            assert len(block) == 20
            return
        assert len(block) == 19
        assert np.flatnonzero(block["flags"] & Flag.GAP).tolist() == [4]
        assert block["time_s"][[3, 4]].tolist() == [0.4, 0.6]


async def test_a_lost_line_shows_in_the_instruments_time() -> None:
    async with bench(route=0) as b:
        b.faults.drop(nth=8)
        block = await b.driver.open_circuit(2.0, 10.0)
        assert len(block) == 19
        assert np.flatnonzero(block["flags"] & Flag.GAP).tolist() == [4]


async def test_a_wire_that_spoils_everything_ends_the_run_with_the_cell_off() -> None:
    async with bench() as b:
        b.faults.corrupt(nth=8, times=run.UNREADABLE_LINES, offset=3, mask=0x80)
        with pytest.raises(ProtocolError, match="lines in a row could not be read"):
            await b.driver.collect(LONG)
        assert not b.mock.cell_is_on


async def test_the_lost_end_of_a_script_is_found_by_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.potentiostats.methodscript.script._silence", lambda interval_s: 0.3)
    monkeypatch.setattr(run, "_LOOK_S", 0.1)
    async with bench(route=0) as b:
        b.faults.drop(nth=3 + 10 + 2)  # l, r, M, ten samples, the closing asterisk, then the empty line
        block = await b.driver.open_circuit(1.0, 10.0)
        assert (len(block), block.end) == (10, EndReason.DURATION)


async def test_a_silent_script_is_aborted_and_the_cell_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.potentiostats.methodscript.script._silence", lambda interval_s: 0.3)
    monkeypatch.setattr(run, "_LOOK_S", 0.1)
    async with bench() as b:
        task = asyncio.create_task(b.driver.collect(LONG))
        await until(lambda: b.mock.cell_is_on)
        b.mock.halt()
        with pytest.raises(DeviceTimeout, match=r"said nothing for 0\.3 s"):
            await task
        assert not b.mock.cell_is_on


async def test_an_instrument_that_answers_no_more_leaves_the_cell_unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.potentiostats.methodscript.script._silence", lambda interval_s: 0.3)
    monkeypatch.setattr(run, "_LOOK_S", 0.1)
    async with bench() as b:
        task = asyncio.create_task(b.driver.collect(LONG))
        await until(lambda: b.mock.cell_is_on)
        b.faults.silence()
        b.driver._protocol.reply_timeout_s = 0.2
        b.mock.halt()
        with pytest.raises(CellNotOff, match="could not be switched off and proven off"):
            await task
        b.faults.clear()


async def test_a_dropped_reply_to_cell_off_is_asked_for_again() -> None:
    async with bench(route=0) as b:
        b.faults.drop(nth=3 + 5 + 3)  # the echo of the script that switches the cell off
        block = await b.driver.open_circuit(0.5, 10.0)
        assert block.end is EndReason.DURATION
        assert b.mock.record.count("cell off") == 6


async def test_a_lost_abort_is_sent_again() -> None:
    async with bench() as b:
        b.driver._protocol.reply_timeout_s = 0.2
        rule = b.faults.deaf(nth=3, times=1)  # after the script and the r
        await first_blocks(b.driver, 20)
        assert rule.hits == 1
        assert b.mock.record.count("Z") == 1
        assert not b.mock.cell_is_on


@pytest.mark.parametrize("lost", [1, 2])
async def test_a_script_or_a_start_that_never_arrives_energises_nothing(lost: int) -> None:
    async with bench() as b:
        b.driver._protocol.reply_timeout_s = 0.2
        b.faults.deaf(nth=lost, times=1)
        with pytest.raises(DeviceTimeout):
            await b.driver.collect(LONG)
        assert "cell on" not in b.mock.record
        assert len(await b.driver.open_circuit(0.5)) == 5


async def test_unplugged_in_a_run_says_that_the_cell_is_not_proven_off() -> None:
    async with bench() as b:
        async with aclosing(b.driver.run(LONG)) as blocks:
            await anext(blocks)
            await b.served.unplug()
            with pytest.raises(CellNotOff, match="goes on by itself") as caught:
                async for _ in blocks:
                    pass
        assert isinstance(caught.value.__cause__, DeviceLost)
        assert caught.value.detail["cause"] == "DeviceLost"
        await b.served.replug()


@pytest.mark.parametrize("banner", [b"\x11", b"EmStat4 HR\n", b"\n"])
async def test_a_restart_in_a_run_is_noticed(banner: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.potentiostats.methodscript.script._silence", lambda interval_s: 0.3)
    monkeypatch.setattr(run, "_LOOK_S", 0.1)
    async with bench() as b:
        b.mock.banner = banner
        async with aclosing(b.driver.run(LONG)) as blocks:
            await anext(blocks)
            b.mock.power_cycle()
            with pytest.raises(DeviceTimeout, match="said nothing"):
                async for _ in blocks:
                    pass
        assert not b.mock.cell_is_on
        assert len(await b.driver.open_circuit(0.5)) == 5


async def test_a_late_reply_is_not_taken_for_the_answer_to_a_later_question() -> None:
    async with bench() as b:
        b.faults.late()
        assert await b.driver.identify() == b.driver.identity, "asked again, in step"
        assert await b.driver.identify() == b.driver.identity


async def test_impedance_and_potential_limits_are_the_instruments_too() -> None:
    async with bench() as b:
        with pytest.raises(InvalidValue, match="frequency_max_hz"):
            await b.driver.collect(Impedance(frequency_max_hz=1e6))
