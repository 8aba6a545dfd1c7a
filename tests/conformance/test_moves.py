"""Stages and manipulators: a move is over when the device rests at its target, and never otherwise."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from drivers.errors import Busy, MoveFailed, PicobridgeError

from .helpers import as_dict, assert_near, axes_of, check_declared, check_true, settled, tolerance, within
from .rig import Bench

pytestmark = pytest.mark.conformance(interface="stage manipulator", does="moves")


def check_position(bench: Bench, position: Any, expected: dict[str, float]) -> None:
    for axis, value in expected.items():
        assert_near(getattr(position, axis), value, axis, bench)


async def away(bench: Bench, start: Any, fraction: float = 1.0) -> dict[str, float]:
    """A target for all axes that may move."""
    return {axis: getattr(start, axis) + fraction * distance for axis, distance in bench.limits.moves.items()}


async def test_absolute_moves_end_at_rest_at_the_target(device: Any, bench: Bench, note: Any) -> None:
    start = await settled(bench)
    for axis, distance in bench.limits.moves.items():
        for target in (getattr(start, axis) + distance, getattr(start, axis)):
            began = bench.clock.monotonic()
            reached = await device.move_to(**{axis: target})
            note(f"move.{axis}.seconds", bench.clock.monotonic() - began)
            if bench.hooks is not None:
                assert bench.hooks.is_safe(), "still moving when the move was said to be complete"
                check_true(bench, reached)
            expected = {**as_dict(start), axis: target}
            check_position(bench, reached, expected)
        check_position(bench, await settled(bench), as_dict(start))


async def test_relative_moves_end_at_rest_at_the_target(device: Any, bench: Bench) -> None:
    start = await settled(bench)
    expected = as_dict(start)
    for axis, distance in bench.limits.moves.items():
        for step in (distance, -distance):
            expected[axis] += step
            reached = await device.move_by(**{axis: step})
            if bench.hooks is not None:
                assert bench.hooks.is_safe()
            for other, value in expected.items():
                assert abs(getattr(reached, other) - value) <= 3.1 * tolerance(bench, other), other
    assert axes_of(start) == axes_of(await settled(bench))


async def test_several_axes_in_one_call(device: Any, bench: Bench) -> None:
    start = await settled(bench)
    for target in (await away(bench, start), as_dict(start)):
        target = {axis: target[axis] for axis in bench.limits.moves}
        reached = await device.move_to(**target)
        check_position(bench, reached, {**as_dict(start), **target})
    check_position(bench, await settled(bench), as_dict(start))


async def test_a_move_to_where_it_is(device: Any, bench: Bench) -> None:
    start = await settled(bench)
    reached = await device.move_to(**{axis: getattr(start, axis) for axis in bench.limits.moves})
    check_position(bench, reached, as_dict(start))


async def test_stop_at_rest_tells_where_it_is(device: Any, bench: Bench) -> None:
    start = await settled(bench)
    check_position(bench, await device.stop(), as_dict(start))
    check_position(bench, await settled(bench), as_dict(start))


async def outcome_of(task: asyncio.Task[Any]) -> Any:
    """What it returned or raised."""
    await asyncio.wait({task})
    return asyncio.CancelledError() if task.cancelled() else task.exception() or task.result()


async def _under_way(bench: Bench, target: dict[str, float]) -> asyncio.Task[Any]:
    """A move that the driver has begun and now waits for; the driver is held."""
    bench.clock.hold()
    move = asyncio.create_task(bench.device.move_to(**target))
    held = asyncio.create_task(bench.clock.held())
    await asyncio.wait({move, held}, return_when=asyncio.FIRST_COMPLETED)
    if not held.done():
        held.cancel()
    return move


async def test_stop_ends_a_move_and_says_where(device: Any, bench: Bench) -> None:
    start = await settled(bench)
    target = await away(bench, start)
    move = await _under_way(bench, target)
    bench.clock.release()
    stopped = await within(30, device.stop())
    failure = await outcome_of(move)
    now = await settled(bench)
    check_position(bench, stopped, as_dict(now))
    if isinstance(failure, PicobridgeError):
        check_declared(failure, device, MoveFailed)
        position = failure.detail["position"]
        if position is not None:
            check_position(bench, now, {axis: position[axis] for axis in as_dict(now)})
    else:
        assert bench.hooks is None, "the stop came in the middle, so the move cannot have been complete"
        check_position(bench, failure, target)
    await device.move_to(**{axis: getattr(start, axis) for axis in bench.limits.moves})
    check_position(bench, await settled(bench), as_dict(start))


async def test_a_second_move_is_refused_while_one_is_under_way(device: Any, bench: Bench) -> None:
    start = await settled(bench)
    target = await away(bench, start)
    move = await _under_way(bench, target)
    if not move.done():
        with pytest.raises(Busy) as caught:
            await within(30, device.move_to(**{axis: getattr(start, axis) for axis in bench.limits.moves}))
        check_declared(caught.value, device)
    bench.clock.release()
    check_position(bench, await move, target)
    await device.move_to(**{axis: getattr(start, axis) for axis in bench.limits.moves})


async def test_a_cancelled_move_leaves_it_at_rest_and_usable(device: Any, bench: Bench) -> None:
    start = await settled(bench)
    move = await _under_way(bench, await away(bench, start))
    bench.clock.release()
    move.cancel()
    outcome = await outcome_of(move)
    if bench.hooks is not None:
        assert isinstance(outcome, asyncio.CancelledError)
    await settled(bench)
    await device.move_to(**{axis: getattr(start, axis) for axis in bench.limits.moves})
    check_position(bench, await settled(bench), as_dict(start))


@pytest.mark.conformance(interface="stage manipulator", does="moves", hooks=True)
async def test_closing_stops_a_move(device: Any, bench: Bench) -> None:
    assert bench.hooks is not None
    start = await settled(bench)
    move = await _under_way(bench, await away(bench, start))
    assert not bench.hooks.is_safe() or device.interface == "manipulator"
    bench.clock.release()
    await within(30, device.make_safe())
    outcome = await outcome_of(move)
    check_declared(outcome, device, MoveFailed)
    assert bench.hooks.is_safe()
