"""Who it is, what it can, and a life between connect and close: every interface."""

from __future__ import annotations

import json
import math
from typing import Any, get_args

import pytest

from drivers import calls
from drivers.errors import LinkError
from drivers.interfaces import Identity
from drivers.techniques import Technique

from .helpers import ask, check_declared, check_true
from .rig import Bench


async def test_identity(bench: Bench, note: Any) -> None:
    device = bench.device
    identity = await device.connect()
    assert isinstance(identity, Identity)
    assert identity.model, "a device must at least say what it is"
    for text in (identity.make, identity.model, identity.serial, identity.firmware):
        assert text == text.strip()
        assert text.isprintable()
    assert device.identity == identity
    assert await device.identify() == identity
    assert await device.identify() == identity
    for field in ("make", "model", "firmware"):
        note(f"identity.{field}", getattr(identity, field))
    note("identity.has_serial", bool(identity.serial))
    await device.close()


async def test_identify_energises_and_moves_nothing(bench: Bench) -> None:
    device = bench.device
    await device.connect()
    before = await ask(bench) if device.interface in ("feedthrough", "stage", "manipulator") else None
    for _ in range(3):
        await device.identify()
    if before is not None:
        assert await ask(bench) == before
    if bench.hooks is not None:
        assert bench.hooks.energised() == 0 or device.interface == "potentiostat"
        assert bench.hooks.is_safe()
    await device.close()


async def test_capabilities(device: Any, note: Any) -> None:
    if device.interface == "gauge":
        assert not hasattr(device, "capabilities")
        return
    found = device.capabilities
    plain = calls.to_json(found)
    json.dumps(plain, allow_nan=False)
    for name, value in plain.items():
        note(f"capabilities.{name}", value)
    if device.interface == "potentiostat":
        _check_potentiostat(found)
    elif device.interface == "feedthrough":
        assert "open" in found.routes
        assert len(set(found.routes)) == len(found.routes)
        assert found.switching_s >= 0
    else:
        position = await device.position()
        for axis, (low, high) in found.limits.items():
            assert hasattr(position, axis), f"limits name {axis!r}, which is no axis of {position}"
            assert low < high
        if device.interface == "stage":
            assert found.tolerance_m > 0
            assert found.tolerance_deg > 0
        else:
            assert found.resolution_m > 0
            assert found.speed_max_m_per_s > 0
            assert position.closed_loop == found.closed_loop


def _check_potentiostat(found: Any) -> None:
    known = {cls.name for cls in get_args(Technique)}
    assert found.techniques
    assert found.techniques <= known
    assert found.voltage_min_v < found.voltage_max_v
    assert found.interval_min_s >= 0
    assert found.current_ranges
    assert len({r.label for r in found.current_ranges}) == len(found.current_ranges), "two ranges of one name"
    for r in found.current_ranges:
        assert math.isfinite(r.full_scale_a)
        assert r.full_scale_a > 0
        for name in ("resolution_a", "gain_error", "offset_error_a", "source_resolution_a", "noise_a_rms"):
            value = getattr(r, name)
            assert value is None or 0 <= value < math.inf, f"{name} of {r.label} is {value}"
        assert r.resolution_a is None or r.resolution_a < r.full_scale_a
        assert r.settling_s >= 0


async def test_the_harmless_question_is_answered_with_the_truth(device: Any, bench: Bench) -> None:
    for _ in range(2):
        check_true(bench, await ask(bench))
        if bench.hooks is not None:
            bench.hooks.disturb()


async def test_it_can_be_closed_and_connected_again(bench: Bench) -> None:
    device = bench.device
    identity = await device.connect()
    for _ in range(2):
        await device.close()
        assert not device.transport.is_open
        await device.close()  # closing twice is no error
        assert await device.connect() == identity
    assert await device.connect() == identity, "connecting what is connected is no error"
    check_true(bench, await ask(bench))
    await device.make_safe()
    check_true(bench, await ask(bench))
    await device.close()


async def test_what_is_not_connected_says_so(bench: Bench) -> None:
    device = bench.device
    with pytest.raises(LinkError) as caught:
        await device.identify()
    check_declared(caught.value, device)
    await device.connect()
    await device.close()
    with pytest.raises(LinkError) as caught:
        await device.identify()
    check_declared(caught.value, device)
    assert caught.value.hint
    assert caught.value.device == device.name
