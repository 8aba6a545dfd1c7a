"""Feedthroughs: one route at a time, proven by reading back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from drivers.interfaces.feedthrough import OPEN

from .rig import Bench

pytestmark = pytest.mark.conformance(interface="feedthrough", does="routes")


@pytest.fixture
async def relays(device: Any, bench: Bench) -> AsyncIterator[Any]:
    """The device; the route that it had is selected again in the end."""
    before = await device.route()
    yield device
    if before in bench.limits.routes:
        await device.select(before)


async def test_every_route_is_selected_and_read_back(relays: Any, bench: Bench, note: Any) -> None:
    assert set(bench.limits.routes) <= set(relays.capabilities.routes)
    for route in bench.limits.routes * 2:
        began = bench.clock.monotonic()
        assert await relays.select(route) == route
        note(f"select.{route}.seconds", bench.clock.monotonic() - began)
        assert await relays.route() == route
        if bench.hooks is not None:
            assert bench.hooks.truth() == route


async def test_selecting_the_route_that_is_closed_switches_nothing(relays: Any, bench: Bench) -> None:
    for route in bench.limits.routes[:2]:
        await relays.select(route)
        switched = None if bench.hooks is None else bench.hooks.energised()
        assert await relays.select(route) == route
        assert bench.hooks is None or bench.hooks.energised() == switched


async def test_making_safe_leaves_the_route_alone(relays: Any, bench: Bench) -> None:
    route = bench.limits.routes[-1]
    await relays.select(route)
    await relays.make_safe()
    assert await relays.route() == route


@pytest.mark.conformance(interface="feedthrough", does="routes", hooks=True)
async def test_it_breaks_before_it_makes(relays: Any, bench: Bench) -> None:
    assert bench.hooks is not None
    world: Any = bench.hooks.world  # type: ignore[attr-defined]  # only the simulated wiring can be watched
    seen: list[str] = [world.wiring.route]
    at: list[float] = [bench.clock.monotonic()]
    set_relay = world.wiring.set_relay

    def watched(index: int, closed: bool) -> None:
        set_relay(index, closed)
        if world.wiring.route != seen[-1]:
            seen.append(world.wiring.route)
            at.append(bench.clock.monotonic())

    world.wiring.set_relay = watched
    wanted = [route for route in bench.limits.routes if route != OPEN]
    for route in wanted:
        await relays.select(route)
    assert "conflict" not in seen
    assert [route for route in seen if route != OPEN] == wanted
    assert all(OPEN in pair for pair in pairwise(seen)), seen
    apart = [later - earlier for route, (earlier, later) in zip(seen, pairwise(at), strict=False) if route == OPEN]
    assert min(apart[1:]) > 1e-3, "contacts must have time to come apart before others close"
