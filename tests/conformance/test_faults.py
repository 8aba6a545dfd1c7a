"""Every fault of a wire against every driver: an error of the tree or the right value, and nothing done twice.

All cases of several drivers, each with an instrument of its own, are run side by side, because most of their time is
waiting for deadlines that are real.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from drivers.errors import CellNotOff, PicobridgeError

from .calls import ACT, ASK, CONNECT, Call, make_safe
from .helpers import ask, check_declared, check_true, within
from .rig import Bench, Hooks, Rig

#: as in `mocks.wires.Faults.script`, the slow ones first
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "no answer": {"fault": "silence", "times": None},
    "late": {"fault": "late"},
    "dropped": {"fault": "drop"},
    "merged": {"fault": "merge", "times": 2},
    "request lost": {"fault": "deaf", "times": 1},
    "cut short": {"fault": "drop", "offset": -2},
    "duplicated": {"fault": "duplicate"},
    "corrupted": {"fault": "corrupt", "mask": 0x80, "offset": 0},
    "split": {"fault": "split"},
    "noise before": {"fault": "garbage", "length": 5},
    "noise after": {"fault": "garbage", "length": 5, "after": True},
}
#: while connecting these; the others would be met in the same way as while asking
WHILE_CONNECTING = ("no answer", "late", "request lost", "corrupted", "noise before")
#: what also meets the last reply of an act; the others meet that to its command, and one in the middle of a run
AT_THE_END_TOO = ("no answer", "late", "request lost", "duplicated", "dropped")
#: how many cases are under way at the same time, and how many of them connect: few enough that none misses a deadline
#: because of the others
SIDE_BY_SIDE, CONNECTING = 16, 4
#: no call may take longer than this, whatever the wire does
PATIENCE_S = 40.0

#: an entry of a mock's record that only asks
_QUESTION = re.compile(r"\?|read", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Clean:
    """What a call looks like on a good wire. `commands`: what it makes the instrument do, how often.

    `acting_request` and `after_it`: the number of the request that brought the last of these commands, and of the reply
    that followed.
    """

    replies: int
    commands: Counter[str]
    acting_request: int | None = None
    after_it: int | None = None


async def observe(rig: Rig, call: Call) -> Clean:
    async with rig.session() as bench:
        hooks = _hooks(bench)
        if call is CONNECT:
            await call.do(bench)
            return Clean(hooks.replies, Counter())
        await bench.device.connect()
        replies, requests, begin = hooks.replies, len(hooks.requests), len(hooks.record)
        call.check(bench, await call.do(bench))
        taken = Counter(hooks.record[begin:])
        clean_replies = hooks.replies - replies
        await ask(bench)
        await bench.device.identify()
        for _ in range(2):
            await make_safe(bench)
        harmless = {*hooks.record[:begin], *hooks.record[begin + taken.total() :]}
        commands = {entry: n for entry, n in taken.items() if entry not in harmless and not _QUESTION.search(entry)}
        if not commands:
            return Clean(clean_replies, Counter())
        last = max(index for index, entry in enumerate(hooks.record) if entry in commands)
        brought = max(number for number, (_, recorded) in enumerate(hooks.requests) if recorded <= last)
        return Clean(clean_replies, Counter(commands), brought - requests + 1, hooks.requests[brought][0] - replies + 1)


def _hooks(bench: Bench) -> Hooks:
    assert bench.hooks is not None
    return bench.hooks


@dataclass(frozen=True, slots=True)
class Case:
    """The `nth` reply (or request) of a call meets a fault."""

    rig: Rig
    call: Call
    clean: Clean
    fault: str
    nth: int

    def __str__(self) -> str:
        return f"{self.rig.name}: {self.call.name} meets {self.fault!r} at reply {self.nth} of {self.clean.replies}"


async def suffer(case: Case, gate: asyncio.Semaphore) -> None:
    """Raises what went wrong."""
    call, clean = case.call, case.clean
    async with case.rig.session() as bench:
        hooks, device = _hooks(bench), bench.device
        async with gate:
            if call is not CONNECT:
                await device.connect()
        begin = len(hooks.record)
        hooks.faults.script([{"times": 1, "nth": case.nth, **FAULTS[case.fault]}])
        failure: PicobridgeError | None = None
        try:
            call.check(bench, await within(PATIENCE_S, call.do(bench)))
        except PicobridgeError as error:
            failure = error
        if failure is not None:
            check_declared(failure, device)
            assert failure.device == device.name
            if device.interface == "potentiostat" and call is not CONNECT and not isinstance(failure, CellNotOff):
                assert hooks.is_safe(), f"the source is still connected after {failure!r}"
        repeated = Counter(hooks.record[begin:]) - clean.commands
        twice = {entry: clean.commands[entry] + n for entry, n in repeated.items() if entry in clean.commands}
        assert not twice, f"taken more often than asked for: {twice}"
        if case.fault != "late":  # what is late comes with the next request, which must not take it for its answer
            hooks.faults.clear()
        hooks.disturb()
        async with gate:
            if not device.transport.is_open:
                await within(PATIENCE_S, device.connect())
            assert await within(PATIENCE_S, device.identify()) == device.identity
            check_true(bench, await within(PATIENCE_S, ask(bench)))
            await within(PATIENCE_S, device.make_safe())
            assert hooks.is_safe()
            check_true(bench, await within(PATIENCE_S, ask(bench)))
            await device.close()


async def cases_of(rig: Rig) -> list[Case]:
    cases = []
    for call in (CONNECT, ASK, ACT[rig.interface]):
        clean = await observe(rig, call)
        assert clean.replies >= 1
        for fault in FAULTS if call is not CONNECT else WHILE_CONNECTING:
            cases += [Case(rig, call, clean, fault, nth) for nth in dict.fromkeys(_hit(rig, call, clean, fault))]
    return cases


def _hit(rig: Rig, call: Call, clean: Clean, fault: str) -> list[int]:
    """Which replies (or requests) of a call are hit."""
    if call is not ACT[rig.interface]:
        return [1]
    middle = (clean.replies + 1) // 2
    acting = clean.acting_request if fault == "request lost" else clean.after_it
    hit = [acting or middle]
    if rig.interface == "potentiostat":
        hit.append(middle)
    if fault in AT_THE_END_TOO:
        hit.append(clean.replies)
    return hit


@pytest.mark.timeout(240)
async def test_no_fault_of_the_wire_does_harm(rigs: Sequence[Rig]) -> None:
    room, gate = asyncio.Semaphore(SIDE_BY_SIDE), asyncio.Semaphore(CONNECTING)

    async def one(case: Case) -> BaseException | None:
        async with room:
            try:
                await suffer(case, gate)
            except Exception as error:
                error.add_note(str(case))
                return error
            return None

    cases = [case for rig in rigs for case in await cases_of(rig)]
    cases.sort(key=lambda case: (list(FAULTS).index(case.fault), case.call is not ACT[case.rig.interface]))
    wrong = [error for error in await asyncio.gather(*map(one, cases)) if error is not None]
    if wrong:
        raise BaseExceptionGroup(f"{len(wrong)} of {len(cases)} cases", wrong)
