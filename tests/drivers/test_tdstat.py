"""The TDstat driver against a simulated instrument: numbers, techniques, limits, and the cell that must end off."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import Busy, CellNotOff, InvalidValue, Unsupported
from drivers.potentiostats.tdstat import TdstatOptions
from drivers.potentiostats.tdstat.codec import MYSTAT, TDSTATV3, Calibration, decode_adc, encode_dac
from drivers.samples import EndReason, Flag
from drivers.techniques import CyclicVoltammetry, Galvanostatic, OpenCircuit, Potentiostatic, Technique
from mocks.world import CurrentDrive, HostClock, OpenDrive
from tests.near import near

from .tdstat_rig import CELL, rig

LOOP_OHM = 1e9


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.potentiostats.tdstat.protocol.QUIET_S", 0.02)


# --- numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "counts", "flags"),
    [
        ("00 00 01", 1, Flag.NONE),
        ("3F FF FF", -1, Flag.NONE),
        ("1F FF FF", 2097151, Flag.NONE),
        ("20 00 00", -2097152, Flag.NONE),
        ("60 00 05", 2097157, Flag.OVERLOAD),
        ("9F FF FB", -2097157, Flag.OVERLOAD),
        ("FF FF FF", None, Flag.OVERLOAD | Flag.INVALID),
        ("C0 00 00", None, Flag.OVERLOAD | Flag.INVALID),
    ],
)
def test_the_converters_counts(data: str, counts: int | None, flags: Flag) -> None:
    value, given_flags = decode_adc(bytes.fromhex(data))
    assert given_flags == flags
    assert np.isnan(value) if counts is None else value == counts


@pytest.mark.parametrize(
    ("counts", "data"),
    [(0, "80 00 00"), (1, "80 00 10"), (-1, "7F FF F0"), (524287, "FF FF F0"), (-524288, "00 00 00")],
)
def test_the_set_points_bytes(counts: int, data: str) -> None:
    assert encode_dac(counts, "x", "y") == bytes.fromhex(data)


@pytest.mark.parametrize("counts", [524287.6, -524289, float("nan"), float("inf")])
def test_a_set_point_beyond_the_converter_is_refused_not_clipped(counts: float) -> None:
    with pytest.raises(InvalidValue, match="x is beyond the converter; accepted: y"):
        encode_dac(counts, "x", "y")


@pytest.mark.parametrize("model", [TDSTATV3, MYSTAT])
def test_flash_that_was_never_written_means_the_defaults(model: object) -> None:
    assert model in (TDSTATV3, MYSTAT)
    chosen = TDSTATV3 if model is TDSTATV3 else MYSTAT
    calibration = Calibration.of(chosen, b"\xff" * 6, b"\xff" * chosen.shunt_bytes)
    assert set(calibration.shunt) == {1.0}
    assert (calibration.offset_voltage, calibration.offset_current) == (0.0, 0.0)
    assert calibration.full_scale_a(len(chosen.nominal_a) - 1) == near(2.5e-6)


@given(st.integers(-524288, 524287), st.sampled_from([TDSTATV3, MYSTAT]))
def test_stored_offsets_are_adc_counts_and_a_fourth_of_that_on_the_dac(offset: int, model: object) -> None:
    chosen = TDSTATV3 if model is TDSTATV3 else MYSTAT
    stored = ((offset + (1 << 19)) << 4).to_bytes(3, "big")
    calibration = Calibration.of(chosen, stored + stored, b"\x80\x00" * len(chosen.nominal_a))
    assert calibration.offset_voltage == offset
    packet = (offset & 0x3FFFFF).to_bytes(3, "big")
    assert calibration.decode(packet + packet, 0) == (0.0, 0.0, Flag.NONE)
    if abs(offset) < 500_000:
        assert int.from_bytes(calibration.voltage_code(0.0), "big") >> 4 == (1 << 19) + round(offset / 4)


# --- identity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "name", "ranges"), [("tdstatv3", "TDstatv3", 3), ("mystat", "MYSTAT", 4)])
async def test_the_two_models_are_told_apart_without_energising_anything(model: str, name: str, ranges: int) -> None:
    async with rig(model=model) as pstat:
        identity = await pstat.device.identify()
        assert (identity.model, identity.serial) == (name, "")
        assert len(pstat.device.capabilities.current_ranges) == ranges
        assert set(pstat.energised()) == {"CELL OFF"}


@pytest.mark.parametrize("model", ["tdstatv3", "mystat"])
@pytest.mark.parametrize("calibrated", [True, False])
async def test_currents_and_voltages_are_right_on_both_models(model: str, calibrated: bool) -> None:
    ranges = 3 if model == "tdstatv3" else 4
    extra = {"offset_voltage": 700, "offset_current": -1300, "shunt": (1.0,) * (ranges - 1) + (1.02,)}
    async with rig(model=model, calibrated=calibrated, **(extra if calibrated else {})) as pstat:
        block = await pstat.device.potentiostatic(2.0, duration_s=0.5, current_limit_a=1e-6)
        assert block["voltage_v"][-1] == near(2.0, abs=3e-5)
        assert block["current_a"][-1] == near(2.0 / LOOP_OHM, abs=3e-12)
        block = await pstat.device.galvanostatic(1.5e-9, duration_s=1.0)
        assert block["current_a"][-1] == near(1.5e-9, abs=4e-12)
        assert block["voltage_v"][-1] == near(1.5e-9 * LOOP_OHM, abs=5e-3)
        drives = pstat.device.capabilities.current_ranges
        assert drives[-1].source_resolution_a == near(4.77e-12, rel=0.03)
        assert drives[-1].resolution_a == near(1.19e-12, rel=0.03)


# --- techniques -----------------------------------------------------------------------------------------------------


async def test_open_circuit_never_closes_the_relay() -> None:
    async with rig(relay=CELL) as pstat:
        block = await pstat.device.open_circuit(duration_s=1.0)
        assert "CELL ON" not in pstat.mock.record
        assert block.end is EndReason.DURATION
        assert block["time_s"] == near(np.arange(11) * 0.1)
        assert (block["voltage_v"] > 0.5).all()
        assert block["current_a"] == near(np.zeros(11))
        assert (block["flags"] == Flag.HOST_TIME).all()
        assert not pstat.device.capabilities.device_clock


async def test_a_run_says_exactly_what_the_makers_program_says() -> None:
    async with rig() as pstat:
        pstat.mock.record.clear()
        await pstat.device.galvanostatic(1e-6, duration_s=0.3)
        code = (1 << 19) + round(1e-6 / 2.5e-6 * (1 << 19))
        dac = (code << 4).to_bytes(3, "big").decode("latin-1")
        assert pstat.energised() == ["CELL OFF", "RANGE 3", "DACSET " + dac, "GALVANOSTATIC", "CELL ON", "CELL OFF"]
        assert isinstance(pstat.mock._terminals.drive, OpenDrive)


@pytest.mark.parametrize(
    ("technique", "command", "resolution"),
    [
        (Galvanostatic(current_a=3e-6, duration_s=0.2), "RANGE 2", 250e-6),
        (Galvanostatic(current_a=-2e-6, duration_s=0.2), "RANGE 3", 2.5e-6),
        (Potentiostatic(voltage_v=1e-3, duration_s=0.2), "RANGE 1", 25e-3),
        (Potentiostatic(voltage_v=1e-3, duration_s=0.2, current_limit_a=100e-6), "RANGE 2", 250e-6),
    ],
)
async def test_the_smallest_range_that_fits(technique: Technique, command: str, resolution: float) -> None:
    async with rig() as pstat:
        block = await pstat.device.collect(technique)
        assert command in pstat.mock.record
        assert block.attributes["range"] == command
        steps = block["current_a"] / (resolution / (1 << 21))
        assert steps == near(np.round(steps), abs=1e-6)


@pytest.mark.parametrize(("current", "reason"), [(1e-9, EndReason.VOLTAGE_MAX), (-1e-9, EndReason.VOLTAGE_MIN)])
async def test_the_host_ends_at_the_voltage_limit(current: float, reason: EndReason) -> None:
    async with rig(relay=CELL) as pstat:
        block = await pstat.device.galvanostatic(current, 600.0, voltage_min_v=0.2, voltage_max_v=4.2)
        assert block.end is reason
        inside = (block["voltage_v"][:-1] < 4.2) & (block["voltage_v"][:-1] > 0.2)
        assert inside.all(), "only the last sample is beyond the limit"
        assert not pstat.mock.cell_on


async def test_charge_and_taper_end_a_run() -> None:
    async with rig(relay=CELL) as pstat:
        block = await pstat.device.galvanostatic(1e-9, 60.0, charge_limit_c=1e-9)
        assert block.end is EndReason.CAPACITY
        assert block["time_s"][-1] == near(1.0, abs=0.11)
    async with rig() as pstat:
        block = await pstat.device.potentiostatic(1.0, duration_s=60.0, taper_current_a=2e-9, current_limit_a=1e-6)
        assert block.end is EndReason.TAPER
        assert len(block) <= 5
    async with rig() as pstat:
        block = await pstat.device.potentiostatic(3.0, duration_s=60.0, current_limit_a=1e-9)
        assert block.end is EndReason.CURRENT_LIMIT
        assert not pstat.mock.cell_on


async def test_a_lost_contact_shows_as_overload_and_ends_the_run() -> None:
    async with rig() as pstat:
        pstat.world.wiring.set_relay(0, False)
        block = await pstat.device.galvanostatic(1e-9, 60.0)
        assert block.end is EndReason.OVERLOAD
        assert block["flags"][-1] & Flag.OVERLOAD
        assert block["voltage_v"][-1] > 8.0
        assert not pstat.mock.cell_on


async def test_slow_sampling_still_reads_fresh_conversions() -> None:
    async with rig(relay=CELL) as pstat:
        slow = await pstat.device.galvanostatic(3e-10, 10.0, rate_hz=1.0)
    async with rig(relay=CELL) as pstat:
        fast = await pstat.device.galvanostatic(3e-10, 10.0, rate_hz=10.0)
    assert slow["time_s"] == near(np.arange(11.0))
    assert slow["voltage_v"] == near(fast["voltage_v"][::10], abs=1e-3)


@pytest.mark.parametrize("rate", [0.2, 0.05])
async def test_a_sweep_is_a_staircase_at_the_rate_asked_for(rate: float) -> None:
    sweep = CyclicVoltammetry(
        begin_v=0.0, vertex1_v=0.1, vertex2_v=-0.05, rate_v_per_s=rate, step_v=0.02, current_limit_a=1e-6
    )
    async with rig() as pstat:
        block = await pstat.device.collect(sweep)
        levels = [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.08, 0.06, 0.04, 0.02, 0, -0.02, -0.04, -0.05, -0.03, -0.01, 0]
        assert block.end is EndReason.FINISHED
        assert block["voltage_v"] == near(levels, abs=1e-4)
        assert np.diff(block["time_s"]) == near(np.full(16, 0.02 / rate), abs=2e-3)
        if rate < 0.1:  # else the lead's 100 pF is still being charged while the converter works
            assert block["current_a"] == near(np.array(levels) / LOOP_OHM, abs=1e-11)


# --- what it refuses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("technique", "text"),
    [
        (Galvanostatic(current_a=10e-12, duration_s=1), r"current_a is 1e-11 A; accepted: 0, or at least 2\.38e-10 A"),
        (Galvanostatic(current_a=0.021, duration_s=1), r"current_a is 0\.021 A; accepted: up to 0\.02 A"),
        (
            Galvanostatic(current_a=1e-6, duration_s=1, interval_s=0.05),
            r"interval_s is 0\.05; accepted: at least 0\.1 s",
        ),
        (Potentiostatic(voltage_v=8.1, duration_s=1), r"voltage 8\.1 V is beyond the converter"),
        (Potentiostatic(voltage_v=1, duration_s=1, current_limit_a=1.0), "current_limit_a is 1 A"),
        (
            CyclicVoltammetry(begin_v=0, vertex1_v=1, vertex2_v=0, rate_v_per_s=0.1),
            r"a step every 0\.05 s; accepted: at least 0\.1 s",
        ),
    ],
)
async def test_what_it_cannot_do_is_refused_before_anything_is_sent(technique: Technique, text: str) -> None:
    async with rig() as pstat:
        pstat.mock.record.clear()
        with pytest.raises(InvalidValue, match=text):
            await pstat.device.collect(technique)
        assert pstat.mock.record == []


async def test_impedance_is_unsupported() -> None:
    async with rig() as pstat:
        assert "impedance" not in pstat.device.capabilities.techniques
        with pytest.raises(Unsupported, match="12 samples a second"):
            await pstat.device.impedance()


async def test_options_choose_the_range_and_the_error_of_a_set_point() -> None:
    async with rig(TdstatOptions(current_range_a=200e-6, set_point_error_max=0.05)) as pstat:
        with pytest.raises(InvalidValue, match=r"at least 4\.77e-09 A"):
            await pstat.device.galvanostatic(1e-9, 1.0)
        block = await pstat.device.galvanostatic(5e-9, 0.1)
        assert block.attributes["range"] == "RANGE 2"
    async with rig(TdstatOptions(current_range_a=1e-3)) as pstat:
        with pytest.raises(InvalidValue, match=r"accepted for a TDstatv3: 0 \(automatic\), 0\.02 A"):
            await pstat.device.open_circuit()
    for wrong in ({"set_point_error_max": 0.0}, {"current_range_a": -1.0}):
        with pytest.raises(InvalidValue, match=next(iter(wrong))):
            TdstatOptions(**wrong)


# --- the cell ends off ----------------------------------------------------------------------------------------------


async def test_leaving_the_iterator_switches_off() -> None:
    async with rig() as pstat:
        async with aclosing(pstat.device.run(Galvanostatic(current_a=1e-9, duration_s=60))) as blocks:
            async for _ in blocks:
                assert pstat.mock.cell_on
                break
        assert not pstat.mock.cell_on


async def test_cancelling_switches_off() -> None:
    async with rig() as pstat:
        started = asyncio.Event()

        async def run() -> None:
            async for _ in pstat.device.run(Galvanostatic(current_a=1e-9, duration_s=1e6, interval_s=0.1)):
                started.set()

        task = asyncio.create_task(run())
        await asyncio.wait_for(started.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not pstat.mock.cell_on
        assert (await pstat.device.open_circuit(0.1)).end is EndReason.DURATION


async def test_stop_from_another_task_ends_the_run() -> None:
    async with rig() as pstat:
        reasons: list[EndReason | None] = []
        async for block in pstat.device.run(Galvanostatic(current_a=1e-9, duration_s=1e6)):
            if not reasons:
                with pytest.raises(Busy, match="a run is under way"):
                    await pstat.device.open_circuit(0.1)
                await pstat.device.stop()
                assert not pstat.mock.cell_on
            reasons.append(block.end)
        assert reasons[-1] is EndReason.STOPPED
        assert pstat.mock.record.count("CELL ON") == 1


async def test_stop_during_the_set_up_keeps_the_cell_off() -> None:
    class Interrupts(HostClock):
        """The first wait of a run is the one for the converters, with the cell still off."""

        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            if "GALVANOSTATIC" in pstat.mock.record:
                await pstat.device.stop()

    async with rig() as pstat:
        pstat.device.clock = Interrupts(pstat.mock.timeline)
        block = await pstat.device.galvanostatic(1e-9, 10.0)
        assert block.end is EndReason.STOPPED
        assert len(block) == 0
        assert "CELL ON" not in pstat.mock.record


async def test_a_relay_that_sticks_is_noticed() -> None:
    async with rig() as pstat:
        pstat.mock.relay_stuck = True
        with pytest.raises(CellNotOff, match="1e-09 A still flows") as caught:
            await pstat.device.galvanostatic(1e-9, 0.5)
        assert "by hand" in caught.value.hint
        assert isinstance(pstat.mock._terminals.drive, CurrentDrive)
        pstat.mock.relay_stuck = False
        await pstat.device.cell_off()


async def test_connecting_switches_a_cell_off_that_was_left_on() -> None:
    async with rig(connect=False) as pstat:
        for packet in (b"GALVANOSTATIC", b"CELL ON"):
            pstat.mock.receive(packet)
        await pstat.device.connect()
        assert not pstat.mock.cell_on


async def test_one_technique_after_another() -> None:
    async with rig(relay=CELL) as pstat:
        for technique in (OpenCircuit(duration_s=0.2), Galvanostatic(current_a=1e-9, duration_s=0.2)) * 2:
            block = await pstat.device.collect(technique)
            assert block.first_index == 0
            assert block.end is EndReason.DURATION
        assert pstat.mock.record.count("CELL ON") == 2
