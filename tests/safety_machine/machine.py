"""Random acts, faults and restarts; after each of them the judge is asked."""

from __future__ import annotations

import asyncio
import io
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bridge.daemon import connection
from bridge.safety import audit_chain
from mocks.world import clock as world_clock

from .judge import RECOVER_S, Judge
from .rig import DEVICES, Asked, Rig
from .virtual_time import VirtualLoop

NAMES = ("ann", "bob")
#: Whatever is waited for ends within this, in the loop's time.
PATIENCE_S = 300.0
#: how many turns of the loop pass before the next act: the next one comes in the midst of this one, or after it
TURNS = st.sampled_from((0, 3, 10, 40, 150))
WAITS = st.sampled_from((0.02, 0.1, 0.3, 1.0, 3.0, 6.0))
PRESSURES = {"good": 5e-4, "between": 1.5e-3, "bad": 5e-3, "air": 1e5}
STATUSES = {"underrange": 1, "overrange": 2, "sensor off": 4}

#: what was seen in all examples: whether they were worth anything
SEEN: Counter[str] = Counter()


def _stacks() -> str:
    """What everybody waits for."""
    text = io.StringIO()
    for task in asyncio.all_tasks():
        task.print_stack(file=text)
    return text.getvalue()


class SafetyMachine(RuleBasedStateMachine):
    """One rig, one daemon after the other, and whatever comes to a person's or a machine's mind."""

    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)
        self.folder = Path(tempfile.mkdtemp(prefix="safety-machine-"))
        self.judge: Judge | None = None
        self.loop = VirtualLoop(self._passing)
        self.loop.set_debug(False)
        self.patches = (
            mock.patch.object(connection, "BACKOFF_S", (0.5, 2.0)),
            mock.patch.object(world_clock, "time", SimpleNamespace(monotonic=self.loop.time)),
        )
        for patch in self.patches:
            patch.start()
        self.flapping: asyncio.Task[None] | None = None
        self.tickets: dict[int, str] = {}
        self.old_tickets: list[str] = ["", "nonsense"]

    def _passing(self, now: float, then: float) -> None:
        if self.judge is not None:
            self.judge.passing(now, then)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Let the loop run as long as that takes."""

        async def to_its_end() -> Any:
            task = asyncio.ensure_future(work)
            _, late = await asyncio.wait([task], timeout=PATIENCE_S)
            assert not late, f"{work} has not ended after {PATIENCE_S:g} s: {_stacks()}"
            return task.result()

        return self.loop.run_until_complete(to_its_end())

    async def turns(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    def ask(self, method: str, params: Mapping[str, Any], turns: int = 0, **how: Any) -> Asked:
        async def ask() -> Asked:
            asked = self.rig.ask(method, params, **how)
            await self.turns(turns)
            return asked

        asked: Asked = self.do(ask())
        return asked

    def answer(self, method: str, params: Mapping[str, Any], **how: Any) -> Asked:
        """Ask, and wait for the answer."""

        async def ask() -> Asked:
            asked = self.rig.ask(method, params, **how)
            await asked.answered.wait()
            return asked

        asked: Asked = self.do(ask())
        return asked

    # --- the rig ----------------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.rig = Rig(self.folder, self.loop, lambda asked: self.judge.sent(asked), lambda a: self.judge.answered(a))
        judge = Judge(self.rig)
        self.judge = judge
        self.rig.world.happenings.told = judge.happened
        self.do(self.rig.open())
        for device in DEVICES:
            judge.well_since_s[device] = -1e9
        self.rig.up_since_s = -1e9
        self.do(asyncio.sleep(1.0))

    @invariant()
    def nothing_is_wrong(self) -> None:
        if self.judge is not None:
            assert not self.judge.wrong, "\n".join(self.judge.wrong)

    def teardown(self) -> None:
        try:
            if self.judge is not None:
                self.do(self.finish())
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            for patch in self.patches:
                patch.stop()
            logging.disable(logging.NOTSET)
            shutil.rmtree(self.folder)
        if self.judge is not None:
            SEEN.update(self.judge.seen)
            assert not self.judge.wrong, "\n".join(self.judge.wrong)

    async def finish(self) -> None:
        await self.flap(False)
        await self.rig.close()
        found = audit_chain.verify(self.rig.state_dir / "audit")
        assert found.ok, found.broken
        for device in ("pstat", "stage", "tip"):
            if not self.judge.trouble[device] and self.judge.active(device):
                self.judge.say(f"the daemon has ended in order, and {device} is active")

    # --- time -------------------------------------------------------------------------------------------------------

    @rule(seconds=WAITS)
    def wait(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds))

    # --- leases -----------------------------------------------------------------------------------------------------

    def lease_of(self, who: str) -> tuple[str, int | None]:
        """The newest that was granted to somebody in the chamber ("any": to anybody), whether it counts or not."""
        found = [
            asked.result
            for asked in self.rig.asked
            if asked.method == "lease" and asked.granted and who in ("any", asked.sender)
        ]
        return (found[-1]["lease"], found[-1]["fence"]) if found else ("", None)

    @rule(who=st.sampled_from(NAMES), ttl=st.sampled_from(("1 s", "5 s", "20 s")), turns=TURNS)
    def acquire(self, who: str, ttl: str, turns: int) -> None:
        self.ask("lease", {"device": "stage", "ttl": ttl}, turns, sender=who)

    @rule(who=st.sampled_from(NAMES), what=st.sampled_from(("renew", "renew", "release")), turns=TURNS)
    def keep(self, who: str, what: str, turns: int) -> None:
        lease, _ = self.lease_of(who)
        if lease:
            self.ask(what, {"lease": lease}, turns, sender=who)

    # --- acts -------------------------------------------------------------------------------------------------------

    def call(self, who: str, fence: int, device: str, method: str, turns: int, **arguments: Any) -> None:
        lease, number = self.lease_of(who)
        self.ask(
            "call",
            {"device": device, "method": method, "arguments": arguments},
            turns,
            sender="ann" if who == "any" else who,
            lease=lease,
            fence=None if number is None else number + fence,
        )

    FENCE = st.sampled_from((0, 0, 0, 0, -1))
    #: mostly whoever has the lease
    WHOSE = st.sampled_from(("any", "any", "any", *NAMES))

    @rule(
        who=WHOSE,
        fence=FENCE,
        axis=st.sampled_from(({"x_m": 0.01}, {"x_m": -0.01}, {"y_m": 1e-3}, {"tilt_deg": 5.0}, {"x_m": 1.0})),
        turns=TURNS,
    )
    def move_stage(self, who: str, fence: int, axis: dict[str, float], turns: int) -> None:
        self.call(who, fence, "stage", "move_by", turns, **axis)

    @rule(who=WHOSE, fence=FENCE, step_m=st.sampled_from((2e-4, -2e-4, 1e-6)), turns=TURNS)
    def move_tip(self, who: str, fence: int, step_m: float, turns: int) -> None:
        self.call(who, fence, "tip", "move_by", turns, x_m=step_m)

    @rule(who=WHOSE, fence=FENCE, route=st.sampled_from(("open", "cell", "stage-ground")), turns=TURNS)
    def switch(self, who: str, fence: int, route: str, turns: int) -> None:
        self.call(who, fence, "relay", "select", turns, route=route)

    @rule(
        who=st.sampled_from(NAMES),
        technique=st.sampled_from(({"technique": "potentiostatic", "voltage_v": 0.1}, {"technique": "open_circuit"})),
        duration_s=st.sampled_from((2.0, 20.0)),
        turns=TURNS,
    )
    def measure(self, who: str, technique: dict[str, Any], duration_s: float, turns: int) -> None:
        parameters = {**technique, "duration_s": duration_s, "interval_s": 0.5}
        params = {"procedure": "technique", "parameters": parameters, "devices": {"potentiostat": "pstat"}}
        self.ask("run", params, turns, sender=who)

    # --- the safe direction -----------------------------------------------------------------------------------------

    @rule(turns=TURNS)
    def abort(self, turns: int) -> None:
        runs = [asked.result["run"] for asked in self.rig.asked if asked.method == "run" and asked.granted]
        if runs:
            self.ask("abort", {"run": runs[-1]}, turns)

    @rule(how=st.sampled_from(("stop", "emergency_stop")), wait=st.booleans(), turns=TURNS)
    def stop(self, how: str, wait: bool, turns: int) -> None:
        if wait:
            self.answer(how, {})
        else:
            self.ask(how, {}, turns)

    @rule(call=st.sampled_from((("stage", "stop"), ("tip", "stop"), ("pstat", "cell_off"))), turns=TURNS)
    def stop_one(self, call: tuple[str, str], turns: int) -> None:
        self.ask("call", {"device": call[0], "method": call[1], "arguments": {}}, turns)

    # --- faults -----------------------------------------------------------------------------------------------------

    def look(self) -> list[dict[str, Any]]:
        asked = self.answer("faults", {})
        found: list[dict[str, Any]] = asked.result["open"]
        for one in found:
            before = self.tickets.get(one["id"])
            if before is not None and before != one["ticket"]:
                self.old_tickets.append(before)
            self.tickets[one["id"]] = one["ticket"] or ""
        return found

    @rule(which=st.integers(0, 2), ticket=st.sampled_from(("right", "right", "old", "twice")), turns=TURNS)
    def acknowledge(self, which: int, ticket: str, turns: int) -> None:
        found = self.look()
        if not found:
            return
        fault = found[which % len(found)]
        named = self.old_tickets[-1] if ticket == "old" else fault["ticket"] or ""
        for _ in range(2 if ticket == "twice" else 1):
            self.ask("acknowledge", {"fault": fault["id"], "ticket": named}, turns)

    @rule(said=st.sampled_from((("stage.touch_alarm", "armed"), ("tip.contact", False), ("tip.contact", True))))
    def state(self, said: tuple[str, Any]) -> None:
        self.answer("state", {"input": said[0], "value": said[1], "for": "600 s"})

    @rule(what=st.sampled_from(("override", "end_override")))
    def set_aside(self, what: str) -> None:
        reason = {"for": "600 s", "reason": "a test"} if what == "override" else {}
        self.answer(what, {"rule": "vacuum", **reason})

    @rule(device=st.sampled_from(DEVICES), how=st.sampled_from(("out", "silent", "garbage", "deaf")))
    def disturb(self, device: str, how: str) -> None:
        served = self.rig.served[device]
        self.judge.disturb(device, how)
        if how == "out":
            if device not in self.rig.out:
                self.rig.out.add(device)
                self.do(served.unplug())
        elif how == "silent":
            served.faults.silence()
        elif how == "garbage":
            served.faults.garbage(times=None)
        else:
            served.faults.deaf()

    @rule(device=st.sampled_from(DEVICES))
    def repair(self, device: str) -> None:
        self.rig.served[device].faults.clear()
        if device in self.rig.out:
            self.rig.out.discard(device)
            self.do(self.rig.served[device].replug())
        self.judge.calm(device)

    @rule(pressure=st.sampled_from(sorted(PRESSURES)))
    def pump(self, pressure: str) -> None:
        self.rig.world.chamber.pressure_pa = PRESSURES[pressure]
        self.rig.mock("gauge").status.pop(1, None)
        self.do(self.flap(False))
        self.judge.look_at_vacuum()

    @rule(status=st.sampled_from(sorted(STATUSES)))
    def gauge_says(self, status: str) -> None:
        self.rig.mock("gauge").status[1] = STATUSES[status]
        self.judge.look_at_vacuum()

    @rule()
    def gauge_flaps(self) -> None:
        self.do(self.flap(True))

    async def flap(self, on: bool) -> None:
        """The pressure goes up and down about the limit, a little slower than it is read."""
        if self.flapping is not None:
            self.flapping.cancel()
            await asyncio.gather(self.flapping, return_exceptions=True)
            self.flapping = None

        async def change() -> None:
            while True:
                for pressure_pa in (5e-3, 5e-4):
                    self.rig.world.chamber.pressure_pa = pressure_pa
                    self.judge.look_at_vacuum()
                    await asyncio.sleep(1.3)

        if on:
            self.flapping = asyncio.create_task(change())

    @rule(coil=st.sampled_from((1, 3)), on=st.booleans())
    def press(self, coil: int, on: bool) -> None:
        self.rig.mock("relay").press(coil, on)
        self.judge.route_is()

    # --- all is well, so that something happens ---------------------------------------------------------------------

    @rule(who=st.sampled_from(NAMES))
    def all_is_well(self, who: str, acknowledged: bool = True) -> None:
        for device in DEVICES:
            if self.judge.trouble[device]:
                self.repair(device)
        if self.judge.bad_vacuum_since_s is not None or self.flapping is not None:
            self.pump("good")
            self.do(asyncio.sleep(4.0))
        self.rig.mock("relay").press(1, False)
        self.rig.mock("relay").press(3, False)
        self.judge.route_is()
        well_s = max(self.judge.well_since_s.values()) + RECOVER_S - self.loop.time()
        self.do(asyncio.sleep(max(well_s, 0.5)))
        for fault in self.look() if acknowledged else ():
            self.answer("acknowledge", {"fault": fault["id"], "ticket": fault["ticket"] or ""})
        self.state(("stage.touch_alarm", "armed"))
        self.state(("tip.contact", False))
        self.answer("lease", {"device": "stage", "ttl": "3 s"}, sender=who)

    @rule(
        what=st.sampled_from(("stage", "tip", "source")),
        who=st.sampled_from(NAMES),
        seconds=st.sampled_from((0.0, 0.5, 2.0)),
        turns=TURNS,
        looked=st.booleans(),
    )
    def goes(self, what: str, who: str, seconds: float, turns: int, looked: bool) -> None:
        """One rule for all three: hypothesis leaves out some rules in each example."""
        self.all_is_well(who, looked)
        if what == "source":
            self.measure(who, {"technique": "potentiostatic", "voltage_v": 0.1}, 20.0, turns)
        elif what == "tip":
            self.call(who, 0, "tip", "move_by", turns, x_m=2e-4)
        else:
            x_m = 0.01 if self.rig.world.chamber.stage.x_m < 0.07 else -0.01
            self.call(who, 0, "stage", "move_by", turns, x_m=x_m)
        self.do(asyncio.sleep(seconds))

    @rule(order=st.permutations(("stage", "tip", "source")), turns=TURNS)
    def several_at_once(self, order: list[str], turns: int) -> None:
        """Each of them would be allowed alone."""
        self.all_is_well("ann")
        for what in order:
            if what == "source":
                self.measure("ann", {"technique": "potentiostatic", "voltage_v": 0.1}, 2.0, 0)
            else:
                self.call("ann", 0, what, "move_by", 0, x_m=1e-4)
        self.do(self.turns(turns))

    # --- the daemon -------------------------------------------------------------------------------------------------

    @rule(killed=st.booleans())
    def restart(self, killed: bool) -> None:
        if killed:
            self.do(self.rig.kill())  # its last bytes may still be on the wire, and are its own
            self.judge.daemon_ends(killed=True)
        else:
            self.do(self.rig.stop())
            self.judge.daemon_ends(killed=False)
        self.do(self.rig.start())
