"""The simulated instruments on their wires, and what they themselves say happened."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bridge.demo.rig import ROUTES, Place, visa_socket
from drivers import registry
from mocks.wires import Served, serve
from mocks.world import World
from mocks.world.happenings import Happening
from tests.faults.witness import Pair, Witness

#: In the chamber, on the lead to the cell; and another potentiostat with a cell of its own elsewhere.
CHAMBER, ELSEWHERE = "pstat", "emstat"
SOURCES = (CHAMBER, ELSEWHERE)
#: Deadlines of reads are real time.
PLACES: Mapping[str, Place] = {
    "pstat": Place("keithley-24xx", "tcp", visa=True, mock={"model": "6430"}, options={"timeout": 0.5}),
    "emstat": Place("methodscript", "pty", options={"abort_timeout_s": 1.0}),
    "stage": Place("zeiss-remcon", "pty"),
    "tip": Place("newfocus-8742", "usb"),
    "relays": Place("modbus-relay", "pty", options={"routes": ROUTES, "timeout_s": 0.2}),
    "gauge": Place("pfeiffer-tpg", "pty"),
}
#: m2, of cells of 12.5 uAh/cm2 on the good side of what each instrument can source
_AREAS_M2 = {CHAMBER: 1e-9, ELSEWHERE: 1e-6}
VACUUM_PA, LEAK_PA = 5e-4, 1e-1


#: What a mark says: the source was connected, or the daemon was killed.
CONNECTED, KILLED = "energised", "killed"


class Mark(NamedTuple):
    """Something that happened when so many pairs had been sent."""

    at: int
    what: str


@dataclass(slots=True)
class Sent:
    """What a potentiostat gave to its wire. `spoilt` are the places in `pairs` of those that a fault of the wire kept
    from the client or changed, `unplugged` of those that were sent with no wire there; `marks` in order."""

    pairs: list[Pair]
    spoilt: set[int] = field(default_factory=set)
    unplugged: set[int] = field(default_factory=set)
    marks: list[Mark] = field(default_factory=list)


class Instruments:
    """`under_way(device)` is told by the operator: whether she has asked for a run of this potentiostat.
    `unasked` are the times at which a source was connected although nobody had."""

    def __init__(self, chamber: World, elsewhere: World, served: Mapping[str, Served]) -> None:
        self.served = served
        self.chamber = chamber
        self.under_way: Callable[[str], bool] = lambda device: True
        self.unasked: list[str] = []
        self.unplugged: set[str] = set()
        self.sent: dict[str, Sent] = {}
        self._witnesses = [
            Witness(world, {name: one for name, one in served.items() if one.instrument.world is world})
            for world in (chamber, elsewhere)
        ]
        for witness in self._witnesses:
            for device, pairs in witness.sent.items():
                self.sent[device] = Sent(pairs)
                self._watch_wire(device)
        chamber.happenings.told = elsewhere.happenings.told = self._happened

    @property
    def addresses(self) -> dict[str, str]:
        return {
            name: visa_socket(one.address) if PLACES[name].visa else one.address for name, one in self.served.items()
        }

    def is_on(self, device: str) -> bool:
        """Whether its source is connected, by its own record."""
        return next(witness.is_on(device) for witness in self._witnesses if device in witness.sent)

    def unsafe(self) -> list[str]:
        """What is energised or moves, now."""
        return [text for witness in self._witnesses for text in witness.unsafe()]

    def is_moving(self, device: str) -> bool:
        return self._witnesses[0].is_moving(device)

    def note_kill(self) -> None:
        """The daemon is about to be killed: what is sent from now on has no taker."""
        for sent in self.sent.values():
            sent.marks.append(Mark(len(sent.pairs), KILLED))

    async def unplug(self, device: str) -> None:
        await self.served[device].unplug()
        self.unplugged.add(device)

    async def replug(self, device: str) -> None:
        self.unplugged.discard(device)
        await self.served[device].replug()

    def _watch_wire(self, device: str) -> None:
        faults, sent = self.served[device].faults, self.sent[device]
        outgoing = faults.outgoing
        seen = 0

        def noting(reply: bytes) -> list[bytes]:
            nonlocal seen
            pieces = outgoing(reply)
            if device in self.unplugged:
                sent.unplugged.update(range(seen, len(sent.pairs)))
            elif b"".join(pieces) != reply:
                sent.spoilt.update(range(seen, len(sent.pairs)))
            seen = len(sent.pairs)
            return pieces

        faults.outgoing = noting  # type: ignore[method-assign]

    def _happened(self, happening: Happening) -> None:
        if happening.what == CONNECTED and happening.device in self.sent:
            sent = self.sent[happening.device]
            sent.marks.append(Mark(len(sent.pairs), CONNECTED))
            if not self.under_way(happening.device):
                self.unasked.append(f"{happening.device} was energised at {time.monotonic():.1f} with no run")


@asynccontextmanager
async def instruments(seed: int, speed: float) -> AsyncIterator[Instruments]:
    """Serve them until left. The potentiostats' time is fast, all else runs in real time."""
    chamber, elsewhere = (
        World(seed=seed + number, speed=1.0, flows=True, cell="good", area_m2=_AREAS_M2[device])
        for number, device in enumerate(SOURCES)
    )
    chamber.tip.touch()
    elsewhere.tip.touch()
    elsewhere.wiring.set_relay(3, True)
    chamber.chamber.set_stage(x_m=0.07, y_m=0.07, z_m=0.02, tilt_deg=20.0, rotation_deg=90.0)
    for world, device in ((chamber, CHAMBER), (elsewhere, ELSEWHERE)):
        world.timeline(device).speed = speed
    async with AsyncExitStack() as stack:
        served: dict[str, Served] = {}
        for name, place in PLACES.items():
            world = elsewhere if name == ELSEWHERE else chamber
            made: Any = registry.load(registry.find(place.driver).mock)(world, name, **place.mock)
            served[name] = await stack.enter_async_context(serve(made, wire=place.wire, seed=seed))
        yield Instruments(chamber, elsewhere, served)
