"""What several of the conformance tests do."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from drivers import errors
from drivers.errors import PicobridgeError
from tests.near import near

from .rig import Bench

#: harmless questions of an interface whose answer the world knows
QUESTION = {
    "stage": "position",
    "manipulator": "position",
    "feedthrough": "route",
    "gauge": "pressure",
    "potentiostat": "identify",
}


@contextmanager
def sealed(device: Any) -> Iterator[list[bytes]]:
    """Nothing gets out to the device; yields what should have. So a refusal can be tested on a real instrument."""
    transport = device.transport
    written: list[bytes] = []

    async def refuse(data: bytes, timeout_s: float = 2.0) -> None:
        written.append(data)
        raise AssertionError(f"{data!r} would have been sent")

    transport.write = refuse
    try:
        yield written
    finally:
        del transport.write


def check_declared(error: BaseException, device: Any, *classes: type[PicobridgeError]) -> None:
    """An error of the tree (of one of `classes`) that says where, and survives the way to a client."""
    assert isinstance(error, classes or PicobridgeError), repr(error)
    assert isinstance(error, PicobridgeError)
    assert type(error).__name__ in vars(errors), f"{type(error).__name__} is not in the tree"
    assert len(error.message) > 5, f"says nothing: {error!r}"
    again = PicobridgeError.from_dict(error.to_dict())
    assert (type(again), again.message, again.hint) == (type(error), error.message, error.hint)


async def ask(bench: Bench) -> Any:
    """The interface's harmless question, answered by the device."""
    return await getattr(bench.device, QUESTION[bench.device.interface])()


def check_true(bench: Bench, answer: Any) -> None:
    """What the device answered to `ask` is so."""
    interface = bench.device.interface
    if interface == "potentiostat":
        assert answer == bench.device.identity
        return
    if bench.hooks is None:
        return
    truth = bench.hooks.truth()
    if interface == "feedthrough":
        assert answer == truth
    elif interface == "gauge":
        assert answer.valid
        assert answer.pressure_pa == near(truth, rel=1e-3)
    else:
        for axis, value in truth.items():
            assert_near(getattr(answer, axis), value, axis, bench)


def tolerance(bench: Bench, axis: str) -> float:
    """How near to its target a finished move must be."""
    capabilities = bench.device.capabilities
    if bench.device.interface == "manipulator":
        return float(capabilities.resolution_m) * 1.001
    return float(capabilities.tolerance_m if axis.endswith("_m") else capabilities.tolerance_deg) * 1.001


def assert_near(value: float, other: float, axis: str, bench: Bench) -> None:
    difference = abs(value - other)
    if axis == "rotation_deg":
        difference = min(difference % 360, -difference % 360)
    assert difference <= tolerance(bench, axis), f"{axis} is {value}, not {other}"


def as_dict(position: Any) -> dict[str, float]:
    return {
        name: value for name, value in dataclasses.asdict(position).items() if name.rpartition("_")[2] in ("m", "deg")
    }


def axes_of(position: Any) -> list[str]:
    return list(as_dict(position))


async def settled(bench: Bench) -> Any:
    """Where the device is, after making sure that it does not move any more."""
    first = await bench.device.position()
    await bench.clock.sleep(0.5)
    second = await bench.device.position()
    for axis in axes_of(first):
        assert_near(getattr(first, axis), getattr(second, axis), axis, bench)
    if bench.hooks is not None:
        assert bench.hooks.is_safe()
        check_true(bench, second)
    return second


async def within(seconds: float, task: Any) -> Any:
    """A real deadline, so that a driver that waits for ever is a failure and not a hang."""
    return await asyncio.wait_for(task, seconds)


def outside(low: float, high: float) -> list[float]:
    """Values that nothing may accept: just outside, far outside, and no numbers."""
    span = high - low
    beyond = [low - 0.01 * span, high + 0.01 * span, 1e6 * max(1.0, abs(high))]
    return [value for value in beyond if math.isfinite(value)] + [math.nan, math.inf, -math.inf]
