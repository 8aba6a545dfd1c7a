"""A sheet of cells under a prober: what each channel of the potentiostats sees.

Each head (a stage or a manipulator) has its own `World`, from which the position comes that its mock moves to; the
sheet lies somewhere in the heads' coordinates (`placement`). A channel is wired to the sites of the heads, directly or
by a relay of the multiplexer. So a channel sees a cell only if its relay is closed, the head is down, and the site is
over the pad.

Times of the instruments' timelines are compared where channels share the steel sheet as a terminal: whoever drives
several of them keeps their clocks together (see docs/sheet.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .clock import NS
from .drives import CurrentDrive, Drive, OpenDrive, Reading, VoltageDrive
from .randomness import gaussian, make_key, uniform
from .sheet_cells import Place, SheetCell, SheetCells
from .world import World

#: capacitance of a lead that touches nothing
_LEAD_F = 100e-12
_NOISE_V = 20e-6 * math.sqrt(0.1)
#: relative noise of an impedance
_NOISE_Z = 1e-3
#: a lead that touches nothing wanders by this much
_FLOATING_V = 0.02


@dataclass(frozen=True, slots=True)
class Placement:
    """head = offset + scale * rotation(design)."""

    x_m: float = 0.0
    y_m: float = 0.0
    rotation_deg: float = 0.0
    scale: float = 1.0

    def to_head(self, x_m: float, y_m: float) -> tuple[float, float]:
        turn = math.radians(self.rotation_deg)
        cosine, sine = self.scale * math.cos(turn), self.scale * math.sin(turn)
        return self.x_m + cosine * x_m - sine * y_m, self.y_m + sine * x_m + cosine * y_m

    def to_design(self, x_m: float, y_m: float) -> tuple[float, float]:
        turn = math.radians(self.rotation_deg)
        dx, dy = (x_m - self.x_m) / self.scale, (y_m - self.y_m) / self.scale
        return math.cos(turn) * dx + math.sin(turn) * dy, math.cos(turn) * dy - math.sin(turn) * dx


@dataclass(frozen=True, slots=True)
class Wire:
    """Where a channel may be connected: a site of a head, in cells from the head's first one; `coil` None: always.

    `bad` is the share of landings on which this probe makes no contact.
    """

    head: str
    row: int = 0
    column: int = 0
    coil: int | None = None
    bad: float = 0.0


@dataclass
class _Head:
    world: World
    position: Callable[[], tuple[float, float, float]]
    landings: int = 0
    last: tuple[float, float, float] | None = None


@dataclass(slots=True)
class _Landing:
    """A site on a cell, since when and whether it touches."""

    number: int
    cell: SheetCell | None
    place: Place | None
    since_ns: int
    touches: bool


class SheetWorld(World):
    """`heads`: name of the stage (or manipulator) to the kind, "stage" or "manipulator"; take the mock's world from
    `head(name)`. `channels`: name of the potentiostat to its wires. The relay board lives in this world.

    A head is down at `contact_z_m` or below it (for a manipulator: at or below, too). With `floating` channels nothing
    passes between them; otherwise a channel that is driven adds `crosstalk_v` to the voltage that others read, and 5 %
    to their impedances. `miss` is the share of landings on which a good probe makes no contact.
    """

    def __init__(
        self,
        sheet: SheetCells,
        channels: Mapping[str, Sequence[Wire]],
        heads: Mapping[str, str],
        *,
        placement: Placement | None = None,
        contact_z_m: float = 0.0,
        pad_half_width_m: float = 0.5e-3,
        floating: bool = True,
        crosstalk_v: float = 2e-3,
        miss: float = 0.0,
        **world: Any,
    ) -> None:
        super().__init__(**world)
        self.sheet = sheet
        self.placement = placement or Placement()
        self.floating = floating
        self.crosstalk_v = crosstalk_v
        self.contact_z_m = contact_z_m
        self.pad_half_width_m = pad_half_width_m
        self.miss = miss
        self.channels = {name: tuple(wires) for name, wires in channels.items()}
        self._heads: dict[str, _Head] = {}
        for name, kind in heads.items():
            own = World(seed=self.seed, speed=self.speed, noise=False)
            self._heads[name] = _Head(own, _stage_of(own) if kind == "stage" else _tip_of(own))
        self._probes: dict[str, SheetTerminals] = {}
        #: visits by place, contact made or not
        self.visits: dict[Place, int] = {}
        self._contact_key = make_key(self.seed, "sheet", "contact")

    def head(self, name: str) -> World:
        """The world for a head's mock, and of its clock."""
        return self._heads[name].world

    def clock_world(self, device: str) -> World:
        """In which world a device lives."""
        return self._heads[device].world if device in self._heads else self

    def terminals(  # type: ignore[override]  # all that a potentiostat's mock uses of them
        self, device: str, input_resistance_ohm: float = math.inf, bias_current_a: float = 0.0
    ) -> SheetTerminals:
        if device not in self._probes:
            if device not in self.channels:
                raise ValueError(f"no channel {device!r}; there are: {', '.join(self.channels)}")
            self._probes[device] = SheetTerminals(self, device)
        return self._probes[device]

    def wire_of(self, channel: str) -> Wire | None:
        """The wire that is connected now; None if there is none, or several."""
        closed = self.wiring.relays
        found = [w for w in self.channels[channel] if w.coil is None or closed.get(w.coil, False)]
        return found[0] if len(found) == 1 else None

    def landing(self, head_name: str) -> tuple[int, tuple[float, float] | None]:
        """The number of the head's landing, and where it is down in design coordinates (None: it is up).

        A new landing is one at another position, or after the head was seen up.
        """
        head = self._heads[head_name]
        x_m, y_m, z_m = head.position()
        if z_m > self.contact_z_m + 1e-9:
            head.last = None
            return head.landings, None
        if head.last != (x_m, y_m, z_m):
            head.last = (x_m, y_m, z_m)
            head.landings += 1
        return head.landings, self.placement.to_design(x_m, y_m)

    def cell_at(self, x_m: float, y_m: float) -> Place | None:
        """The cell whose pad lies there, in design coordinates."""
        column, row = round(x_m / self.sheet.pitch_m), round(y_m / self.sheet.pitch_m)
        off = max(abs(x_m - column * self.sheet.pitch_m), abs(y_m - row * self.sheet.pitch_m))
        return (row, column) if off <= self.pad_half_width_m and (row, column) in self.sheet.cells else None

    def touches(self, place: Place, wire: Wire) -> bool:
        """Whether this visit makes contact: a function of seed, cell and how often it was visited."""
        visit = self.visits[place] = self.visits.get(place, 0) + 1
        chance = uniform(self._contact_key, (place[0] * self.sheet.columns + place[1]) * 64 + visit)
        return chance >= max(self.miss, wire.bad)

    def disturbed(self, channel: str, start_ns: int, end_ns: int) -> bool:
        """Whether another channel was driven meanwhile, and shares the terminal."""
        if self.floating:
            return False
        return any(other.driven(start_ns, end_ns) for name, other in self._probes.items() if name != channel)

    @property
    def clashes(self) -> int:
        """How many pairs of excitations of different channels overlapped in time."""
        spans = sorted((start, end, name) for name, probe in self._probes.items() for start, end in probe.excitations)
        count = 0
        latest: dict[str, int] = {}
        for start, end, name in spans:
            count += sum(1 for other, until in latest.items() if other != name and until > start)
            latest[name] = end
        return count


def _stage_of(world: World) -> Callable[[], tuple[float, float, float]]:
    def position() -> tuple[float, float, float]:
        pose = world.chamber.stage
        return pose.x_m, pose.y_m, pose.z_m

    return position


def _tip_of(world: World) -> Callable[[], tuple[float, float, float]]:
    return lambda: (world.tip.x_m, world.tip.y_m, world.tip.z_m)


@dataclass(slots=True)
class SheetTerminals:
    """One channel's two sockets; what `Terminals` is for a single cell."""

    world: SheetWorld
    device: str
    drive: Drive = field(default_factory=OpenDrive)
    #: when the channel was driven, in its own time
    excitations: list[tuple[int, int]] = field(default_factory=list)
    _driven_since: int | None = None
    _landing: _Landing | None = None
    _noise: int = 0

    def __post_init__(self) -> None:
        self._noise = make_key(self.world.seed, self.device, "sheet")

    @property
    def now_ns(self) -> int:
        return self.world.timeline(self.device).now_ns

    @property
    def drive_is_on(self) -> bool:
        """Whether the instrument drives something now."""
        return isinstance(self.drive, CurrentDrive | VoltageDrive)

    def set_drive(self, now_ns: int, drive: Drive) -> None:
        drives = isinstance(drive, CurrentDrive | VoltageDrive)
        if drives and self._driven_since is None:
            self._driven_since = now_ns
        elif not drives and self._driven_since is not None:
            self.excitations.append((self._driven_since, now_ns))
            self._driven_since = None
        self.drive = drive

    def driven(self, start_ns: int, end_ns: int) -> bool:
        """Whether it was driven at any time between."""
        if self._driven_since is not None and self._driven_since < end_ns:
            return True
        for began, ended in reversed(self.excitations):
            if ended <= start_ns:
                return False
            if began < end_ns:
                return True
        return False

    def live_until(self, now_ns: int) -> None:
        """Cells of a sheet are computed when somebody looks."""

    def measure(self, start_ns: int, duration_ns: int) -> Reading:
        """Means over the interval."""
        end_ns = start_ns + duration_ns
        if isinstance(self.drive, OpenDrive) and not self.drive.connected:
            return Reading(0.0, 0.0, 0.0, False)
        landing = self._look(start_ns)
        white = gaussian(self._noise, start_ns)
        if landing.cell is None or not landing.touches or landing.cell.broken:
            voltage = _FLOATING_V * (white + 2.0 * gaussian(self._noise, -1 - landing.number))
            resistance = 1e12
        else:
            middle_s = (start_ns + duration_ns / 2 - landing.since_ns) / NS
            voltage = landing.cell.voltage_v - landing.cell.fall_v_per_s * max(0.0, middle_s)
            resistance = abs(landing.cell.impedance(1e-3))
            if self.world.noise:
                voltage += _NOISE_V * white / math.sqrt(duration_ns / NS)
        current = 0.0
        if isinstance(self.drive, VoltageDrive):
            current, voltage = (self.drive.voltage_v - voltage) / resistance, self.drive.voltage_v
        elif isinstance(self.drive, CurrentDrive):
            current, voltage = self.drive.current_a, voltage + self.drive.current_a * resistance
        elif self.world.disturbed(self.device, start_ns, end_ns):
            voltage += self.world.crosstalk_v * math.sin(start_ns / NS * 2.0 * math.pi * 1.7)
        return Reading(voltage, current, voltage, False)

    def impedance(self, frequency_hz: float) -> complex:
        now = self.now_ns
        landing = self._look(now)
        admittance = 2j * math.pi * frequency_hz * _LEAD_F
        if landing.cell is not None and landing.touches:
            admittance += 1.0 / landing.cell.impedance(frequency_hz)
        z = 1.0 / admittance
        if self.world.disturbed(self.device, now - round(3e9 / frequency_hz), now):
            z *= 1.05
        if self.world.noise:
            key = now ^ round(frequency_hz * 1e3)
            z *= 1.0 + _NOISE_Z * complex(gaussian(self._noise, key), gaussian(self._noise, -key))
        return z

    def _look(self, now_ns: int) -> _Landing:
        """What is under the probe. That it has landed is noticed when the channel first looks."""
        wire = self.world.wire_of(self.device)
        if wire is None:
            return _Landing(0, None, None, now_ns, False)
        number, where = self.world.landing(wire.head)
        if where is None:
            return _Landing(number, None, None, now_ns, False)
        pitch = self.world.sheet.pitch_m
        place = self.world.cell_at(where[0] + wire.column * pitch, where[1] + wire.row * pitch)
        last = self._landing
        if last is None or last.number != number or last.place != place:
            cell = None if place is None else self.world.sheet.cells[place]
            touches = place is not None and self.world.touches(place, wire)
            last = self._landing = _Landing(number, cell, place, now_ns, touches)
        return last
