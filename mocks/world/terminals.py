"""The two sockets of a source-measure instrument, as the circuit sees them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from .circuit import Load, Node, Tally
from .clock import NS
from .drives import CurrentDrive, Drive, OpenDrive, Reading, VoltageDrive
from .events import FOREVER_NS, Contact, Schedule, parse_event
from .noise import FORGOTTEN_NS, Noise, StageMove
from .randomness import make_key

if TYPE_CHECKING:
    from .world import World

#: Longest step with a current, and without.
_STEP_S = 1.0
_REST_STEP_S = 30.0
#: A step with a current may be longer while it moves no more than this share of the cathode's capacity.
_STEP_SHARE = 2e-3
#: A step is cut so that the cell's equilibrium moves by no more than this.
_STEP_V = 0.03
_SHORTEST_STEP_S = 1e-4

_NO_DRIVE = CurrentDrive(0.0)

#: What a tip does that touches but is not pressed on.
_LIGHT_TOUCH = {"kind": "vibration", "mean_closed_s": 0.3, "mean_open_s": 0.2}


class Terminals:
    """Positive current goes into the cell (charges it).

    Everything happens on the timeline of the instrument that the terminals belong to, and lazily: time between two
    calls is lived, under the drive that was in force, when the next call comes. `bias_current_a` flows out of the
    instrument into what is connected and is not seen by its ammeter. A galvanostat reads the current that it sets plus
    the noise of the route; the noise itself does not charge the cell (a beam's current does).
    """

    def __init__(
        self, world: World, device: str, input_resistance_ohm: float, bias_current_a: float, now_ns: int, noise: Noise
    ) -> None:
        self.device = device
        self.input_resistance_ohm = input_resistance_ohm
        self.bias_current_a = bias_current_a
        self.schedule = Schedule()
        self._light_touch = Schedule()
        self._light_touch.add(parse_event(make_key(world.seed, "light touch", 0), _LIGHT_TOUCH), now_ns)
        self._world = world
        self._noise = noise
        self._drive: Drive = OpenDrive()
        self._node = Node(world.stray_f)
        self._time_ns = now_ns
        self._source_a = 0.0
        self._limited = False
        self._emf_v = 0.0
        self._node_ohm = math.inf
        self._moves: list[StageMove] = []

    @property
    def now_ns(self) -> int:
        """The instrument's now: its timeline's, or the end of a conversion that was computed ahead of it."""
        return max(self._time_ns, self._world.timeline(self.device).now_ns)

    @property
    def drive(self) -> Drive:
        return self._drive

    @property
    def node_voltage_v(self) -> float:
        """True voltage of the lead now, without noise."""
        return self._node.voltage_v

    def set_drive(self, now_ns: int, drive: Drive) -> None:
        """From `now_ns` on drive so, until changed."""
        self.live_until(now_ns)
        was_driven, is_driven = (not isinstance(one, OpenDrive) for one in (self._drive, drive))
        self._drive = drive
        if is_driven != was_driven:
            self._world.happenings.note(self.device, "energised" if is_driven else "off")

    def live_until(self, now_ns: int) -> None:
        """Let the circuit live up to `now_ns` as it is."""
        self._live(now_ns, Tally(), measures=False)

    def stage_moves(self, moving: bool) -> None:
        """The stage starts or stops now (for its noise)."""
        now_ns = self.now_ns
        if moving:
            recent = [move for move in self._moves if now_ns - move.began_ns < FORGOTTEN_NS]
            number = self._moves[-1].number + 1 if self._moves else 0
            self._moves = [*recent, StageMove(number, now_ns)]
        elif self._moves:
            self._moves[-1] = replace(self._moves[-1], ended_ns=now_ns)

    def measure(self, start_ns: int, duration_ns: int) -> Reading:
        """Means over the interval. What of it was lived already (the wiring changed meanwhile) is not lived again."""
        if duration_ns <= 0:
            raise ValueError(f"duration_ns must be above zero, not {duration_ns}")
        self.live_until(start_ns)
        tally = Tally()
        self._live(start_ns + duration_ns, tally, measures=True)
        if tally.seconds > 0:
            voltage = tally.volt_seconds / tally.seconds
            current = tally.coulombs / tally.seconds
        else:
            voltage, current = self._node.voltage_v, self._source_a
        voltage_end = self._node.voltage_v
        connected = not (isinstance(self._drive, OpenDrive) and not self._drive.connected)
        if not connected:
            voltage = voltage_end = 0.0
        if not isinstance(self._drive, VoltageDrive) and connected:
            current += self._world.chamber.beam_into_circuit_a
        if self._world.noise:
            current_noise, voltage_noise = self._noise_of(connected, start_ns, duration_ns)
            voltage += voltage_noise
            current += current_noise
        return Reading(voltage, current, voltage_end, self._limited)

    def impedance(self, frequency_hz: float) -> complex:
        """What the terminals see now, in ohms: the load beside the stray capacitance and the input resistance."""
        if not frequency_hz > 0:
            raise ValueError(f"frequency_hz must be above zero, not {frequency_hz!r}")
        world = self._world
        admittance = complex(
            1.0 / self.input_resistance_ohm + world.loop_conductance_s, 2.0 * math.pi * frequency_hz * world.stray_f
        )
        contact, _ = self._contact()
        if contact.closed:
            cell = world.cell.impedance(frequency_hz)
            admittance += 1.0 / (cell / (1.0 + cell * contact.shunt_s) + contact.series_ohm)
        return 1.0 / admittance if admittance else complex(math.inf)

    def _noise_of(self, connected: bool, start_ns: int, duration_ns: int) -> tuple[float, float]:
        """Noise on current and voltage. Mains current makes a voltage too, across what the node sees."""
        route = self._world.wiring.route if connected else None
        rest, mains = self._noise.current_a(route, start_ns, duration_ns)
        if self._moves and connected:
            rest += self._noise.stage_a(self._moves, start_ns, duration_ns)
        voltage = self._noise.voltage_v(start_ns, duration_ns)
        if connected and not isinstance(self._drive, VoltageDrive):
            omega = 2.0 * math.pi * self._world.mains_hz
            voltage += mains / math.hypot(1.0 / self._node_ohm, omega * self._node.farads)
        return rest + mains, voltage

    def _contact(self) -> tuple[Contact, int]:
        """The contact to the cell now, and until when it stays so if nothing is switched."""
        world = self._world
        if not (world.tip.touching and "cell" in world.wiring.closed_routes):
            return Contact(closed=False), FOREVER_NS
        base, until_ns = world.events.switches, FOREVER_NS
        if world.tip.film_ohm:
            base = replace(base, series_ohm=base.series_ohm + world.tip.resistance_ohm)
        if world.tip.light:
            base, until_ns = self._light_touch.contact(self._time_ns, base)
        contact, change_ns = self.schedule.contact(self._time_ns, base)
        return contact, min(change_ns, until_ns)

    def _live(self, until_ns: int, tally: Tally, *, measures: bool) -> None:
        world = self._world
        tally.limited = self._limited
        while self._time_ns < until_ns:
            world.tip.live_until(self._time_ns)
            contact, change_ns = self._contact()
            if contact.closed and self._drives() and self.schedule.driven(self._time_ns):
                contact, change_ns = self._contact()
            if contact.closed and self._takes_the_cell(measures):
                world.cell_holder = self
            holds = world.cell_holder is self
            end_ns = min(until_ns, change_ns)
            longest_s = (end_ns - self._time_ns) / NS
            if holds and contact.closed and world.cell.parameters.alive:
                seconds = self._step_on_cell(longest_s, contact, tally)
            else:
                seconds = self._step_on_resistor(longest_s, contact, holds, tally)
            self._time_ns = end_ns if seconds >= longest_s else self._time_ns + max(1, round(seconds * NS))
        self._limited = tally.limited

    def _takes_the_cell(self, measures: bool) -> bool:
        """Whether this instrument is at work on the circuit; one that is merely there does not disturb another's."""
        if isinstance(self._drive, OpenDrive):
            return measures and self._drive.connected
        return True

    def _drives(self) -> bool:
        return isinstance(self._drive, VoltageDrive) or (
            isinstance(self._drive, CurrentDrive) and self._drive.current_a != 0.0
        )

    def _sources(self) -> tuple[CurrentDrive | VoltageDrive, float, float]:
        """The drive, what flows in beside it, and the instrument's input conductance."""
        injected = self._world.chamber.beam_into_circuit_a
        if isinstance(self._drive, OpenDrive):
            if not self._drive.connected:
                return _NO_DRIVE, injected, 0.0
            return _NO_DRIVE, injected + self.bias_current_a, 1.0 / self.input_resistance_ohm
        return self._drive, injected + self.bias_current_a, 1.0 / self.input_resistance_ohm

    def _at_most_s(self, drive: CurrentDrive | VoltageDrive, current_a: float, injected_a: float) -> float:
        """The longest step; under a set voltage by the current of the step before."""
        if not (self._drives() or injected_a):
            return _REST_STEP_S
        flow = abs(current_a if isinstance(drive, CurrentDrive) else self._source_a)
        slow_s = _STEP_SHARE * self._world.cell.capacity_c / flow if flow else 0.0
        return min(max(_STEP_S, slow_s), _REST_STEP_S)

    def _step_on_cell(self, longest_s: float, contact: Contact, tally: Tally) -> float:
        cell, node = self._world.cell, self._node
        drive, injected_a, input_s = self._sources()
        shunt_s = contact.shunt_s + self._world.loop_conductance_s + cell.shunt_s
        if isinstance(drive, CurrentDrive):
            current_a = drive.current_a + injected_a
            charging = current_a > 0 if current_a else node.voltage_v > self._emf_v
        else:
            current_a = 0.0
            charging = drive.voltage_v > self._emf_v
        seconds = min(longest_s, self._at_most_s(drive, current_a, injected_a))
        source = cell.source(seconds, charging)
        self._emf_v = source.emf_v
        flow = max(abs(current_a), abs(source.emf_v) * shunt_s / (1.0 + source.resistance_ohm * shunt_s))
        if isinstance(drive, VoltageDrive):
            through = source.resistance_ohm + contact.series_ohm
            flow = max(flow, min(abs(drive.voltage_v - source.emf_v) / through, drive.limit_a))
        # What the lead's own charge does to the cell when the contact closes.
        excess_v = abs(node.voltage_v - source.emf_v)
        rise_v_per_c = source.slope_v_per_c + source.crossing_v_per_c
        if node.farads * excess_v * rise_v_per_c > _STEP_V:
            flow = max(flow, excess_v / (source.resistance_ohm + contact.series_ohm))
        if flow * rise_v_per_c * seconds > _STEP_V:
            seconds = min(seconds, max(_STEP_V / (flow * rise_v_per_c), _SHORTEST_STEP_S))
            source = cell.source(seconds, charging)
        divider = 1.0 / (1.0 + source.resistance_ohm * shunt_s)
        load = Load(
            max(source.resistance_ohm * divider + contact.series_ohm, 1e-3),
            source.emf_v * divider,
            (source.slope_v_per_c * divider + source.crossing_v_per_c) * divider,
            -source.slope_v_per_c * source.emf_v * shunt_s * divider**2,
        )
        if input_s:
            # The voltmeter's current is taken from the voltage that the node is going to have.
            expected_v = (
                drive.voltage_v if isinstance(drive, VoltageDrive) else load.emf_v + current_a * load.resistance_ohm
            )
            near = math.exp(-seconds / (load.resistance_ohm * node.farads))
            injected_a -= input_s * (expected_v + (node.voltage_v - expected_v) * near)
        before_c, self._node_ohm = tally.coulombs, load.resistance_ohm
        charge_c = node.step(seconds, drive, injected_a, load, tally)
        self._world.tip.carry(charge_c)
        self._source_a = (tally.coulombs - before_c) / seconds
        external_a = charge_c / seconds
        cell.step(seconds, (external_a - source.emf_v * shunt_s) * divider, external_a)
        return seconds

    def _step_on_resistor(self, longest_s: float, contact: Contact, holds: bool, tally: Tally) -> float:
        """A loop, an open lead, or a cell that is nothing but a short; the living cell beside it rests."""
        cell = self._world.cell
        drive, injected_a, input_s = self._sources()
        conductance = input_s + self._world.loop_conductance_s
        if contact.closed and holds:
            shunt_s = cell.shunt_s + contact.shunt_s
            conductance += shunt_s / (1.0 + contact.series_ohm * shunt_s)
        seconds = longest_s
        if holds and cell.parameters.alive:
            seconds = self._rest_cell(longest_s)
        load = Load(1.0 / conductance if conductance else math.inf)
        before_c, self._node_ohm = tally.coulombs, load.resistance_ohm
        charge_c = self._node.step(seconds, drive, injected_a, load, tally)
        if contact.closed and holds:
            self._world.tip.carry(charge_c)
        self._source_a = (tally.coulombs - before_c) / seconds
        return seconds

    def _rest_cell(self, longest_s: float) -> float:
        """Let the disconnected cell leak and relax for up to `longest_s`; returns for how long it did."""
        cell = self._world.cell
        shunt_s = cell.shunt_s + self._world.events.switches.shunt_s
        seconds = min(longest_s, _REST_STEP_S) if shunt_s else longest_s
        current_a = 0.0
        if shunt_s:
            source = cell.source(seconds, False)
            current_a = -source.emf_v * shunt_s / (1.0 + source.resistance_ohm * shunt_s)
            allowed_c = _STEP_V / source.slope_v_per_c
            if abs(current_a) * seconds > allowed_c:
                seconds = min(seconds, max(allowed_c / abs(current_a), _SHORTEST_STEP_S))
        cell.step(seconds, current_a, 0.0)
        return seconds
