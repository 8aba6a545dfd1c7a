"""What goes wrong: one thing after the other, by dice."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bridge.client import Lab
from drivers.errors import PicobridgeError
from tests.bridge.conftest import Mosquitto, eventually

from .clock import pause
from .crowd import dying_holder, flood, slow_reader
from .instruments import CHAMBER, LEAK_PA, PLACES, SOURCES, VACUUM_PA, Instruments
from .operator import ANSWER_S, Operator
from .recording import RecorderProcess
from .service import Service
from .tally import Tally

#: A reading a second, and the rule's grace: until then the source may be on, and go on, by what was read before.
#: So long after that it must be off.
_NOTICED_S, _VACUUM_S = 3.0, 3.0
#: A fault of a script waits so long for a run.
_RUN_S = 2.0


@dataclass(frozen=True, slots=True)
class Rig:
    """All that can be broken. Times are real seconds."""

    instruments: Instruments
    mosquitto: Mosquitto
    service: Service
    recorder: RecorderProcess
    lab: Lab
    operator: Operator
    config: Path
    tally: Tally


class FaultMaker:
    """`kinds` are coroutine functions by name."""

    #: those that end the daemon
    ENDING = ("daemon killed", "daemon ended")

    def __init__(self, rig: Rig, seed: int) -> None:
        self._rig = rig
        self._dice = random.Random(seed)
        self._kept_min = 1
        self._idle = asyncio.Event()
        self._idle.set()
        self.kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "broker killed": self._broker_killed,
            "broker paused": self._broker_paused,
            "daemon killed": rig.service.kill,
            "daemon ended": rig.service.restart,
            "recorder killed": self._recorder_killed,
            "recorder paused": self._recorder_paused,
            "unplugged": self._unplugged,
            "replies dropped": lambda: self._wire("drop"),
            "replies late": lambda: self._wire("late"),
            "replies garbled": lambda: self._wire("corrupt"),
            "vacuum lost": self._vacuum_lost,
            "emergency stop": self._emergency_stop,
            "holder of a lease died": self._holder_died,
            "request flood": lambda: flood(rig.mosquitto.address),
            "slow reader": lambda: slow_reader(rig.mosquitto.address, self._dice.uniform(1, 3)),
            "configuration reloaded": self._reloaded,
            "wall clock set": self._clock_set,
        }

    async def work(self, mean_pause_s: float, may_end_the_daemon: Callable[[], bool]) -> None:
        """Until cancelled."""
        while True:
            await pause(self._dice.expovariate(1 / mean_pause_s))
            kind = self._dice.choice(list(self.kinds))
            if kind in self.ENDING and not may_end_the_daemon():
                continue
            await self.make(kind)

    async def perform(self, script: Sequence[str]) -> None:
        """These, one after the other, each in a run if there is one soon."""
        for kind in script:
            with suppress(TimeoutError):
                await eventually(lambda: self._rig.instruments.is_on(CHAMBER), _RUN_S)
            await self.make(kind)

    async def idle(self) -> None:
        """Until nothing is broken."""
        await self._idle.wait()

    async def make(self, kind: str) -> None:
        """Returns when its cause is over."""
        self._idle.clear()
        self._rig.tally.faults[kind] += 1
        self._rig.tally.say(f"fault: {kind}")
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(3 * ANSWER_S):
                await self.kinds[kind]()
        except (PicobridgeError, ProcessLookupError) as error:  # of two things that went wrong at a time
            self._rig.tally.say(f"{kind}: {type(error).__name__}: {error}")
        except TimeoutError:
            self._rig.tally.problem(f"{kind}: not over after {3 * ANSWER_S:g} s")
        finally:
            self._idle.set()
        self._rig.tally.say(f"over: {kind} after {time.monotonic() - began_s:.1f} s")

    # --- brokers, processes ------------------------------------------------------------------------------------

    async def _broker_killed(self) -> None:
        """It comes back with nothing that it had."""
        self._rig.mosquitto.kill()
        await pause(self._dice.uniform(0.2, 3))
        await asyncio.to_thread(self._rig.mosquitto.start)

    async def _broker_paused(self) -> None:
        process = self._rig.mosquitto.process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        await pause(self._dice.uniform(0.2, 5))
        process.send_signal(signal.SIGCONT)

    async def _recorder_killed(self) -> None:
        await self._rig.recorder.kill()
        await pause(self._dice.uniform(0, 3))
        await self._rig.recorder.start()

    async def _recorder_paused(self) -> None:
        await self._rig.recorder.pause(self._dice.uniform(0.5, 6))

    # --- instruments -------------------------------------------------------------------------------------------

    async def _unplugged(self) -> None:
        device = self._dice.choice(list(PLACES))
        await self._rig.instruments.unplug(device)
        await pause(self._dice.uniform(0.1, 3))
        await self._rig.instruments.replug(device)

    async def _wire(self, fault: str) -> None:
        """Some of the next replies of an instrument."""
        faults = self._rig.instruments.served[self._dice.choice(list(PLACES))].faults
        faults.script([{"fault": fault, "nth": self._dice.randint(1, 20), "times": self._dice.randint(1, 3)}])
        await pause(1.5)
        faults.clear()

    async def _vacuum_lost(self) -> None:
        chamber = self._rig.instruments.chamber.chamber
        chamber.pressure_pa = LEAK_PA
        await pause(_NOTICED_S)
        try:
            await eventually(lambda: not self._rig.instruments.is_on(CHAMBER), _VACUUM_S)
        except TimeoutError:
            self._rig.tally.problem(f"the source was on {_NOTICED_S + _VACUUM_S:g} s after the vacuum was lost")
        await pause(self._dice.uniform(0, 2))
        self._rig.tally.safe([f"{CHAMBER} is on"] if self._rig.instruments.is_on(CHAMBER) else [], "without vacuum")
        chamber.pressure_pa = VACUUM_PA

    # --- clients -----------------------------------------------------------------------------------------------

    async def _emergency_stop(self) -> None:
        answer = await self._rig.lab.emergency_stop()
        on = [f"{name} is on" for name in SOURCES if self._rig.instruments.is_on(name)]
        self._rig.tally.safe(on, f"after an emergency stop: {answer['devices']}")

    async def _holder_died(self) -> None:
        url = str(self._rig.mosquitto.address)
        async with self._rig.operator.away():
            if not await dying_holder(url, self._rig.instruments.is_moving):
                self._rig.tally.say("nobody could take the lease just then")

    async def _reloaded(self) -> None:
        """Something in the file has changed that needs no restart."""
        text = self._rig.config.read_text()
        changed = text.replace(f'"{self._kept_min} min"', f'"{self._kept_min + 1} min"')
        self._rig.config.write_text(changed)
        self._kept_min += 1
        if self._dice.random() < 0.5:
            await self._rig.lab.request("reload")
        else:
            await self._rig.service.signal(signal.SIGHUP)

    async def _clock_set(self) -> None:
        """An hour or a day, forth or back, and right again after a while."""
        file = self._rig.config.with_name("wall-clock")
        for seconds in (self._dice.choice((-3600.0, 86_400.0)), 0.0):
            file.write_text(str(seconds))
            await self._rig.service.signal(signal.SIGUSR1)
            await pause(self._dice.uniform(0.5, 2))
