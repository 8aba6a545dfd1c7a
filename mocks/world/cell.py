"""The thin-film battery: what it holds, what it shows, how it ages.

A cell is an electromotive force that depends on its charge, behind a chain of RC elements, with a leak in parallel.
Time steps may be far longer than the fast elements' time constants: over a step an element is seen as the resistance
that it is on average over the step (phi1 below), and its state afterwards is the exact one for the step's mean
current.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

from .ocp import LICOO2, LITHIUM, SILICON_CHARGE, SILICON_DISCHARGE
from .presets import CellParameters

#: A discharge counts as half of a cycle once it has taken out this part of the anode's capacity.
_CYCLE_DEPTH = 0.05


def decay_mean(x: float) -> float:
    """Mean of exp(-t) over 0 to `x`: (1 - exp(-x)) / x."""
    return -math.expm1(-x) / x if x > 1e-12 else 1.0


@dataclass(frozen=True, slots=True)
class Source:
    """The cell over one step, as a circuit sees it: a force behind a resistance, rising as charge goes in.

    The charge that the store keeps raises it by `slope_v_per_c`; charge from outside raises it by `crossing_v_per_c`
    more, while the anode goes over from one branch to the other.
    """

    emf_v: float
    resistance_ohm: float
    slope_v_per_c: float
    crossing_v_per_c: float


class _RcElement:
    """R and C in parallel."""

    def __init__(self, resistance_ohm: float, time_s: float) -> None:
        self.resistance_ohm = resistance_ohm
        self.time_s = time_s
        self.voltage_v = 0.0

    def step(self, duration_s: float, current_a: float) -> None:
        decay = math.exp(-duration_s / self.time_s)
        self.voltage_v = self.voltage_v * decay + current_a * self.resistance_ohm * (1.0 - decay)


class Cell:
    """A cell of `area_m2`. Its state is in coulombs; its leak and its short are its own, the contact to it is not."""

    def __init__(self, parameters: CellParameters, area_m2: float) -> None:
        if not area_m2 > 0:
            raise ValueError(f"area_m2 must be above zero, not {area_m2!r}")
        self.parameters = p = parameters
        self.area_m2 = area_m2
        area_m2 *= p.layers
        self._cathode_c = p.cathode_c_per_m2 * area_m2
        self._anode_c = p.anode_c_per_m2 * area_m2
        self._hysteresis_c = p.hysteresis_c_per_m2 * area_m2
        self._charging, self._discharging = (
            (LITHIUM, LITHIUM) if p.anode == "lithium" else (SILICON_CHARGE, SILICON_DISCHARGE)
        )
        self._series_ohm = p.series_ohm_m2 / area_m2
        self._elements = tuple(
            _RcElement(resistance / area_m2, time_s)
            for resistance, time_s in (
                (p.electrolyte_ohm_m2, p.electrolyte_ohm_m2 * p.electrolyte_f_per_m2),
                (p.interface_ohm_m2, p.interface_ohm_m2 * p.interface_f_per_m2),
                (p.diffusion_ohm_m2, p.diffusion_s),
            )
            if resistance > 0 and time_s > 0
        )
        self.leak_s = area_m2 / p.leak_ohm_m2
        self.short_s = 1.0 / p.short_ohm
        #: net charge that the cathode has given
        self.charge_c = 0.0
        #: the part of it that can come out again
        self.reversible_c = 0.0
        #: 0 on the anode's charging branch, 1 on the discharging one
        self.branch = 0.0
        #: completed cycles (a discharge, then a charge)
        self.cycles = 0
        #: how often the model was evaluated: the simulation's cost, independent of the machine
        self.evaluations = 0
        self._peak_c = 0.0
        self._discharged_c = 0.0

    @property
    def capacity_c(self) -> float:
        """Charge of one unit of the cathode's lithium fraction."""
        return self._cathode_c

    @property
    def shunt_s(self) -> float:
        """Conductance in parallel: leak and short."""
        return self.leak_s + self.short_s

    @property
    def open_circuit_voltage_v(self) -> float:
        """Equilibrium voltage at the present charge, relaxation left out; 0 for a cell that is only a short."""
        return self._equilibrium(charging=True)[0] if self.parameters.alive else 0.0

    def source(self, duration_s: float, charging: bool) -> Source:
        """What a step of `duration_s` meets; `charging` says which way current will go."""
        self.evaluations += 1
        emf, slope, crossing = self._equilibrium(charging)
        resistance = self._series_ohm
        for element in self._elements:
            left = decay_mean(duration_s / element.time_s)
            emf += element.voltage_v * left
            resistance += element.resistance_ohm * (1.0 - left)
        return Source(emf, resistance, slope, crossing)

    def step(self, duration_s: float, current_a: float, external_a: float) -> None:
        """Live through `duration_s` with the mean `current_a` into the store, `external_a` of it from outside.

        The anode's branch follows the current from outside only: a leak alone lets the voltage sink along the branch
        that the last charge has left it on, as the note has it. With `ages` false only the charge counts, not the
        rest.
        """
        charge = current_a * duration_s
        self.charge_c += charge
        fresh = max(0.0, self.charge_c - self._peak_c)
        self._peak_c += fresh
        self.reversible_c += charge - fresh * (1.0 - self.parameters.reversible_fraction)
        outside = external_a * duration_s
        if outside:
            target = 0.0 if outside > 0 else 1.0
            self.branch = target + (self.branch - target) * math.exp(-abs(outside) / self._hysteresis_c)
            self._count_cycles(outside)
        for element in self._elements:
            element.step(duration_s, current_a)
        self.branch += (0.5 - self.branch) * -math.expm1(-duration_s / self.parameters.hysteresis_rest_s)

    def impedance(self, frequency_hz: float) -> complex:
        """Small-signal impedance of the cell with its leak and short.

        The circuit of the note's section 6, R0 - p(R1,C1) - p(R2,C2) - W; without a Warburg element the diffusion RC
        takes its place. The capacity of the electrodes themselves (ohms at a tenth of a hertz) is left out.
        """
        shunt = self.shunt_s
        if not self.parameters.alive:
            return 1.0 / complex(shunt)
        omega = 2.0 * math.pi * frequency_hz
        warburg = self.parameters.warburg_ohm_m2_per_sqrt_s / (self.area_m2 * self.parameters.layers)
        elements = self._elements[:2] if warburg else self._elements
        total = complex(self._series_ohm)
        for element in elements:
            total += element.resistance_ohm / (1.0 + 1j * omega * element.time_s)
        total += warburg * (1.0 - 1.0j) / cmath.sqrt(omega)
        return total / (1.0 + total * shunt)

    def _equilibrium(self, charging: bool) -> tuple[float, float, float]:
        """Equilibrium voltage, and its two slopes (see `Source`) for current in that direction.

        Lithium that is trapped in the anode still fills it while charging; the discharging branch sees only what can
        leave.
        """
        p = self.parameters
        cathode_v, cathode_slope = LICOO2.at(p.lithium_fraction - self.charge_c / self._cathode_c)
        filling_v, filling_slope = self._charging.at(self.charge_c / self._anode_c)
        emptying_v, emptying_slope = self._discharging.at(self.reversible_c / self._anode_c)
        branch = self.branch
        emf = cathode_v - (1.0 - branch) * filling_v - branch * emptying_v
        fresh = charging and self.charge_c >= self._peak_c
        share = p.reversible_fraction if fresh else 1.0
        anode_slope = ((1.0 - branch) * filling_slope + branch * emptying_slope * share) / self._anode_c
        crossing = (branch if charging else 1.0 - branch) * max(0.0, emptying_v - filling_v) / self._hysteresis_c
        return emf, max(-cathode_slope / self._cathode_c - anode_slope, 1e-3 / self._cathode_c), crossing

    def _count_cycles(self, outside_c: float) -> None:
        """A charge after a real discharge begins the next cycle, with a cell that is a little smaller."""
        if outside_c < 0:
            self._discharged_c -= outside_c
        elif self._discharged_c > _CYCLE_DEPTH * self._anode_c:
            self._discharged_c = 0.0
            self.cycles += 1
            left = 1.0 - self.parameters.fade_per_cycle
            # Everything shrinks together, so that the voltage does not jump.
            self._cathode_c *= left
            self._anode_c *= left
            self.charge_c *= left
            self.reversible_c *= left
            self._peak_c *= left
