"""One harmless and one acting call for each interface, with what must be true of their outcome."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np

from drivers.samples import EndReason, Flag, SampleBlock
from drivers.techniques import Galvanostatic

from .helpers import ask, assert_near, check_true
from .rig import Bench


@dataclass(frozen=True, slots=True)
class Call:
    """`prepare` is done before, on a good wire; `do` is the call; `check` judges what it returned."""

    name: str
    do: Callable[[Bench], Coroutine[Any, Any, Any]]
    check: Callable[[Bench, Any], None]


async def _connect(bench: Bench) -> Any:
    return await bench.device.connect()


def _check_identity(bench: Bench, answer: Any) -> None:
    assert answer == bench.device.identity


CONNECT = Call("connect", _connect, _check_identity)
ASK = Call("ask", ask, check_true)


async def _move(bench: Bench) -> Any:
    (axis, distance), *_ = bench.limits.moves.items()
    bench.expected = {axis: getattr(await bench.device.position(), axis) + distance}
    return await bench.device.move_by(**{axis: distance})


def _check_move(bench: Bench, reached: Any) -> None:
    assert bench.hooks is not None
    assert bench.hooks.is_safe(), "still moving"
    check_true(bench, reached)
    for axis, value in bench.expected.items():
        assert_near(getattr(reached, axis), value, axis, bench)


async def _select(bench: Bench) -> Any:
    return await bench.device.select(bench.limits.routes[1])


def _check_select(bench: Bench, route: Any) -> None:
    assert bench.hooks is not None
    assert route == bench.hooks.truth() == bench.limits.routes[1]


async def _galvanostatic(bench: Bench) -> list[SampleBlock]:
    limits = bench.limits
    assert limits.current_a is not None
    technique = Galvanostatic(
        current_a=limits.current_a, duration_s=1.0, interval_s=0.2, voltage_max_v=limits.voltage_max_v
    )
    async with aclosing(bench.device.run(technique)) as run:
        return [block async for block in run]


def _check_galvanostatic(bench: Bench, blocks: list[SampleBlock]) -> None:
    assert bench.hooks is not None
    assert bench.hooks.is_safe(), "the source is still connected"
    assert blocks[-1].end is not None
    whole = SampleBlock.concatenate(blocks)
    assert np.all(np.diff(whole["time_s"]) > 0)
    flags = whole["flags"]
    if bench.hooks.samples_are_proven:
        assert bench.limits.current_a is not None
        assert bench.limits.load_ohm is not None
        current, voltage = bench.limits.current_a, bench.limits.current_a * bench.limits.load_ohm
        right = np.isclose(whole["current_a"], current, rtol=0.02, atol=0)
        right &= np.isclose(whole["voltage_v"], voltage, rtol=0.05, atol=0)
        assert np.all(right | (flags != 0)), f"a wrong value: {whole['current_a']} A, {whole['voltage_v']} V"
    if whole.end is EndReason.DURATION and len(whole) < 5:
        assert np.any(flags & (Flag.GAP | Flag.TIMING)), "samples are missing and nothing says so"


async def _pressure(bench: Bench) -> Any:
    assert bench.hooks is not None
    bench.hooks.disturb()
    return await ask(bench)


ACT = {
    "stage": Call("move", _move, _check_move),
    "manipulator": Call("move", _move, _check_move),
    "feedthrough": Call("select", _select, _check_select),
    "potentiostat": Call("galvanostatic", _galvanostatic, _check_galvanostatic),
    "gauge": Call("pressure", _pressure, check_true),
}


async def make_safe(bench: Bench) -> None:
    """Everything that an interface has to be made safe with."""
    if bench.device.interface in ("stage", "manipulator", "potentiostat"):
        await bench.device.stop()
    if bench.device.interface == "potentiostat":
        await bench.device.cell_off()
    if bench.device.interface == "feedthrough":
        await bench.device.select("open")
    await bench.device.make_safe()
