"""What a device cannot or must not do is refused before a byte is sent.

The wire is sealed meanwhile: a driver that would send all the same fails the test, and nothing gets out. So these run
on a real instrument without moving or energising it.
"""

from __future__ import annotations

import math
from contextlib import aclosing
from typing import Any

import pytest

from drivers import registry
from drivers.errors import InvalidValue, Unsupported
from drivers.techniques import CyclicVoltammetry, Galvanostatic, Impedance, OpenCircuit, Potentiostatic, Technique

from .helpers import axes_of, check_declared, outside, sealed
from .rig import Bench, Rig


async def refused(device: Any, call: Any, kind: type, *words: str) -> None:
    with sealed(device) as written:
        with pytest.raises(kind) as caught:
            await call
        assert written == []
    check_declared(caught.value, device, kind)
    for word in words:
        assert word in str(caught.value), f"{word!r} is not named: {caught.value}"


async def spend(device: Any, technique: Any) -> None:
    async with aclosing(device.run(technique)) as blocks:
        async for _ in blocks:
            pass


@pytest.mark.conformance(interface="stage manipulator")
async def test_targets_outside_the_limits(device: Any, bench: Bench) -> None:
    axes = axes_of(await device.position())
    before = None if bench.hooks is None else list(bench.hooks.record)
    for axis, (low, high) in device.capabilities.limits.items():
        for value in outside(low, high):
            if axis == "rotation_deg" and math.isfinite(value):
                continue  # an angle counts modulo a turn
            await refused(device, device.move_to(**{axis: value}), InvalidValue, axis.partition("_")[0])
    for axis in axes:
        for value in (math.nan, math.inf, -math.inf):
            await refused(device, device.move_by(**{axis: value}), InvalidValue, axis.partition("_")[0])
    if bench.hooks is not None:
        assert bench.hooks.record == before


@pytest.mark.conformance(interface="stage manipulator", hooks=True)
async def test_distances_that_lead_outside(device: Any, bench: Bench) -> None:
    """To know that, the device may be asked where it is, but nothing else."""
    assert bench.hooks is not None
    await device.move_by(**dict(list(bench.limits.moves.items())[:1]))
    energised, truth = bench.hooks.energised(), bench.hooks.truth()
    for axis, (low, high) in device.capabilities.limits.items():
        if axis == "rotation_deg":
            continue
        with pytest.raises(InvalidValue) as caught:
            await device.move_by(**{axis: 1.01 * (high - low)})
        check_declared(caught.value, device)
        assert axis.partition("_")[0] in str(caught.value)
    assert bench.hooks.energised() == energised
    assert bench.hooks.truth() == truth


@pytest.mark.conformance(interface="stage manipulator")
async def test_speeds_and_commands_that_the_device_does_not_have(device: Any) -> None:
    found = device.capabilities
    if device.interface == "manipulator":
        for speed in (2 * found.speed_max_m_per_s, 0.0, -1e-6, math.nan, math.inf):
            await refused(device, device.set_speed(speed), InvalidValue, "speed")
    if device.interface == "stage" and not found.can_home:
        await refused(device, device.home(), Unsupported)
    if device.interface == "manipulator" and not found.can_insert:
        await refused(device, device.insert(), Unsupported)
        await refused(device, device.retract(), Unsupported)


@pytest.mark.conformance(interface="feedthrough")
async def test_routes_that_there_are_not(device: Any) -> None:
    for name in ("no-such-route", "", "OPEN "):
        await refused(device, device.select(name), InvalidValue, *device.capabilities.routes)


@pytest.mark.conformance(interface="potentiostat")
async def test_techniques_outside_the_capabilities(device: Any, bench: Bench) -> None:
    found = device.capabilities
    before = None if bench.hooks is None else list(bench.hooks.record)
    largest = max(r.full_scale_a for r in found.current_ranges)
    pace = max(1.0, found.interval_min_s)
    beyond: list[Technique] = [
        Galvanostatic(current_a=3 * largest, duration_s=10.0, interval_s=pace),
        Galvanostatic(current_a=-3 * largest, duration_s=10.0, interval_s=pace),
        Potentiostatic(voltage_v=found.voltage_max_v * 1.1, duration_s=10.0, interval_s=pace),
        Potentiostatic(voltage_v=found.voltage_min_v * 1.1, duration_s=10.0, interval_s=pace),
    ]
    if found.interval_min_s:
        beyond.append(OpenCircuit(duration_s=10.0, interval_s=found.interval_min_s / 2))
    for technique in beyond:
        if technique.name in found.techniques:
            await refused(device, spend(device, technique), InvalidValue)
    if bench.hooks is not None:
        assert bench.hooks.record == before


@pytest.mark.conformance(interface="potentiostat")
async def test_techniques_that_the_device_does_not_have(device: Any) -> None:
    everything = (
        OpenCircuit(duration_s=10.0, interval_s=1.0),
        Galvanostatic(current_a=1e-6, duration_s=10.0, interval_s=1.0),
        Potentiostatic(voltage_v=0.1, duration_s=10.0, interval_s=1.0),
        CyclicVoltammetry(begin_v=0.0, vertex1_v=0.1, vertex2_v=0.0, rate_v_per_s=0.01),
        Impedance(frequency_max_hz=100.0, frequency_min_hz=10.0),
    )
    for technique in everything:
        if technique.name not in device.capabilities.techniques:
            await refused(device, spend(device, technique), Unsupported)


@pytest.mark.conformance(interface="potentiostat")
async def test_values_that_are_no_techniques() -> None:
    good = {"current_a": 1e-6, "duration_s": 1.0, "interval_s": 0.1}
    bad = [("current_a", math.nan), ("duration_s", 0.0), ("duration_s", -1.0), ("interval_s", 0.0)]
    for name, value in bad:
        with pytest.raises(InvalidValue, match=name):
            Galvanostatic(**{**good, name: value})


async def test_wrong_options_and_wires_are_refused_by_name(rig: Rig) -> None:
    entry = registry.find(rig.driver)
    with pytest.raises(InvalidValue, match="no_such_option"):
        registry.create(entry.name, entry.usual_address, {"no_such_option": 1})
    for kind in {"serial", "tcp", "visa", "usb"} - set(entry.wires):
        with pytest.raises(InvalidValue, match="accepted") as caught:
            registry.create(entry.name, f"{kind}:nowhere")
        assert caught.value.hint
