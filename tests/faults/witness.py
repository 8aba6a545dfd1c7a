"""What the simulated instruments themselves say was done: what they sent, energised and moved.

Nothing in here comes from a driver or the daemon. Samples are read out of the bytes that an instrument gave to its
wire, before any fault of the wire, by parsers of a few lines that share nothing with the drivers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from mocks.instruments.keithley24xx import Keithley24xxMock
from mocks.instruments.methodscript import MethodScriptMock
from mocks.instruments.picomotor8742 import Picomotor8742Mock
from mocks.instruments.tdstat import TdstatMock
from mocks.instruments.zeiss_remcon import ZeissRemconMock
from mocks.wires import Served
from mocks.world import OpenDrive, World

Pair = tuple[float, float]


class Witness:
    """`sent` has each potentiostat's samples as (voltage, current), in order. `energised` counts, by device, how often
    its source was connected so far; `moves` the moves that movers began."""

    def __init__(self, world: World, served: Mapping[str, Served]) -> None:
        self._world = world
        self._served = served
        self.sent: dict[str, list[Pair]] = {}
        self.energised: dict[str, int] = {}
        for name, one in served.items():
            parse = _PARSERS.get(type(one.instrument))
            if parse is not None:
                self.sent[name] = []
                self.energised[name] = 0
                self._overhear(name, one, parse)
                self._watch_source(name)

    def is_on(self, device: str) -> bool:
        """Whether a source is connected to its cell."""
        instrument: Any = self._served[device].instrument
        driven = not isinstance(self._world.terminals(device).drive, OpenDrive)
        if isinstance(instrument, Keithley24xxMock):
            return driven or instrument.source.output or not instrument.cell_is_open
        return driven or bool(instrument.cell_is_on if isinstance(instrument, MethodScriptMock) else instrument.cell_on)

    def is_moving(self, device: str) -> bool:
        instrument = self._served[device].instrument
        if isinstance(instrument, ZeissRemconMock):
            return not instrument.arrived
        assert isinstance(instrument, Picomotor8742Mock)
        now_ns = instrument.timeline.now_ns
        return any(axis.motion.moving(now_ns) for axis in instrument.axes)

    def moves(self, device: str) -> int:
        """How many moves it was told to begin."""
        verb = "C95 " if isinstance(self._served[device].instrument, ZeissRemconMock) else "PA"
        return sum(verb in command for command in self._served[device].instrument.record)

    def unsafe(self) -> list[str]:
        """What is energised or moves, now."""
        found = []
        for name, one in self._served.items():
            if type(one.instrument) in _PARSERS and self.is_on(name):
                found.append(f"{name} is on")
            if isinstance(one.instrument, ZeissRemconMock | Picomotor8742Mock) and self.is_moving(name):
                found.append(f"{name} moves")
        return found

    def judged(self) -> int:
        """How many instruments `unsafe` can say something about."""
        return sum(
            isinstance(one.instrument, (*_PARSERS, ZeissRemconMock, Picomotor8742Mock)) for one in self._served.values()
        )

    @property
    def closed_routes(self) -> tuple[str, ...]:
        return self._world.wiring.closed_routes

    def _overhear(self, name: str, served: Served, parse: Callable[[bytes], Pair | None]) -> None:
        instrument = served.instrument
        send = instrument.send

        def noting(data: bytes) -> None:
            pair = parse(data)
            if pair is not None:
                self.sent[name].append(pair)
            send(data)

        instrument.send = noting  # type: ignore[method-assign]

    def _watch_source(self, name: str) -> None:
        terminals = self._world.terminals(name)
        set_drive = terminals.set_drive

        def noting(now_ns: int, drive: Any) -> None:
            self.energised[name] += isinstance(terminals.drive, OpenDrive) and not isinstance(drive, OpenDrive)
            set_drive(now_ns, drive)

        terminals.set_drive = noting  # type: ignore[method-assign]


def _keithley(reply: bytes) -> Pair | None:
    """A reading has five numbers: voltage, current, resistance, time, status."""
    fields = reply.decode("latin-1").strip().split(",")
    return (float(fields[0]), float(fields[1])) if len(fields) == 5 else None


def _methodscript(line: bytes) -> Pair | None:
    """A package: variables of eight characters, 28 bits around zero in hexadecimal with an SI prefix."""
    text = line.decode("latin-1").lstrip("\x11").rstrip("\n")
    if not text.startswith("P"):
        return None
    values = {part[:2]: _number(part[2:10]) for part in text[1:].split(";")}
    return values.get("ab", values.get("da", 0.0)), values.get("ba", values.get("db", 0.0))


def _number(text: str) -> float:
    if text.strip() == "nan":
        return float("nan")
    exponent = 0 if text[7] in " i" else -18 + 3 * "afpnum kMGTPE".index(text[7])
    return float(Decimal(int(text[:7], 16) - (1 << 27)).scaleb(exponent))


def _tdstat(packet: bytes) -> Pair | None:
    """Both converters' 22 bits; without offsets and with ideal shunts, at the range that the tests use."""
    if len(packet) != 6:
        return None
    counts = [int.from_bytes(packet[i : i + 3], "big") for i in (0, 3)]
    voltage, current = ((n & 0x3FFFFF) - ((n & 0x200000) << 1) for n in counts)
    return voltage / (1 << 21) * 8.0, current / (1 << 21) * (1.25 * 2e-6)


_PARSERS: dict[type, Callable[[bytes], Pair | None]] = {
    Keithley24xxMock: _keithley,
    MethodScriptMock: _methodscript,
    TdstatMock: _tdstat,
}
