"""Parameters of an approach to contact."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.errors import InvalidValue
from drivers.interfaces import Options, option

from ..common import choose, not_negative, positive

#: Contact is believed when this many readings in a row say so.
READINGS = 3

#: Highest voltage of a cell of the field: what a lead at zero may meet at worst.
CELL_MAX_V = 4.2


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeContact(Options):
    """Steps are taken along z and shrink: coarse ones for `coarse_travel_m` (or, where `distance_m` says how far the
    pad is, until `coarse_until_m` before it and medium ones until `medium_until_m` before it), then the fine ones."""

    step_m: float = option(50e-9, unit="m", help="fine step")
    max_travel_m: float = option(5e-6, unit="m", help="give up after this much travel, all steps together")
    coarse_travel_m: float = option(0.0, unit="m", help="how far to go in coarse steps first")
    coarse_step_m: float = option(500e-9, unit="m", help="coarse step; keep it below what an overshoot may cost")
    distance_m: float | None = option(None, unit="m", above=0, help="distance of the pad by the image, if it is known")
    coarse_until_m: float = option(10e-6, unit="m", help="with distance_m: coarse steps until here before the pad")
    medium_step_m: float = option(200e-9, unit="m", help="with distance_m: the steps between coarse and fine")
    medium_until_m: float = option(2e-6, unit="m", help="with distance_m: medium steps until here before the pad")
    max_steps: int = option(1000, at_least=1, help="give up after so many steps")
    time_limit_s: float = option(3600.0, unit="s", help="give up after this time, by the potentiostat's clock")
    toward: str = option("-z", help="-z or +z: where the pad is")
    sense: str = option(
        "voltage",
        choices=("voltage", "impedance", "current"),
        help="voltage at zero current; impedance by small current pulses; current at a small bias (bare pads only)",
    )
    pad: str = option(
        "cell", choices=("cell", "bare"), help="what is touched: a cell, or a bare pad, grid or noise-test loop"
    )
    contact_voltage_v: float | None = option(None, unit="V", help="cell voltage to expect; any steady one unless given")
    threshold_v: float = option(0.5, unit="V", help="jump from the floating lead's voltage that counts as contact")
    tolerance_v: float = option(
        0.2, unit="V", help="how near to contact_voltage_v a reading must be, where it is given"
    )
    steady_v: float = option(0.02, unit="V", help="readings that differ by more than this are no contact")
    precharge: str = option(
        "auto",
        choices=("auto", "yes", "no"),
        help="bring the lead near contact_voltage_v before touching; auto: where that is given, and the device can",
    )
    precharge_current_a: float = option(100e-12, unit="A", help="largest current that charges the lead")
    precharged_threshold_v: float = option(
        0.015,
        unit="V",
        help="jump of a pre-charged lead that counts; it is held tolerance_v and twice this below the cell",
    )
    charge_limit_c: float = option(500e-12, unit="C", help="the most that may go through the contact as it closes")
    stray_f: float = option(100e-12, unit="F", help="capacitance of the lead; measured where it is pre-charged")
    bias_v: float = option(0.02, unit="V", help="sense current: bias on the bare pad, 50 mV at most")
    current_limit_a: float = option(10e-12, unit="A", help="sense current: compliance, 10 pA at most")
    onset_current_a: float = option(1e-12, unit="A", help="sense current: onset that counts as contact")
    pulse_current_a: float = option(5e-12, unit="A", help="sense impedance: current of the pulses")
    pulse_s: float = option(1.0, unit="s", help="sense impedance: length of a pulse")
    interval_s: float = option(0.1, unit="s", help="sampling interval")
    stale_s: float = option(5.0, unit="s", help="no reading for so long (real time) stops the approach")
    press_m: float = option(50e-9, unit="m", help="pressed on after contact")
    retract_m: float = option(1e-6, unit="m", help="drawn back if no contact was found")
    back_off_m: float = option(
        500e-9, unit="m", help="drawn back before trying again, after a contact that did not last"
    )
    tries: int = option(3, at_least=1, help="so many contacts are tried before giving up")
    verify_s: float = option(10.0, unit="s", help="the voltage must stay steady for so long")
    test_current_a: float = option(5e-12, unit="A", at_least=0, help="of the ohmic test, +I and -I; 0 leaves it out")
    test_s: float = option(2.0, unit="s", help="length of each level of the ohmic test")
    cell_resistance_ohm: float = option(
        0.0, unit="ohm", at_least=0, help="resistance of the cell, taken off the loop's to give the contact's"
    )
    route: str = option("", help="route of the feedthrough to select first; none unless given")
    vacuum_pa: float = option(1e-3, unit="Pa", help="with a gauge: refuse above this pressure (1e-5 mbar)")

    def __post_init__(self) -> None:
        choose("toward", self.toward, ("-z", "+z"))
        positive(
            step_m=self.step_m,
            max_travel_m=self.max_travel_m,
            coarse_step_m=self.coarse_step_m,
            medium_step_m=self.medium_step_m,
            threshold_v=self.threshold_v,
            tolerance_v=self.tolerance_v,
            steady_v=self.steady_v,
            precharged_threshold_v=self.precharged_threshold_v,
            precharge_current_a=self.precharge_current_a,
            charge_limit_c=self.charge_limit_c,
            stray_f=self.stray_f,
            interval_s=self.interval_s,
            stale_s=self.stale_s,
            time_limit_s=self.time_limit_s,
            verify_s=self.verify_s,
            test_s=self.test_s,
            pulse_current_a=self.pulse_current_a,
            pulse_s=self.pulse_s,
            onset_current_a=self.onset_current_a,
            vacuum_pa=self.vacuum_pa,
        )
        not_negative(
            coarse_travel_m=self.coarse_travel_m,
            press_m=self.press_m,
            retract_m=self.retract_m,
            back_off_m=self.back_off_m,
            coarse_until_m=self.coarse_until_m,
            medium_until_m=self.medium_until_m,
        )
        if self.max_travel_m < self.step_m:
            raise InvalidValue(
                f"max_travel_m is {self.max_travel_m:g} m, less than one step; at least {self.step_m:g} m is accepted"
            )
        if self.distance_m is not None and self.max_travel_m < self.distance_m:
            raise InvalidValue(
                f"max_travel_m is {self.max_travel_m:g} m, and the pad is {self.distance_m:g} m away (distance_m); "
                "a max_travel_m a little above that is accepted"
            )
        if self.precharge == "yes" and self.contact_voltage_v is None:
            raise InvalidValue(
                "precharge is 'yes', but contact_voltage_v, to which the lead is to be charged, is not given"
            )
        if self.sense == "current":
            self._check_bias()

    def _check_bias(self) -> None:
        """A bias on a charged cell empties it within seconds (domain note, section 5)."""
        if self.pad != "bare":
            raise InvalidValue(
                "sense is 'current', which holds the lead at a bias: on a charged cell it would be a short; "
                "accepted for pad 'bare' only",
                hint="Use sense 'voltage' for a cell, or 'impedance' where its voltage is near zero.",
            )
        if not 0 < abs(self.bias_v) <= 0.05:
            raise InvalidValue(f"bias_v is {self.bias_v:g} V; accepted: up to 0.05 V, and not 0")
        if not 0 < self.current_limit_a <= 10e-12 * (1 + 1e-9):
            raise InvalidValue(f"current_limit_a is {self.current_limit_a:g} A; accepted: above 0, up to 1e-11 A")
        if self.onset_current_a >= self.current_limit_a:
            raise InvalidValue(
                f"onset_current_a is {self.onset_current_a:g} A; less than current_limit_a, "
                f"{self.current_limit_a:g} A, is accepted"
            )

    @property
    def direction(self) -> int:
        return -1 if self.toward == "-z" else 1

    @property
    def lead_v(self) -> float:
        """Where a pre-charged lead is held: below any voltage within the tolerance by twice the threshold (half of a
        jump may be lost, where the lead's charge moves a small cell), and never above the cell's."""
        assert self.contact_voltage_v is not None
        return self.contact_voltage_v - self.tolerance_v - 2 * self.precharged_threshold_v

    def step_after(self, travelled_m: float) -> float:
        """The next step, by how far the tip has come."""
        if self.distance_m is not None:
            left = self.distance_m - travelled_m
            stages = ((self.coarse_step_m, self.coarse_until_m), (self.medium_step_m, self.medium_until_m))
            length = next((step for step, until in stages if left - step >= until * (1 - 1e-9)), self.step_m)
        else:
            coarse = travelled_m + self.coarse_step_m <= self.coarse_travel_m * (1 + 1e-9)
            length = self.coarse_step_m if coarse else self.step_m
        return min(length, self.max_travel_m - travelled_m)
