"""Plays the person: starts the next cycle when one has ended, looks, acknowledges faults whose cause is gone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bridge.client import Lab
from bridge.client.runs import Run
from drivers.errors import PicobridgeError
from tests.bridge.conftest import eventually

from .clock import pause
from .instruments import CHAMBER, SOURCES, Instruments
from .tally import Tally

#: One cycle takes some hours at these currents.
CURRENTS = {CHAMBER: "50 pA", "emstat": "50 nA"}
#: No answer for so long (real): the daemon hangs, or the answer was lost.
ANSWER_S = 40.0
_PAUSE_S = 0.2
#: How often it is asked whether a run is still known, real seconds.
_ASK_S = 5.0
#: Errors after which the source is not proven off, which the run says.
_NOT_PROVEN = ("CellNotOff", "DeviceLost")


class Operator:
    def __init__(self, lab: Lab, instruments: Instruments, tally: Tally, seed: int, interval_s: float) -> None:
        self._lab = lab
        self._instruments = instruments
        self._tally = tally
        self._dice = random.Random(seed)
        self._interval_s = interval_s
        self._asked: set[str] = set()
        self._current: dict[str, Run] = {}
        self._over = False
        self._away = False
        instruments.under_way = self._asked.__contains__

    async def work(self) -> None:
        """Until `end`."""
        async with asyncio.TaskGroup() as group:
            for device in SOURCES:
                group.create_task(self._work_with(device))

    def end(self) -> None:
        """No new runs; what is under way is aborted."""
        self._over = True

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """She leaves the chamber to somebody else, with nothing going on there. Raises `TimeoutError`."""
        self._away = True
        try:
            if (run := self._current.get(CHAMBER)) is not None:
                await run.abort()
            await eventually(lambda: CHAMBER not in self._current, ANSWER_S)
            yield
        finally:
            self._away = False

    async def _work_with(self, device: str) -> None:
        while not self._over:
            try:
                async with asyncio.timeout(ANSWER_S) as limit:
                    if not await self._acknowledged(device) or (device == CHAMBER and self._away):
                        await pause(_PAUSE_S)
                        continue
                    if device == CHAMBER and self._dice.random() < 0.3:
                        await self._move_the_stage()
                    run = await self._begin(device)
                    limit.reschedule(None)
                    await self._follow(device, run)
            except PicobridgeError as error:
                self._tally.refusals[type(error).__name__] += 1
                await pause(_PAUSE_S)
            except TimeoutError:
                self._tally.problem(f"no answer about {device} within {ANSWER_S:g} s")

    # --- before a run ------------------------------------------------------------------------------------------

    async def _acknowledged(self, device: str) -> bool:
        """Whether nothing stands in the way, after what can be acknowledged was."""
        known = await self._lab.faults()
        for fault in known["open"]:
            if fault["cause_gone"]:
                if fault["device"] in SOURCES:  # a look at it before: the source is off
                    on = self._instruments.is_on(fault["device"]) and fault["device"] not in self._current
                    self._tally.safe([f"{fault['device']} is on"] if on else [], f"at fault {fault['text']}")
                await self._lab.acknowledge(fault["id"])
                self._tally.acknowledged += 1
        await self._lab.request("ping")
        return not known["open"] and not known["starting"]

    async def _move_the_stage(self) -> None:
        await self._lab.state("stage.touch_alarm", "armed", 60)
        await self._lab.relays.select("open")
        await self._lab.stage.move_by(x_m=self._dice.choice((-1e-4, 1e-4)))
        self._tally.moves += 1

    async def _begin(self, device: str) -> Run:
        """What can be gone on with is gone on with, every other time. A run whose start was not answered is adopted."""
        self._asked.add(device)
        mine = [run for run in await self._lab.runs() if device in _players(run.state)]
        if under_way := [run for run in mine if not run.ended]:
            return under_way[-1]
        if self._dice.random() < 0.5:
            for run in reversed(mine):
                if run.state.get("resumable") and not run.state.get("resumed_by"):
                    self._tally.runs["resumed"] += 1
                    return await self._lab.resume(run)
        devices = {"potentiostat": device}
        asked: dict[str, Any] = {
            "current": CURRENTS[device],
            "voltage_min": "2.5 V",
            "voltage_max": "4.1 V",
            "time_limit": "1 h",
            "rest": "300 s",
            "interval": f"{self._interval_s:g} s",
            "ask_after_short": False,
        }
        if device == CHAMBER:
            asked["route"] = "cell"
            devices["feedthrough"] = "relays"
        return await self._lab.start("cycle", asked, devices)

    # --- during a run ------------------------------------------------------------------------------------------

    async def _follow(self, device: str, run: Run) -> None:
        self._current[device] = run
        self._tally.runs["started"] += 1
        try:
            while not run.ended:
                await self._changed(run)
                if self._over:
                    async with asyncio.timeout(ANSWER_S):
                        await run.abort()
                if run.question is not None:
                    self._tally.questions += 1
                    self._tally.say(f"{run.id} asks {run.question['text']}: {run.question['choices']}")
                    await run.answer(run.question["choices"][-1])
        finally:
            self._current.pop(device, None)
        self._judge(device, run)

    async def _changed(self, run: Run) -> None:
        try:
            before = run.state
            await eventually(lambda: run.state is not before or run.ended or self._over, _ASK_S)
        except TimeoutError:
            try:
                async with asyncio.timeout(ANSWER_S):
                    known = {one.id for one in await self._lab.runs()}
            except PicobridgeError:  # away; what became of the run is told when it is back
                return
            if run.id not in known and not run.ended:
                self._tally.runs["forgotten"] += 1
                self._tally.say(f"{run.id} is not known any more")
                run.update_state({**run.state, "status": "interrupted"})

    def _judge(self, device: str, run: Run) -> None:
        status = str(run.state["status"])
        error = run.state.get("error") or {}
        kind = str(error.get("error", ""))
        self._tally.runs[f"{status} {kind}".strip()] += 1
        self._tally.say(f"{device} {run.id} {status} {error.get('message', '')}")
        if kind not in _NOT_PROVEN and status != "interrupted":
            on = self._instruments.is_on(device)
            self._tally.safe([f"{device} is on"] if on else [], f"run {run.id} {status} {kind}")
        # from here on nobody may switch it on; a request that was not answered in `_begin` leaves it as it is
        self._asked.discard(device)


def _players(state: Any) -> list[str]:
    return [name for each in state["devices"].values() for name in ([each] if isinstance(each, str) else each)]
