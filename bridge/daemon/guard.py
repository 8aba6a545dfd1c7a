"""What stands between a command and its device: faults, leases, interlocks, and the audit of what was done."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from bridge.access.caller import CALLER
from bridge.safety.acts import Act, Kind
from bridge.safety.audit import Audit, act_fields
from bridge.safety.engine import Interlocks
from bridge.safety.faults import Faults, Latched
from bridge.safety.leases import Leases
from bridge.safety.rules import RuleSet
from drivers.errors import Busy, LeaseLost, PicobridgeError, RunFailed

T = TypeVar("T")

LOG = logging.getLogger("picobridge.safety")

#: How the kind of a fault begins that a rule latched; the rest is the rule's id.
INTERLOCK = "interlock "

#: What rules need to know is asked for by then, or it counts as unknown.
READ_S = 2.0
#: What a rule wants to see several times in a row is read so often before an act, so far apart.
READINGS, READ_AGAIN_S = 3, 0.1


class Guard:
    """`devices` are the names of all. `read(device, method)` asks a device and tells the `Observer` what it said; it
    never raises. `told(kind, device, text)` says that a fault was latched."""

    def __init__(
        self,
        devices: Iterable[str],
        interlocks: Interlocks,
        leases: Leases,
        faults: Faults,
        audit: Audit,
        read: Callable[[str, str], Awaitable[None]],
        told: Callable[[str, str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.devices = tuple(devices)
        self.interlocks = interlocks
        self.leases = leases
        self.faults = faults
        self.audit = audit
        self.clock = clock
        #: acts that were ended by a rule with a fault, by the fault's kind and device: the rule may be broken still
        self.causes: dict[tuple[str, str], Act] = {}
        self._read = read
        self._told = told
        self._latching: set[asyncio.Task[Any]] = set()

    # --- other devices and rules -----------------------------------------------------------------------------------

    def conflicts(self, rules: RuleSet, groups: Mapping[str, Iterable[str]]) -> list[str]:
        """Why other rules and groups cannot be in force now, in plain words."""
        acts = [f"{act.name} is under way" for act in self.interlocks.judged_otherwise(rules)]
        return acts + [f"{group} is held by {self._holder_of(group)}" for group in self.leases.held_otherwise(groups)]

    def use(self, devices: Iterable[str], rules: RuleSet, groups: Mapping[str, Iterable[str]]) -> None:
        """Other devices, rules and groups from now on. Raises `Busy`, and changes nothing, if there are `conflicts`."""
        if conflicts := self.conflicts(rules, groups):
            raise Busy(f"the rules cannot be changed now: {' and '.join(conflicts)}", hint="Wait until it has ended.")
        self.interlocks.use(rules)
        self.leases.regroup(groups)
        self.devices = tuple(devices)

    def _holder_of(self, group: str) -> str:
        lease = self.leases.holder(group)
        return "somebody" if lease is None else lease.holder

    # --- acts ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def acting(self, act: Act) -> AsyncIterator[None]:
        """Checked, audited, and checked again right before its bytes go out; looked after while it lasts.

        Raises `FaultLatched`, `LeaseLost`, `Busy`, `Refused`, `InterlockViolated`, `AuditFailed`: nothing has been sent
        then. Nothing is asked of an act that neither moves nor energises.
        """
        if not act.kinds:
            yield
            return
        await self._admit(act)
        lease = self.leases.holder(act.device)
        number = await self.audit.intent(act, fence=None if lease is None else lease.fence, user=CALLER.get().user)
        try:
            self._require(act)
            with self.interlocks.acting(act, self.clock):
                yield
        except PicobridgeError as error:
            error.annotate(device=act.device, operation=act.method)
            self.audit.note_outcome(number, error)
            raise
        except BaseException as error:
            self.audit.note_outcome(number, RunFailed(f"it ended by {type(error).__name__}: {error}"))
            raise
        else:
            self.audit.note_outcome(number)

    async def _admit(self, act: Act) -> None:
        try:
            self._require(act)
            await self._look(act)
            self.interlocks.require(act, self.clock())
        except PicobridgeError as error:
            error.annotate(device=act.device, operation=act.method)
            self.audit.note("refused", error=error.to_dict(), user=CALLER.get().user, **act_fields(act))
            raise

    def _require(self, act: Act) -> None:
        """No fault forbids it, and whoever asks holds the lease; a run has its own, which must still count."""
        self.faults.require(act)
        if act.run:
            holder = self.leases.holder(act.device)
            if holder is None or holder.holder != f"run {act.run}":
                raise LeaseLost(f"{act.device} is not held by run {act.run} any more", device=act.device)
            return
        caller = CALLER.get()
        self.leases.check(act.device, caller.lease, caller.fence)

    async def _look(self, act: Act) -> None:
        """Read until the rules have seen enough of it: where a gauge was not read for too long, it starts again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(READ_S):
                for number in range(READINGS):
                    if number:
                        await asyncio.sleep(READ_AGAIN_S)
                    if not await self._refresh(act):
                        return

    async def _refresh(self, act: Act) -> bool:
        """Read once what the rules would find missing or old, or want to see once more; False if there is nothing. What
        does not answer in time stays as it is."""
        wanted = self.interlocks.wanted(act, self.clock())
        if not wanted:
            return False
        reading = [asyncio.ensure_future(self._read(device, method)) for device, method in sorted(wanted)]
        try:
            await asyncio.wait(reading, timeout=READ_S)
        finally:
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)
        return True

    def moved_by_hand(self, group: str) -> list[str]:
        """Devices of a group that do something now for somebody, and not for a run."""
        members = self.leases.members(group)
        acts = [act for act in self.interlocks.under_way() if act.device in members and not act.run]
        return sorted({act.device for act in acts})

    def require_sound(self, device: str, interface: str) -> None:
        """Raises `FaultLatched` if nothing could be done with a device anyway."""
        kind = Kind.ENERGISE if interface == "potentiostat" else Kind.MOVE
        self.faults.require(Act(device=device, interface=interface, method="run", kinds=frozenset({kind})))

    # --- faults ----------------------------------------------------------------------------------------------------

    def latch(
        self, kind: str, device: str, text: str, *, hint: str = "", detail: Mapping[str, Any] | None = None
    ) -> None:
        """Forbids from now; on disk soon, and before `close` returns."""
        self._tell(kind, device, text)
        self._later(self.faults.latch(kind, device, text, hint=hint, detail=detail), f"latch {kind}")

    async def latch_and_make_safe(
        self, kind: str, device: str, text: str, make_safe: Callable[[], Awaitable[T]], *, hint: str = ""
    ) -> T:
        """Both at once; the fault is on disk when it returns. Raises what `make_safe` raises."""
        self._tell(kind, device, text)
        return await self.faults.latch_and_make_safe(kind, device, text, make_safe, hint=hint)

    async def sound(self, device: str) -> None:
        """The device was made safe and read: what was wrong with it before is over, which a person may acknowledge. A
        rule is kept or broken whether it was read or not; of an act of an earlier daemon nothing more is known. Never
        raises."""
        for fault in self.faults.open():
            if fault.device == device and (fault.kind, device) not in self.causes:
                await self.gone(fault.kind, device)

    async def forget(self, device: str) -> None:
        """It is no device of this rig any more, nobody can do anything with it: whatever was wrong is over. Never
        raises."""
        for cause in [cause for cause in self.causes if cause[1] == device]:
            del self.causes[cause]
        await self.sound(device)

    async def gone(self, kind: str, device: str) -> Latched | None:
        """What caused a fault is over; a person may acknowledge it then. None if there is no such fault. Never raises:
        what the disk does not take is stored later."""
        try:
            return await self.faults.cause_gone(kind, device)
        except Exception as error:
            LOG.error("that %s is over could not be stored: %s", kind, error)
        return next((one for one in self.faults.open() if (one.kind, one.device) == (kind, device)), None)

    def over(self, kind: str, device: str) -> None:
        """What caused a fault is over; a person may acknowledge it then."""
        self._later(self.faults.cause_gone(kind, device), f"{kind} is over")

    async def close(self) -> None:
        """Waits until what was latched is on disk."""
        await asyncio.gather(*self._latching, return_exceptions=True)

    def _tell(self, kind: str, device: str, text: str) -> None:
        self.audit.note("fault", fault=kind, device=device, text=text)
        self._told(kind, device, text)

    def _later(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._latching.add(task)
        task.add_done_callback(self._latched)

    def _latched(self, task: asyncio.Task[Any]) -> None:
        self._latching.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("a fault is in force and could not be stored: %s", error)
