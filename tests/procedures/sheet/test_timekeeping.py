"""Turns in the order of the devices' time, whatever order the tasks run in."""

from __future__ import annotations

import asyncio

from bridge.procedures.sheet.timekeeping import Resource, Timekeeper, Turnstile
from drivers.clock import SYSTEM_CLOCK
from mocks.world import World
from tests.near import near


def resources(*names: str) -> list[Resource]:
    world = World()
    return [Resource(name, world.host_clock(name)) for name in names]


async def settle(rounds: int = 20) -> None:
    """Let every task go as far as it can."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def test_the_earlier_request_goes_first_although_it_is_made_later() -> None:
    slow, quick = resources("slow", "quick")
    keeper = Timekeeper()
    turn = Turnstile(keeper)
    await keeper.start([slow, quick])
    order: list[tuple[str, float]] = []

    async def use(resource: Resource, arrives_s: float, rounds: int) -> None:
        keeper.enter(resource)
        await settle(rounds)  # how long the loop takes for it says nothing about the time
        await resource.wait_until(arrives_s)
        starts_s = await turn.acquire(resource, resource.now_s)
        await resource.wait_until(starts_s)
        order.append((resource.name, resource.now_s))
        await resource.clock.sleep(5.0)
        turn.release(resource.now_s)
        keeper.leave(resource)

    await asyncio.gather(use(slow, 100.0, rounds=0), use(quick, 10.0, rounds=15))
    assert order == [("quick", near(10.0)), ("slow", near(100.0))]
    assert [slow.now_s, quick.now_s] == [near(105.0), near(15.0)]


async def test_who_comes_second_waits_by_its_own_clock() -> None:
    first, second = resources("first", "second")
    keeper = Timekeeper()
    turn = Turnstile(keeper)
    await keeper.start([first, second])

    async def use(resource: Resource) -> float:
        starts_s = await turn.acquire(resource, resource.now_s)
        await resource.wait_until(starts_s)
        began = resource.now_s
        with resource.working("measuring"):
            await resource.clock.sleep(3.0)
        turn.release(resource.now_s)
        keeper.leave(resource)
        return began

    keeper.enter(first)
    keeper.enter(second)
    assert await asyncio.gather(use(first), use(second)) == [0.0, near(3.0)]
    assert second.now_s == near(6.0)
    assert second.busy_s == {"measuring": near(3.0)}


async def test_one_route_at_a_time_and_nobody_passes_who_waits() -> None:
    p, q, r = resources("p", "q", "r")
    keeper = Timekeeper()
    board = Turnstile(keeper)
    await keeper.start([p, q, r])
    log: list[str] = []

    async def use(resource: Resource, ready_s: float, route: str, length_s: float) -> None:
        await resource.wait_until(ready_s)
        starts_s = await board.acquire(resource, resource.now_s, route)
        await resource.wait_until(starts_s)
        if board.switching:
            log.append(f"switch to {route} at {resource.now_s:g}")
            await resource.clock.sleep(0.5)
            board.switched(resource.now_s)
        log.append(f"{resource.name} at {resource.now_s:g}")
        await resource.clock.sleep(length_s)
        board.release(resource.now_s)
        keeper.leave(resource)

    for resource in (p, q, r):
        keeper.enter(resource)
    # r wants what is closed already, but came after q, who wants another route: it is not let in before
    await asyncio.gather(use(p, 0.0, "a", 4.0), use(q, 1.0, "b", 2.0), use(r, 2.0, "a", 1.0))
    assert log == ["switch to a at 0", "p at 0.5", "switch to b at 4.5", "q at 5", "switch to a at 7", "r at 7.5"]


async def test_the_same_route_is_shared() -> None:
    p, q = resources("p", "q")
    keeper = Timekeeper()
    board = Turnstile(keeper)
    await keeper.start([p, q])
    began: dict[str, float] = {}

    async def use(resource: Resource) -> None:
        await resource.wait_until(await board.acquire(resource, resource.now_s, "a"))
        if board.switching:
            await resource.clock.sleep(0.5)
            board.switched(resource.now_s)
        began[resource.name] = resource.now_s
        await resource.clock.sleep(4.0)
        board.release(resource.now_s)
        keeper.leave(resource)

    keeper.enter(p)
    keeper.enter(q)
    await asyncio.gather(use(p), use(q))
    assert began == {"p": near(0.5), "q": near(0.5)}


async def test_what_others_have_done_by_a_time_is_waited_for() -> None:
    exciter, listener = resources("exciter", "listener")
    keeper = Timekeeper()
    await keeper.start([exciter, listener])
    done: list[str] = []

    async def excite() -> None:
        await settle(10)
        await exciter.clock.sleep(3.0)
        done.append("excited")
        keeper.leave(exciter)

    async def hear() -> None:
        await listener.wait_until(1.0)
        await keeper.reached(listener, 1.0)
        done.append(f"heard at {listener.now_s:g}")
        keeper.leave(listener)

    keeper.enter(exciter)
    keeper.enter(listener)
    await asyncio.gather(hear(), excite())
    assert done == ["excited", "heard at 1"]


async def test_clocks_of_one_rig_are_brought_together_and_others_count_from_their_own_start() -> None:
    early, late = resources("early", "late")
    await late.clock.sleep(2.5)
    keeper = Timekeeper()
    await keeper.start([early, late])
    assert (early.now_s, late.now_s) == (0.0, 0.0)
    assert early.clock.monotonic() == near(2.5)
    (simulated,) = resources("simulated")
    real = Resource("real", SYSTEM_CLOCK)
    await Timekeeper().start([real, simulated])
    assert simulated.now_s == 0.0
    assert 0.0 <= real.now_s < 60.0


async def test_a_request_that_is_cancelled_holds_nobody_up() -> None:
    p, q, r = resources("p", "q", "r")
    keeper = Timekeeper()
    turn = Turnstile(keeper)
    await keeper.start([p, q, r])
    for resource in (p, q, r):
        keeper.enter(resource)
    await turn.acquire(p, 0.0)
    waiting = asyncio.ensure_future(turn.acquire(q, 0.0))
    behind = asyncio.ensure_future(turn.acquire(r, 1.0))
    await settle()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    keeper.leave(q)
    await p.wait_until(2.0)
    turn.release(p.now_s)
    keeper.leave(p)
    assert await behind == near(2.0)
