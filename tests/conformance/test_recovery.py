"""Unplugged, replugged, rebooted: the loss is noticed at once and said once, and then everything works again.

As with the faults of the wire, all that can happen to several drivers is run side by side, each with an instrument of
its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from drivers.errors import CellNotOff, DeviceLost, LinkError, PicobridgeError, RunFailed

from .calls import ACT
from .helpers import ask, check_declared, check_true, within
from .rig import Bench, Hooks, Rig

Mishap = Callable[[Any, Bench], Coroutine[Any, Any, None]]


def hooks_of(bench: Bench) -> Hooks:
    assert bench.hooks is not None
    return bench.hooks


async def usable_again(bench: Bench) -> None:
    """Connecting makes safe; then both a question and an act are answered with the truth."""
    hooks, device = hooks_of(bench), bench.device
    await within(30, device.connect())
    assert hooks.is_safe()
    check_true(bench, await ask(bench))
    act = ACT[device.interface]
    act.check(bench, await within(30, act.do(bench)))
    check_true(bench, await ask(bench))


async def unplugged_at_rest(device: Any, bench: Bench) -> None:
    hooks = hooks_of(bench)
    identity = device.identity
    told: list[DeviceLost] = []
    device.on_lost(told.append)
    await hooks.unplug()
    with pytest.raises(DeviceLost) as caught:
        await within(10, ask(bench))
    check_declared(caught.value, device)
    assert caught.value.hint
    assert len(told) <= 1, "a loss is reported once"
    with pytest.raises(LinkError) as caught_again:
        await within(10, device.connect())
    check_declared(caught_again.value, device)
    await hooks.replug()
    await usable_again(bench)
    assert device.identity == identity


async def unplugged_while_a_question_is_open(device: Any, bench: Bench) -> None:
    hooks = hooks_of(bench)
    hooks.faults.late()
    question = asyncio.create_task(ask(bench))
    await within(10, hooks.faults.holding())
    await hooks.unplug()
    with pytest.raises(LinkError) as caught:
        await within(10, question)
    check_declared(caught.value, device)
    hooks.faults.clear()
    await hooks.replug()
    await usable_again(bench)


async def unplugged_while_acting(device: Any, bench: Bench) -> None:
    """In the middle of a move or a run; what was begun is not begun again, and connecting ends it."""
    hooks, act = hooks_of(bench), ACT[device.interface]
    act.check(bench, await act.do(bench))
    if device.interface == "feedthrough":
        await device.select("open")
    hooks.faults.late(nth=4 if device.interface != "gauge" else 2)
    began = Counter(hooks.record)
    action = asyncio.create_task(act.do(bench))
    await within(20, hooks.faults.holding())
    await hooks.unplug()
    with pytest.raises(PicobridgeError) as caught:
        await within(20, action)
    check_declared(caught.value, device, LinkError, CellNotOff, RunFailed)
    assert caught.value.hint
    taken = Counter(hooks.record) - began
    hooks.faults.clear()
    await hooks.replug()
    await within(30, device.connect())
    assert hooks.is_safe()
    again = Counter(hooks.record) - began - taken
    acting = {entry for entry in taken if entry not in began and "?" not in entry}
    assert not acting & set(again), "connecting began again what the loss had interrupted"
    await usable_again(bench)


async def rebooted_with_lost_settings_at_rest(device: Any, bench: Bench) -> None:
    """The same wire, but the instrument has forgotten everything: no wrong answer, and after connecting all is well."""
    hooks = hooks_of(bench)
    hooks.power_cycle()
    try:
        answer = await within(30, ask(bench))
    except PicobridgeError as error:
        failure: PicobridgeError | None = error
    else:
        failure = None
        if device.interface != "manipulator":  # one that counts its steps now counts from somewhere else
            check_true(bench, answer)
    if failure is not None:
        check_declared(failure, device)
    await within(30, device.connect())
    assert hooks.is_safe()
    check_true(bench, await ask(bench))


async def rebooted_while_unplugged(device: Any, bench: Bench) -> None:
    hooks = hooks_of(bench)
    await hooks.unplug()
    hooks.power_cycle()
    await hooks.replug()
    await within(30, device.connect())
    assert hooks.is_safe()
    check_true(bench, await ask(bench))


async def rebooted_in_a_run(device: Any, bench: Bench) -> None:
    """No sample of a dead instrument passes for a measured one, and the source is not switched on again."""
    hooks, act = hooks_of(bench), ACT["potentiostat"]
    hooks.faults.late(nth=12)
    run = asyncio.create_task(act.do(bench))
    await within(20, hooks.faults.holding())
    energised = hooks.energised()
    hooks.power_cycle()
    hooks.faults.release()
    hooks.faults.clear()
    try:
        blocks = await within(40, run)
    except PicobridgeError as error:
        failure: PicobridgeError | None = error
    else:
        failure = None
        act.check(bench, blocks)
    if failure is not None:
        check_declared(failure, device)
    await within(30, device.connect())
    assert hooks.is_safe()
    assert hooks.energised() - energised <= 1
    await usable_again(bench)


MISHAPS = (
    unplugged_at_rest,
    unplugged_while_a_question_is_open,
    unplugged_while_acting,
    rebooted_with_lost_settings_at_rest,
    rebooted_while_unplugged,
)


@pytest.mark.timeout(120)
async def test_recovery(rigs: Sequence[Rig]) -> None:
    async def meet(rig: Rig, mishap: Mishap) -> BaseException | None:
        try:
            async with rig.session() as bench:
                await bench.device.connect()
                await mishap(bench.device, bench)
                await bench.device.close()
                assert hooks_of(bench).is_safe()
        except Exception as error:
            error.add_note(f"{rig.name}: {mishap.__name__}")
            return error
        return None

    cases = [
        (rig, mishap)
        for rig in rigs
        for mishap in (*MISHAPS, *((rebooted_in_a_run,) if rig.interface == "potentiostat" else ()))
    ]
    wrong = [error for error in await asyncio.gather(*(meet(*case) for case in cases)) if error is not None]
    if wrong:
        raise BaseExceptionGroup(f"{len(wrong)} of {len(cases)} mishaps", wrong)
