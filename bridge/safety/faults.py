"""Latched faults: what stays forbidden until a person has looked, and until a device was read after a start."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from bridge.store.fault_table import Fault
from drivers.errors import FaultLatched, InvalidValue, Refused
from drivers.uninterrupted import to_the_end

from .acts import Act, Kind

T = TypeVar("T")

#: The kind of fault that an emergency stop latches; it is of no device, and forbids everything.
EMERGENCY_STOP = "emergency_stop"

#: A speed that is set moves nothing.
_HARMLESS = frozenset({Kind.SET})


class FaultStore(Protocol):
    """Where faults outlive the daemon: `bridge.store.fault_table.FaultTable`."""

    async def raise_fault(
        self, kind: str, device: str, text: str, *, hint: str = "", detail: Mapping[str, Any] | None = None, at_ns: int
    ) -> Fault: ...

    async def set_cause_gone(self, number: int, gone: bool) -> Fault: ...

    async def doubt_causes(self) -> int: ...

    async def acknowledge(self, number: int, by: str, *, at_ns: int) -> Fault: ...

    async def open_faults(self) -> list[Fault]: ...


@dataclass(frozen=True, slots=True)
class Latched:
    """A fault that is open. It forbids from the moment that it is seen; `fault` is None until it is on disk.

    `ticket` is what an acknowledgement has to name: a new one each time that the cause goes, empty while it is there.
    So one that was sent before, or is repeated, acknowledges nothing.
    """

    kind: str
    device: str
    text: str
    hint: str = ""
    fault: Fault | None = None
    ticket: str = ""

    @property
    def id(self) -> int | None:
        return None if self.fault is None else self.fault.id

    @property
    def cause_gone(self) -> bool:
        return bool(self.ticket)

    @property
    def stored(self) -> bool:
        """Whether the disk says the same of it."""
        return self.fault is not None and (self.fault.text, self.fault.cause_gone) == (self.text, self.cause_gone)

    def __str__(self) -> str:
        number = "not yet stored" if self.id is None else f"fault {self.id}"
        return f"{self.text} ({number}, {'the cause is gone' if self.cause_gone else 'the cause is still there'})"

    def to_dict(self) -> dict[str, Any]:
        fault = self.fault
        return {
            "id": self.id,
            "kind": self.kind,
            "device": self.device or None,
            "text": self.text,
            "hint": self.hint,
            "cause_gone": self.cause_gone,
            "ticket": self.ticket or None,
            "raised_ns": None if fault is None else fault.raised_ns,
            "count": 1 if fault is None else fault.count,
        }


class Faults:
    """`members(device)` are the devices of its group, itself among them. `clock_ns` is wall time, for people.

    Every device is "starting" until its state was read: that is no fault, needs no acknowledgement, and ends by itself.
    """

    def __init__(
        self,
        store: FaultStore,
        devices: Iterable[str],
        members: Callable[[str], Iterable[str]],
        clock_ns: Callable[[], int],
    ) -> None:
        self._store = store
        self._members = members
        self._clock_ns = clock_ns
        self._starting = set(devices)
        self._latched: dict[tuple[str, str], Latched] = {}
        #: one write at a time, so that what is on disk comes in the order in which it was seen
        self._writing = asyncio.Lock()

    async def load(self) -> tuple[Latched, ...]:
        """What is open from before the start. Nothing was looked at yet: every cause counts as being there."""
        await self._store.doubt_causes()
        for fault in await self._store.open_faults():
            key = fault.kind, fault.device
            self._latched[key] = Latched(fault.kind, fault.device, fault.text, fault.hint, fault)
        return self.open()

    # --- starting ----------------------------------------------------------------------------------------------------

    def was_read(self, device: str) -> None:
        """Its state is known: source off and proven, or at rest, or the route read back."""
        self._starting.discard(device)

    def must_be_read(self, device: str) -> None:
        """It was lost, or restarted: what it does is not known any more."""
        self._starting.add(device)

    def starting(self) -> frozenset[str]:
        return frozenset(self._starting)

    # --- latching ----------------------------------------------------------------------------------------------------

    async def latch(
        self, kind: str, device: str, text: str, *, hint: str = "", detail: Mapping[str, Any] | None = None
    ) -> Latched:
        """Forbids from now, before anything is awaited; on disk when it returns. `device` empty: of the rig as a whole.

        Raises what the store raises; the fault is in force nevertheless.
        """
        key = kind, device
        known = self._latched.get(key)
        self._latched[key] = Latched(kind, device, text, hint, None if known is None else known.fault)
        async with self._writing:
            await self._store_fault(key, detail or {})
        return self._latched[key]

    async def _store_fault(self, key: tuple[str, str], detail: Mapping[str, Any]) -> None:
        said = self._latched[key]
        fault = await self._store.raise_fault(*key, said.text, hint=said.hint, detail=detail, at_ns=self._clock_ns())
        self._latched[key] = replace(self._latched[key], fault=fault)
        await self._store_cause(key)

    async def _store_cause(self, key: tuple[str, str]) -> None:
        """What is known of its cause now; of a fault that has no number yet it is stored together with it."""
        known = self._latched.get(key)
        if known is None or known.fault is None or known.fault.cause_gone == known.cause_gone:
            return
        fault = await self._store.set_cause_gone(known.fault.id, known.cause_gone)
        self._latched[key] = replace(self._latched[key], fault=fault)

    async def store_again(self) -> int:
        """What could not be put on disk when it came, once more: a fault without a number, or whose cause is there for
        the disk, cannot be acknowledged. How many there were. Raises what the store raises."""
        async with self._writing:
            missing = [key for key, one in self._latched.items() if not one.stored]
            for key in missing:
                one = self._latched[key]
                if one.fault is None or one.fault.text != one.text:
                    await self._store_fault(key, {})
                else:
                    await self._store_cause(key)
        return len(missing)

    async def latch_and_make_safe(
        self, kind: str, device: str, text: str, make_safe: Callable[[], Awaitable[T]], *, hint: str = ""
    ) -> T:
        """Make safe at once, and latch at the same time; the fault is on disk before this returns, and so before the
        safe state can be reported. Neither waits for the other, and a cancellation waits for both.

        Raises what `make_safe` raises, or else what the store raises.
        """
        latching = asyncio.ensure_future(self.latch(kind, device, text, hint=hint))
        try:
            result: T = await to_the_end(make_safe())
        except BaseException:
            await to_the_end(asyncio.wait([latching]))
            if not latching.cancelled():
                latching.exception()  # seen: what make_safe raised says more
            raise
        await to_the_end(latching)
        return result

    # --- the cause ---------------------------------------------------------------------------------------------------

    async def cause_gone(self, kind: str, device: str, gone: bool = True) -> Latched | None:
        """What caused an open fault is over, or is there again; that alone clears nothing. None if none is open.

        Raises what the store raises; it counts nevertheless, and is stored by an acknowledgement or by `store_again`.
        """
        key = kind, device
        known = self._latched.get(key)
        if known is None or known.cause_gone == gone:
            return known
        ticket = secrets.token_hex(4) if gone else ""
        self._latched[key] = replace(known, ticket=ticket)
        async with self._writing:
            await self._store_cause(key)
        return self._latched.get(key)

    # --- acknowledging -----------------------------------------------------------------------------------------------

    async def acknowledge(self, number: int, ticket: str, by: str) -> Fault:
        """A person has looked. Nothing is started by it; what was forbidden may be asked for again.

        Raises `InvalidValue` (no such fault, no name), `Refused` (the cause is there; or the ticket is not that of now:
        it was asked before the cause was gone, or is asked again after the fault came back).
        """
        if not by:
            raise InvalidValue("by is empty; accepted: who has looked")
        found = next(((key, one) for key, one in self._latched.items() if one.id == number), None)
        if found is None:
            accepted = ", ".join(str(one.id) for one in self._latched.values() if one.id is not None)
            raise InvalidValue(
                f"fault {number} is not open; accepted: {accepted or 'none'}",
                hint="It may have been acknowledged already: look at the faults again.",
            )
        key, known = found
        if not known.cause_gone:
            raise Refused(
                f"fault {number} is not acknowledged: its cause is still there: {known.text}",
                device=known.device,
                hint=known.hint or "Remove the cause first. Acknowledging starts nothing.",
            )
        if not secrets.compare_digest(ticket.encode(), known.ticket.encode()):
            raise Refused(
                f"fault {number} has changed since this was asked",
                device=known.device,
                hint="Look at the faults again, and acknowledge what is there now, with its ticket.",
            )
        async with self._writing:
            await self._store_cause(key)
            fault = await self._store.acknowledge(number, by, at_ns=self._clock_ns())
            left = self._latched.get(key)
            if left is not None and left.ticket == known.ticket:
                del self._latched[key]
            elif left is not None and left.id == number:  # it has come back meanwhile, and gets a number of its own
                self._latched[key] = replace(left, fault=None)
        return fault

    # --- what is forbidden -------------------------------------------------------------------------------------------

    def open(self) -> tuple[Latched, ...]:
        """The oldest first."""
        return tuple(self._latched.values())

    def blocking(self, act: Act) -> tuple[Latched, ...]:
        """The faults that forbid an act: one of the rig as a whole forbids all that is no reading and not the safe
        direction; one of a device, what moves, switches or energises in its group."""
        if not act.kinds:
            return ()
        disturbs = bool(act.kinds - _HARMLESS)
        group = set(self._members(act.device))
        return tuple(one for one in self._latched.values() if not one.device or (disturbs and one.device in group))

    def require(self, act: Act) -> None:
        """Raises `FaultLatched` naming the faults that forbid it; or that the device was not read yet."""
        if blocking := self.blocking(act):
            raise FaultLatched(
                f"forbidden by {'; and by '.join(map(str, blocking))}",
                device=act.device,
                operation=act.method,
                faults=[one.to_dict() for one in blocking],
            )
        if act.kinds - _HARMLESS and act.device in self._starting:
            raise FaultLatched(
                f"the state of {act.device} was not read yet",
                device=act.device,
                operation=act.method,
                hint="Wait until it is connected and was read; that needs no acknowledgement.",
                faults=[],
            )

    def state(self) -> dict[str, Any]:
        """JSON values."""
        return {"open": [one.to_dict() for one in self.open()], "starting": sorted(self._starting)}
