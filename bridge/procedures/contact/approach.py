"""An approach from the floating lead to a proven contact, with what it costs in charge, and with second tries."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bridge.analysis.formatting import si
from drivers.errors import Refused, RunFailed
from drivers.interfaces import Manipulator, ManipulatorPosition, Potentiostat
from drivers.plain import to_plain
from drivers.samples import Array
from drivers.techniques import OpenCircuit
from drivers.uninterrupted import to_the_end

from ..common import Reporter, instrument
from ..context import Context
from .lead import Lead, LeadHeld, charge_lead
from .parameters import CELL_MAX_V, READINGS, MakeContact
from .senses import CurrentSense, ImpedanceSense, Look, Sense, VoltageSense
from .stepping import LOOKS, Stepper, Touch
from .touched import forget_contact, remember_contact
from .verification import Unstable, Verified, verify

#: A bare pad is at no voltage; what is above this is a cell.
_BARE_V = 0.1


@dataclass(slots=True)
class Approach:
    context: Context
    potentiostat: Potentiostat
    manipulator: Manipulator
    p: MakeContact
    #: what was found before it began, for the result
    safety: dict[str, Any]
    floating_v: float = 0.0
    lead: Lead | None = None
    #: why earlier contacts were given up
    unstable: list[str] = field(default_factory=list)
    reporter: Reporter = field(init=False)
    stepper: Stepper = field(init=False)

    def __post_init__(self) -> None:
        self.reporter = Reporter(self.context)
        self.stepper = Stepper(self.context, self.potentiostat, self.manipulator, self.p, self._tell)

    async def run(self) -> dict[str, Any]:
        p = self.p
        self.reporter.now("floating lead", 0.0)
        start = await self.manipulator.position()
        if await self._touches_already():
            return await self._contact(start, start, None, await self._verify())
        for attempt in range(1, p.tries + 1):
            self.stepper.attempt = attempt
            touch = await self._until_touch()
            if touch is None:
                return await self._not_found(start)
            remember_contact(self.manipulator.name, touch.position)
            position = await self._press(touch)
            try:
                verified = await self._verify()
            except Unstable as error:
                await self._back_off(str(error), attempt)
                continue
            return await self._contact(start, position, touch, verified)
        raise RunFailed(
            f"contact did not last, {p.tries} {'times' if p.tries > 1 else 'time'}: {self.unstable[-1]}",
            device=self.manipulator.name,
            hint=f"Vibration, or a dirty pad. The tip was drawn back by {si(p.back_off_m, 'm')} after each; look at it "
            "before trying again.",
            position=asdict(await self.manipulator.position()),
            steps=self.stepper.steps,
            unstable=self.unstable,
        )

    # --- the lead --------------------------------------------------------------------------------------------------

    async def _floating(self) -> Array:
        """As `_settled`, of a lead that is thought to touch nothing."""
        readings = await self._settled(self.p.steady_v)
        self.floating_v = float(np.median(readings))
        return readings

    async def _settled(self, rest_v: float) -> Array:
        """The last `READINGS` voltages at zero current, shape (READINGS,), once they have come to rest.

        A lead that touches takes several times cell resistance times cable capacitance to follow.
        """
        p = self.p
        technique = OpenCircuit(duration_s=READINGS * p.interval_s, interval_s=p.interval_s)
        readings: Array = np.empty(0)
        for _ in range(LOOKS):
            readings = (await self.potentiostat.collect(technique))["voltage_v"][-READINGS:]
            if len(readings) < READINGS or not np.isfinite(readings).all():
                raise await self.stepper.unread(str(readings.tolist()))
            if float(np.ptp(readings)) <= rest_v:
                break
        return readings

    async def _touches_already(self) -> bool:
        """By the expected voltage. Raises `Refused` where contact could not be seen."""
        p = self.p
        readings = await self._floating()
        steady = float(np.ptp(readings)) <= p.steady_v
        expected = p.contact_voltage_v
        near = expected is not None and bool((np.abs(readings - expected) <= p.tolerance_v).all())
        if p.pad == "cell" and steady and near:
            return True
        least = _BARE_V if p.pad == "bare" else p.threshold_v
        if steady and abs(self.floating_v) >= least and (expected is None or p.pad == "bare"):
            raise Refused(
                f"the lead is at {self.floating_v:.4g} V before the approach: it touches already, or still holds "
                "charge, and contact would not be seen",
                device=self.manipulator.name,
                hint="Draw the tip back, or give contact_voltage_v.",
            )
        return False

    async def _ready_lead(self) -> Sense:
        """The lead where it has to be, and how contact will be told from it."""
        p = self.p
        target = p.bias_v if p.sense == "current" else p.lead_v if self._precharges else None
        if target is None and self.stepper.attempt > 1 and abs(self.floating_v) >= p.threshold_v / 2:
            target = 0.0  # it holds what the last contact left on it, and would not be seen to jump
        if target is not None:
            self.reporter.now("pre-charge", None, target_v=target)
            charged = await charge_lead(self.potentiostat, p, self.lead_v, target)
            known = charged.capacitance_f or (self.lead.capacitance_f if self.lead else None)
            self.lead = Lead(charged.voltage_v, known, charged.charge_c)
        self._check_charge()
        if p.sense == "current":
            return CurrentSense(p)
        if p.sense == "impedance":
            return ImpedanceSense(p)
        return VoltageSense(p, self.lead_v, precharged=self._precharges)

    @property
    def _precharges(self) -> bool:
        p = self.p
        if p.precharge == "no" or p.contact_voltage_v is None or p.pad == "bare":
            return False
        able = "galvanostatic" in self.potentiostat.capabilities.techniques
        if p.precharge == "yes" and not able:
            raise Refused("this instrument cannot charge the lead: it is no galvanostat", device=self.potentiostat.name)
        return able

    @property
    def lead_v(self) -> float:
        return self.lead.voltage_v if self.lead is not None else self.floating_v

    @property
    def lead_f(self) -> float:
        """Measured where a ramp has told it."""
        measured = self.lead.capacitance_f if self.lead is not None else None
        return measured or self.p.stray_f

    def _check_charge(self) -> None:
        """Refuse an approach in which the lead's own charge would be more than the contact may carry."""
        p = self.p
        if p.pad == "bare":
            return
        expected = p.contact_voltage_v
        if expected is None:
            worst_v = max(abs(self.lead_v), abs(CELL_MAX_V - self.lead_v))
        else:
            worst_v = abs(expected - self.lead_v) + p.tolerance_v
        worst_c = self.lead_f * worst_v
        if worst_c > p.charge_limit_c:
            raise Refused(
                f"the lead's {si(self.lead_f, 'F')} at {self.lead_v:.3g} V may give {si(worst_c, 'C')} through the "
                f"contact; charge_limit_c is {si(p.charge_limit_c, 'C')}",
                device=self.potentiostat.name,
                hint="Give contact_voltage_v, so that the lead is brought near it first, or a tighter tolerance_v.",
            )

    # --- the tip ---------------------------------------------------------------------------------------------------

    async def _until_touch(self) -> Touch | None:
        """None if nothing was touched within the travel, the steps and the time."""
        while True:
            try:
                sense = await self._ready_lead()
            except LeadHeld:
                if not self.stepper.steps:
                    raise
                return await self._found_at_rest()
            outcome = await self.stepper.approach(sense, self.lead_v)
            if isinstance(outcome, Touch):
                return outcome
            if outcome is Look.ENDED:
                return None
            await self._refresh_lead()

    async def _found_at_rest(self) -> Touch:
        """The lead does not follow any more: what looked like its drift was a contact."""
        stepper = self.stepper
        position = await to_the_end(self.manipulator.stop())
        return Touch(position, stepper.open_m, stepper.travelled_m, self.lead_v, False, None, None)

    async def _refresh_lead(self) -> None:
        """Where it is now: it has drifted, or has touched something meanwhile."""
        known = self.lead.capacitance_f if self.lead is not None else None
        await self._floating()
        self.lead = Lead(self.floating_v, known, 0.0)

    def _tell(self, position: ManipulatorPosition, value: float) -> None:
        stepper = self.stepper
        name = {"voltage": "voltage_v", "impedance": "swing_v", "current": "current_a"}[self.p.sense]
        self.reporter.maybe(
            "approach",
            min(1.0, stepper.travelled_m / self.p.max_travel_m),
            steps=stepper.steps,
            travelled_m=stepper.travelled_m,
            z_m=position.z_m,
            **{name: value},
        )

    async def _press(self, touch: Touch) -> ManipulatorPosition:
        if not self.p.press_m:
            return touch.position
        self.reporter.now("press", None, z_m=touch.position.z_m)
        position, _ = await self.stepper.step(self.p.press_m)
        return position

    async def _verify(self) -> Verified:
        self.reporter.now("verify", None)
        voltage = float(np.median(await self._settled(self.p.steady_v / 10)))
        if self.p.pad == "bare" and abs(voltage) > _BARE_V:
            raise RunFailed(
                f"what was touched is at {voltage:.4g} V: a charged cell, no bare pad",
                device=self.manipulator.name,
                hint="The source is off, the manipulator stays where it is. Draw it back.",
            )
        return await verify(self.potentiostat, self.p, self.lead_v, self.lead_f)

    async def _back_off(self, why: str, attempt: int) -> None:
        p = self.p
        self.unstable.append(why)
        self.context.note(
            f"the contact was not stable ({why}); drawn back by {si(p.back_off_m, 'm')}, try {attempt} of {p.tries}",
            attempt=attempt,
        )
        self.reporter.now("back off", None)
        await self.stepper.step(-(p.back_off_m + p.press_m))
        if attempt < p.tries:
            await self._refresh_lead()

    # --- the result ------------------------------------------------------------------------------------------------

    async def _contact(
        self, start: ManipulatorPosition, position: ManipulatorPosition, touch: Touch | None, verified: Verified
    ) -> dict[str, Any]:
        remember_contact(self.manipulator.name, position)
        self.reporter.now("contact", 1.0, z_m=position.z_m, voltage_v=verified.ocv_v)
        contact = touch.position if touch is not None else start
        lost_v = self.lead_v - verified.ocv_v
        return self._result(
            start,
            position,
            found=True,
            contact_z_m=contact.z_m,
            already=touch is None,
            overshoot_m=None if touch is None else touch.at_m - touch.open_m,
            press_m=0.0 if touch is None else self.p.press_m,
            sensed_in_motion=None if touch is None else touch.in_motion,
            stop_command_s=None if touch is None else touch.stop_command_s,
            stop_proven_s=None if touch is None else touch.stop_proven_s,
            contact_charge_c=None if touch is None or self.p.pad == "bare" else self.lead_f * lost_v,
            test_charge_c=self.p.test_current_a * self.p.test_s if verified.ohmic is not None else 0.0,
            **verified.to_dict(self.p),
        )

    async def _not_found(self, start: ManipulatorPosition) -> dict[str, Any]:
        p = self.p
        self.reporter.now("retract", None)
        await self.manipulator.move_by(z_m=-p.direction * p.retract_m)
        forget_contact(self.manipulator.name)
        self.context.note(
            f"no contact within {si(self.stepper.travelled_m, 'm')}; drawn back by {si(p.retract_m, 'm')}",
            steps=self.stepper.steps,
        )
        self.reporter.now("not found", 1.0)
        return self._result(start, await self.manipulator.position(), found=False, ocv_v=None)

    def _result(self, start: ManipulatorPosition, position: ManipulatorPosition, **values: Any) -> dict[str, Any]:
        stepper = self.stepper
        fields: dict[str, Any] = {
            "procedure": "make-contact",
            "verdict": "contact" if values["found"] else "not found",
            **values,
            "position": asdict(position),
            "start_position": asdict(start),
            "steps": stepper.steps,
            "travelled_m": stepper.travelled_m,
            "approach_s": stepper.elapsed_s,
            "attempts": stepper.attempt,
            "unstable": self.unstable,
            "floating_voltage_v": self.floating_v,
            "lead_voltage_v": self.lead_v,
            "lead_capacitance_f": self.lead_f,
            "lead_capacitance_measured": bool(self.lead and self.lead.capacitance_f),
            "precharged": self._precharges,
            "sense": self.p.sense,
            "approach": asdict(stepper.trace),
            "safety": self.safety,
            "route": self.p.route,
            "instrument": instrument(self.potentiostat),
            "manipulator": self.manipulator.name,
            "method": _METHOD,
        }
        plain: dict[str, Any] = to_plain(fields)
        return plain


_METHOD = {
    "overshoot_m": "from where the lead was last seen open to where the tip came to rest: at most so far past the "
    "first touch, by the manipulator's own count; press_m, pressed on afterwards on purpose, is not in it",
    "stop_command_s": "real time from the arrival of the sample that told contact to the command to stop",
    "stop_proven_s": "the same, to the manipulator's word that all axes rest",
    "contact_charge_c": "the lead's capacitance times how far it was from the voltage that it met; positive charges "
    "the cell",
    "contact_resistance_ohm": "voltage under 0, +I, -I, 0: straight lines through the second half of each level, "
    "resistance from where they meet the steps; standard uncertainty from the scatter",
}
