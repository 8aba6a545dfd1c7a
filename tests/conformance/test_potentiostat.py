"""Potentiostats: samples without gaps, limits that end a run, and a cell that is off however a run is left.

What flows and how long is bounded by the limits of the instrument's rig; currents only ever have the magnitude
`current_a`, voltages lie within the window.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from drivers.errors import Busy
from drivers.samples import IMPEDANCE_COLUMNS, SAMPLE_COLUMNS, EndReason, Flag, SampleBlock
from drivers.techniques import (
    CurrentSequence,
    CyclicVoltammetry,
    Galvanostatic,
    Impedance,
    OpenCircuit,
    Potentiostatic,
    Technique,
    VoltageSequence,
)
from tests.near import near

from .helpers import check_declared, within
from .rig import Bench

pytestmark = pytest.mark.conformance(interface="potentiostat", does="energy")

TECHNIQUES = (
    "open_circuit",
    "galvanostatic",
    "potentiostatic",
    "cyclic_voltammetry",
    "current_sequence",
    "voltage_sequence",
    "impedance",
)
#: of the waveforms, as shares of the largest
_WAVEFORM = (0.0, 1.0, 0.5, 0.0, -0.5, -1.0, 0.0)
_POINTS = 6


def interval(bench: Bench) -> float:
    return max(0.1, 2 * float(bench.device.capabilities.interval_min_s))


def duration(bench: Bench, points: int = _POINTS) -> float:
    assert bench.limits.duration_s is not None
    return min(bench.limits.duration_s, points * interval(bench))


def voltage(bench: Bench) -> float:
    """What may be applied: what the current limit makes of the load, within the window, else the middle of it."""
    limits = bench.limits
    assert limits.current_a is not None
    assert limits.voltage_min_v is not None
    assert limits.voltage_max_v is not None
    wanted = limits.current_a * limits.load_ohm / 2 if limits.load_ohm else math.inf
    return min(
        wanted, (limits.voltage_min_v + limits.voltage_max_v) / 2 if math.isinf(wanted) else limits.voltage_max_v
    )


def galvanostatic(bench: Bench, **other: Any) -> Galvanostatic:
    limits = bench.limits
    assert limits.current_a is not None
    values = {
        "current_a": limits.current_a,
        "duration_s": duration(bench),
        "interval_s": interval(bench),
        "voltage_min_v": limits.voltage_min_v,
        "voltage_max_v": limits.voltage_max_v,
        **other,
    }
    return Galvanostatic(**values)


def make(bench: Bench, name: str) -> Technique:
    limit = bench.limits.current_a
    if name == "open_circuit":
        return OpenCircuit(duration_s=duration(bench), interval_s=interval(bench))
    if name == "galvanostatic":
        return galvanostatic(bench)
    if name == "potentiostatic":
        return Potentiostatic(
            voltage_v=voltage(bench), duration_s=duration(bench), interval_s=interval(bench), current_limit_a=limit
        )
    top = voltage(bench)
    if name == "cyclic_voltammetry":
        rate = 0.01 / interval(bench)
        return CyclicVoltammetry(
            begin_v=top, vertex1_v=top - 0.03, vertex2_v=top, rate_v_per_s=rate, step_v=0.01, current_limit_a=limit
        )
    if name == "current_sequence":
        assert limit is not None
        return CurrentSequence(
            currents_a=tuple(share * limit for share in _WAVEFORM),
            interval_s=2 * interval(bench),
            voltage_min_v=bench.limits.voltage_min_v,
            voltage_max_v=bench.limits.voltage_max_v,
        )
    if name == "voltage_sequence":
        return VoltageSequence(
            voltages_v=tuple(top * (1 - 0.1 * abs(share)) for share in _WAVEFORM),
            interval_s=2 * interval(bench),
            current_limit_a=limit,
        )
    return Impedance(frequency_max_hz=1e3, frequency_min_hz=100.0, points=3, amplitude_v=0.005, bias_v=top)


async def spend(bench: Bench, technique: Technique) -> list[SampleBlock]:
    blocks = []
    async with aclosing(bench.device.run(technique)) as run:
        async for block in run:
            blocks.append(block)
    await check_off(bench)
    return blocks


async def check_off(bench: Bench) -> None:
    """On a simulated instrument the world says so; on a real one the driver must be able to prove it once more."""
    if bench.hooks is not None:
        assert bench.hooks.is_safe(), "the source is still connected"
    else:
        await bench.device.cell_off()


def check_stream(blocks: list[SampleBlock], columns: tuple[Any, ...]) -> SampleBlock:
    """Everything that holds for the blocks of any run; returns them as one."""
    assert blocks
    assert [block.end is not None for block in blocks] == [False] * (len(blocks) - 1) + [True]
    assert blocks[0].first_index == 0
    assert len({block.start_time_ns for block in blocks if len(block)}) <= 1
    for block in blocks:
        assert block.columns == columns
        for column in columns:
            assert block[column.name].dtype == np.dtype(column.dtype)
            assert block[column.name].shape == (len(block),)
    whole = SampleBlock.concatenate(blocks)  # raises if an index is missing
    time = whole["time_s"]
    assert np.all(np.isfinite(time))
    assert np.all(np.diff(time) > 0), "time must increase"
    assert not len(time) or time[0] >= 0
    flags = whole["flags"]
    for column in columns[1:-1]:
        missing = np.isnan(whole[column.name])
        assert np.all(flags[missing] != 0), "a value that is missing needs a flag that says why"
        assert not np.any(np.isinf(whole[column.name]))
    return whole


@pytest.mark.parametrize("name", TECHNIQUES)
async def test_samples(device: Any, bench: Bench, name: str, note: Any) -> None:
    """Every technique that the device says it has gives a stream in good order, to its end; the cell is off then."""
    if name not in device.capabilities.techniques:
        note("offered", False)
        return
    note("offered", True)
    technique = make(bench, name)
    blocks = await spend(bench, technique)
    whole = check_stream(blocks, IMPEDANCE_COLUMNS if name == "impedance" else SAMPLE_COLUMNS)
    if isinstance(technique, OpenCircuit | Galvanostatic | Potentiostatic):
        assert whole.end is EndReason.DURATION
        expected = technique.duration_s / technique.interval_s
        assert expected - 1.5 <= len(whole) <= expected + 2.5
        assert np.median(np.diff(whole["time_s"])) == near(technique.interval_s, rel=0.25)
    else:
        assert whole.end is EndReason.FINISHED
    if isinstance(technique, CyclicVoltammetry):
        assert 6 <= len(whole) <= 8
    if isinstance(technique, Impedance):
        assert len(whole) == technique.points
        assert whole["frequency_hz"][0] == near(technique.frequency_max_hz, rel=1e-3)
        assert whole["frequency_hz"][-1] == near(technique.frequency_min_hz, rel=1e-3)
    note("samples", len(whole))
    note("end", whole.end.value)


@pytest.mark.parametrize("sign", [1, -1], ids=["charge", "discharge"])
async def test_the_current_that_was_asked_for_flows(device: Any, bench: Bench, sign: int, note: Any) -> None:
    assert bench.limits.current_a is not None
    current = sign * bench.limits.current_a
    whole = check_stream(await spend(bench, galvanostatic(bench, current_a=current)), SAMPLE_COLUMNS)
    steady = (whole["flags"] & (Flag.SETTLING | Flag.OVERLOAD | Flag.COMPLIANCE)) == 0
    assert steady.any()
    assert np.all(np.sign(whole["current_a"][steady]) == sign), "positive current charges"
    note("current.ratio", float(np.median(whole["current_a"][steady])) / current)
    assert np.median(whole["current_a"][steady]) == near(current, rel=0.02)
    if bench.limits.load_ohm is not None:
        resistance = float(np.median(whole["voltage_v"][steady])) / current
        note("load.ratio", resistance / bench.limits.load_ohm)
        assert resistance == near(bench.limits.load_ohm, rel=0.05)


async def test_the_voltage_that_was_asked_for_is_applied(device: Any, bench: Bench) -> None:
    if "potentiostatic" not in device.capabilities.techniques:
        return
    technique = make(bench, "potentiostatic")
    assert isinstance(technique, Potentiostatic)
    whole = check_stream(await spend(bench, technique), SAMPLE_COLUMNS)
    steady = (whole["flags"] & (Flag.SETTLING | Flag.OVERLOAD | Flag.COMPLIANCE)) == 0
    assert np.median(whole["voltage_v"][steady]) == near(technique.voltage_v, rel=0.02, abs=2e-3)
    if bench.limits.load_ohm is not None:
        expected = technique.voltage_v / bench.limits.load_ohm
        assert np.median(whole["current_a"][steady]) == near(expected, rel=0.05)


@pytest.mark.parametrize("name", ["current_sequence", "voltage_sequence"])
async def test_a_waveform_is_followed_step_by_step(device: Any, bench: Bench, name: str) -> None:
    """A sample a set point, in order, at the interval asked for; what was set is what was measured."""
    if name not in device.capabilities.techniques:
        return
    technique = make(bench, name)
    whole = check_stream(await spend(bench, technique), SAMPLE_COLUMNS)
    if isinstance(technique, CurrentSequence):
        wanted, column, step = np.array(technique.currents_a), "current_a", technique.interval_s
    else:
        assert isinstance(technique, VoltageSequence)
        wanted, column, step = np.array(technique.voltages_v), "voltage_v", technique.interval_s
    assert len(whole) == len(wanted)
    size = float(np.abs(wanted).max())
    assert whole[column] == near(wanted, abs=0.02 * size + (2e-3 if column == "voltage_v" else 0.0))
    assert np.diff(whole["time_s"]) == near(np.full(len(wanted) - 1, step), rel=0.1)
    assert 0 <= whole.attributes["sampled_from_s"] < step
    assert 0 < whole.attributes["integration_s"] <= step
    if bench.limits.load_ohm is not None:
        other = whole["voltage_v"] / bench.limits.load_ohm
        assert whole["current_a"] == near(other, abs=0.06 * float(np.abs(other).max()))


async def test_a_voltage_limit_ends_a_waveform_whichever_way_it_flows(device: Any, bench: Bench) -> None:
    if "current_sequence" not in device.capabilities.techniques or bench.limits.load_ohm is None:
        return
    technique = make(bench, "current_sequence")
    assert isinstance(technique, CurrentSequence)
    reached = max(technique.currents_a) * bench.limits.load_ohm
    for low, high, end, most in (
        (None, 0.7 * reached, EndReason.VOLTAGE_MAX, 2),
        (-0.7 * reached, None, EndReason.VOLTAGE_MIN, 6),
    ):
        narrow = dataclasses.replace(technique, voltage_min_v=low, voltage_max_v=high)
        ended = check_stream(await spend(bench, narrow), SAMPLE_COLUMNS)
        assert ended.end is end
        assert len(ended) == most


async def test_limits_end_a_run(device: Any, bench: Bench) -> None:
    free = check_stream(await spend(bench, galvanostatic(bench)), SAMPLE_COLUMNS)
    reached = float(np.nanmedian(free["voltage_v"]))
    current, seconds = abs(float(np.nanmedian(free["current_a"]))), duration(bench)
    below = galvanostatic(bench, voltage_max_v=reached - 0.1 * abs(reached) - 1e-4)
    ended = check_stream(await spend(bench, below), SAMPLE_COLUMNS)
    assert ended.end is EndReason.VOLTAGE_MAX
    assert len(ended) <= 3
    half = galvanostatic(bench, charge_limit_c=0.5 * current * seconds)
    ended = check_stream(await spend(bench, half), SAMPLE_COLUMNS)
    assert ended.end is EndReason.CAPACITY
    assert 0.25 * len(free) <= len(ended) <= 0.75 * len(free) + 2


async def test_a_voltage_limit_counts_only_in_the_direction_of_the_current(device: Any, bench: Bench) -> None:
    free = check_stream(await spend(bench, galvanostatic(bench)), SAMPLE_COLUMNS)
    above = float(np.nanmax(free["voltage_v"])) + 0.01
    if bench.limits.voltage_max_v is not None and above < bench.limits.voltage_max_v:
        charged = check_stream(await spend(bench, galvanostatic(bench, voltage_min_v=above)), SAMPLE_COLUMNS)
        assert charged.end is EndReason.DURATION


async def test_time_keeps_pace_with_the_clock(device: Any, bench: Bench, note: Any) -> None:
    began = bench.clock.monotonic()
    whole = check_stream(await spend(bench, galvanostatic(bench)), SAMPLE_COLUMNS)
    took = bench.clock.monotonic() - began
    span = float(whole["time_s"][-1] - whole["time_s"][0])
    ideal = (len(whole) - 1) * interval(bench)
    note("time.ratio", span / ideal)
    assert span == near(ideal, rel=0.1, abs=0.5 * interval(bench))
    assert took >= 0.9 * duration(bench), "samples of a time that has not passed yet"


def long_run(bench: Bench) -> Galvanostatic:
    return galvanostatic(bench, duration_s=bench.limits.duration_s)


async def check_usable(bench: Bench) -> None:
    """The next run is as good as the first."""
    check_stream(await spend(bench, galvanostatic(bench, duration_s=duration(bench, 2))), SAMPLE_COLUMNS)


async def first_block(run: Any) -> SampleBlock:
    async for block in run:
        if len(block):
            return block  # type: ignore[no-any-return]
    raise AssertionError("the run ended without a sample")


async def test_break_leaves_the_cell_off(device: Any, bench: Bench) -> None:
    async with aclosing(device.run(long_run(bench))) as run:
        await first_block(run)
    await check_off(bench)
    await check_usable(bench)


async def test_an_exception_leaves_the_cell_off(device: Any, bench: Bench) -> None:
    async def fail() -> None:
        async with aclosing(device.run(long_run(bench))) as run:
            await first_block(run)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await check_off(bench)
    await check_usable(bench)


async def test_cancellation_leaves_the_cell_off(device: Any, bench: Bench) -> None:
    if bench.hooks is not None:
        bench.hooks.pace(40.0)
    started = asyncio.Event()

    async def follow() -> None:
        async with aclosing(device.run(long_run(bench))) as run:
            async for _ in run:
                started.set()

    task = asyncio.create_task(follow())
    await within(30, started.wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(30, task)
    await check_off(bench)
    await check_usable(bench)


async def test_stop_ends_a_run_with_a_block_that_says_so(device: Any, bench: Bench) -> None:
    if bench.hooks is not None:
        bench.hooks.pace(40.0)
    started = asyncio.Event()
    blocks: list[SampleBlock] = []

    async def follow() -> None:
        async with aclosing(device.run(long_run(bench))) as run:
            async for block in run:
                blocks.append(block)
                started.set()

    task = asyncio.create_task(follow())
    await within(30, started.wait())
    await within(30, device.stop())
    await within(30, task)
    await check_off(bench)
    assert check_stream(blocks, SAMPLE_COLUMNS).end is EndReason.STOPPED
    await device.stop()  # nothing to stop is no error
    await check_usable(bench)


async def test_a_second_run_is_refused_while_one_is_under_way(device: Any, bench: Bench) -> None:
    if bench.hooks is not None:
        bench.hooks.pace(100.0)
    blocks: list[SampleBlock] = []
    async with aclosing(device.run(galvanostatic(bench, duration_s=duration(bench, 40)))) as run:
        blocks.append(await first_block(run))
        with pytest.raises(Busy) as caught:
            async with aclosing(device.run(galvanostatic(bench))) as second:
                await first_block(second)
        check_declared(caught.value, device)
        if blocks[-1].end is None:
            blocks += [block async for block in run]
    assert check_stream(blocks, SAMPLE_COLUMNS).end is EndReason.DURATION
    await check_off(bench)


async def test_cell_off_and_stop_need_no_run(device: Any, bench: Bench) -> None:
    for _ in range(2):
        await device.cell_off()
        await device.stop()
        await device.make_safe()
    await check_off(bench)


@pytest.mark.conformance(interface="potentiostat", does="energy", hooks=True)
async def test_a_run_connects_the_source_once(device: Any, bench: Bench) -> None:
    assert bench.hooks is not None
    before = bench.hooks.energised()
    await spend(bench, galvanostatic(bench))
    assert bench.hooks.energised() == before + 1
