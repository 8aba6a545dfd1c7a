"""Contact of the manipulator to the cell's pad, found by voltage: step, look, step, until the lead sees the cell.

The potentiostat looks at zero current: a floating lead jumps to the cell's voltage on contact. It never looks with a
bias: 0 V through even 1 GOhm would empty a nanobattery in about a second (domain.md, section 5).
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bridge.analysis.formatting import si
from drivers.errors import InvalidValue, Refused, RunFailed
from drivers.interfaces import Manipulator, ManipulatorPosition, Options, Potentiostat, option
from drivers.plain import to_plain
from drivers.samples import Array, SampleBlock
from drivers.techniques import OpenCircuit
from drivers.uninterrupted import to_the_end

from . import feasibility
from .common import (
    Reporter,
    check_route,
    choose,
    instrument,
    manipulator_of,
    not_negative,
    positive,
    potentiostat_of,
    select_route,
    source_off_afterwards,
)
from .context import Context
from .description import POTENTIOSTAT_AND_ROUTES, Procedure, Role

#: A voltage that does not come to rest within this many looks is not a cell's: the approach goes on.
_LOOKS = 10

#: Contact is believed when this many readings in a row say so.
READINGS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeContact(Options):
    """Parameters. Steps are taken along z; the coarse ones first, for `coarse_travel_m`, then the fine ones."""

    step_m: float = option(50e-9, unit="m", help="fine step")
    max_travel_m: float = option(5e-6, unit="m", help="give up after this much travel, coarse and fine together")
    coarse_travel_m: float = option(0.0, unit="m", help="how far to go in coarse steps first")
    coarse_step_m: float = option(500e-9, unit="m", help="coarse step; keep it below what an overshoot may cost")
    toward: str = option("-z", help="-z or +z: where the pad is")
    contact_voltage_v: float | None = option(None, unit="V", help="cell voltage to expect; any steady one unless given")
    threshold_v: float = option(0.5, unit="V", help="jump from the floating lead's voltage that counts as contact")
    tolerance_v: float = option(
        0.2, unit="V", help="how near to contact_voltage_v a reading must be, where it is given"
    )
    steady_v: float = option(0.02, unit="V", help="readings that differ by more than this are no contact")
    interval_s: float = option(0.1, unit="s", help="sampling interval")
    press_m: float = option(50e-9, unit="m", help="pressed on after contact")
    retract_m: float = option(1e-6, unit="m", help="drawn back if no contact was found")
    verify_s: float = option(10.0, unit="s", help="the voltage must stay steady for so long")
    route: str = option("", help="route of the feedthrough to select first; none unless given")

    def __post_init__(self) -> None:
        choose("toward", self.toward, ("-z", "+z"))
        positive(
            step_m=self.step_m,
            max_travel_m=self.max_travel_m,
            coarse_step_m=self.coarse_step_m,
            threshold_v=self.threshold_v,
            tolerance_v=self.tolerance_v,
            steady_v=self.steady_v,
            interval_s=self.interval_s,
            verify_s=self.verify_s,
        )
        not_negative(coarse_travel_m=self.coarse_travel_m, press_m=self.press_m, retract_m=self.retract_m)
        if self.max_travel_m < self.step_m:
            raise InvalidValue(
                f"max_travel_m is {self.max_travel_m:g} m, less than one step; at least {self.step_m:g} m is accepted"
            )

    @property
    def direction(self) -> int:
        return -1 if self.toward == "-z" else 1

    @property
    def look(self) -> OpenCircuit:
        """A look long enough for `READINGS` samples."""
        return OpenCircuit(duration_s=READINGS * self.interval_s, interval_s=self.interval_s)


async def run(context: Context, parameters: MakeContact) -> dict[str, Any]:
    """Where contact was made and the voltage there, or that none was found (then drawn back by `retract_m`).

    Raises `InvalidValue` before anything moves; `RunFailed` if the voltage cannot be read during the approach (it stops
    there, and does not go on pushing), or if contact does not last through the verification.
    """
    potentiostat, manipulator = potentiostat_of(context), manipulator_of(context)
    feedthrough = check_route(context, parameters.route)
    _check(potentiostat, manipulator, parameters)
    approach = _Approach(context, potentiostat, manipulator, parameters)
    async with source_off_afterwards(context, potentiostat):
        await select_route(context, potentiostat, feedthrough, parameters.route)
        return await approach.run()


def _check(potentiostat: Potentiostat, manipulator: Manipulator, p: MakeContact) -> None:
    feasibility.require_technique(potentiostat, OpenCircuit.name)
    feasibility.require_interval(potentiostat, p.interval_s)
    finest = manipulator.capabilities.resolution_m
    if p.step_m < finest:
        raise InvalidValue(
            f"step_m is {si(p.step_m, 'm')}, finer than {manipulator.name} can go; "
            f"at least {si(finest, 'm')} is accepted"
        )


@dataclass(slots=True)
class _Approach:
    context: Context
    potentiostat: Potentiostat
    manipulator: Manipulator
    p: MakeContact
    steps: int = 0
    travelled_m: float = 0.0
    floating_v: float = 0.0
    reporter: Reporter = field(init=False)

    def __post_init__(self) -> None:
        self.reporter = Reporter(self.context)

    async def run(self) -> dict[str, Any]:
        p = self.p
        self.reporter.now("floating lead", 0.0)
        start = await self.manipulator.position()
        readings = await self._look()
        self.floating_v = float(np.median(readings))
        if p.contact_voltage_v is not None and self._is_contact(readings):
            return await self._verified(start, start, already=True)
        steady = float(np.ptp(readings)) <= p.steady_v
        if p.contact_voltage_v is None and steady and abs(self.floating_v) >= p.threshold_v:
            raise Refused(
                f"the lead is at {self.floating_v:.4g} V before the approach: it touches already, or still holds "
                "charge, and contact would not be seen",
                device=self.manipulator.name,
                hint="Draw the tip back, or give contact_voltage_v.",
            )
        while self.travelled_m < p.max_travel_m - p.step_m / 2:
            position = await self._step(self._next_step())
            readings = await self._look()
            self.reporter.maybe(
                "approach",
                self.travelled_m / p.max_travel_m,
                steps=self.steps,
                travelled_m=self.travelled_m,
                z_m=position.z_m,
                voltage_v=float(readings[-1]),
            )
            if self._is_contact(readings):
                return await self._verified(start, position)
        return await self._not_found(start)

    def _next_step(self) -> float:
        coarse = self.travelled_m + self.p.coarse_step_m <= self.p.coarse_travel_m * (1 + 1e-9)
        step = self.p.coarse_step_m if coarse else self.p.step_m
        return min(step, self.p.max_travel_m - self.travelled_m)

    async def _step(self, length_m: float) -> ManipulatorPosition:
        """One move toward the pad. A move that is aborted half-way is stopped before the abort goes on."""
        try:
            position = await self.manipulator.move_by(z_m=self.p.direction * length_m)
        except BaseException:
            await to_the_end(self.manipulator.stop())
            raise
        self.steps += 1
        self.travelled_m += length_m
        return position

    async def _look(self) -> Array:
        """The last `READINGS` voltages at zero current, shape (READINGS,), once they have come to rest.

        A lead that has just touched takes several times cell resistance times cable capacitance to follow: while it
        still moves it is looked at again, not pushed on.
        """
        for _ in range(_LOOKS):
            readings = await self._read()
            if float(np.ptp(readings)) <= self.p.steady_v:
                break
        return readings

    async def _read(self) -> Array:
        readings = (await self._voltages(self.p.look))["voltage_v"][-READINGS:]
        if len(readings) < READINGS or not np.isfinite(readings).all():
            position = await self.manipulator.position()
            raise RunFailed(
                f"the voltage could not be read after {self.steps} steps: {readings.tolist()}",
                device=self.potentiostat.name,
                hint="The manipulator stays where it is. Look at range, route and cable before going on.",
                position=asdict(position),
                steps=self.steps,
            )
        return readings

    async def _voltages(self, technique: OpenCircuit) -> SampleBlock:
        async with aclosing(self.potentiostat.run(technique)) as run:
            return SampleBlock.concatenate([block async for block in run])

    def _is_contact(self, readings: Array) -> bool:
        if float(np.ptp(readings)) > self.p.steady_v:
            return False
        if self.p.contact_voltage_v is not None:
            return bool((np.abs(readings - self.p.contact_voltage_v) <= self.p.tolerance_v).all())
        return bool((np.abs(readings - self.floating_v) >= self.p.threshold_v).all())

    async def _verified(
        self, start: ManipulatorPosition, position: ManipulatorPosition, already: bool = False
    ) -> dict[str, Any]:
        """Press on a little, and see whether the voltage stays."""
        p = self.p
        contact_m = position.z_m
        if p.press_m and not already:
            self.reporter.now("press", None, z_m=position.z_m)
            position = await self._step(p.press_m)
        self.reporter.now("verify", None, z_m=position.z_m)
        record = await self._voltages(OpenCircuit(duration_s=p.verify_s, interval_s=p.interval_s))
        voltage = record["voltage_v"]
        if not len(voltage) or not np.isfinite(voltage).all() or not self._is_contact(voltage):
            seen = f"between {np.nanmin(voltage):.4g} V and {np.nanmax(voltage):.4g} V" if len(voltage) else "nothing"
            raise RunFailed(
                f"contact did not last: {seen} within {p.verify_s:g} s of touching at z = {si(contact_m, 'm')}",
                device=self.manipulator.name,
                hint="Vibration, or a dirty pad. The manipulator stays where it is; draw it back before trying again.",
                position=asdict(position),
                steps=self.steps,
            )
        ocv = float(voltage.mean())
        self.reporter.now("contact", 1.0, z_m=position.z_m, voltage_v=ocv)
        return self._result(
            start,
            position,
            found=True,
            ocv_v=ocv,
            ocv_std_v=float(voltage.std(ddof=1)) if len(voltage) > 1 else None,
            contact_z_m=contact_m,
        )

    async def _not_found(self, start: ManipulatorPosition) -> dict[str, Any]:
        self.reporter.now("retract", None)
        await self.manipulator.move_by(z_m=-self.p.direction * self.p.retract_m)
        self.context.note(
            f"no contact within {si(self.travelled_m, 'm')}; drawn back by {si(self.p.retract_m, 'm')}",
            steps=self.steps,
        )
        self.reporter.now("not found", 1.0)
        return self._result(start, await self.manipulator.position(), found=False, ocv_v=None)

    def _result(self, start: ManipulatorPosition, position: ManipulatorPosition, **values: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "procedure": "make-contact",
            "verdict": "contact" if values["found"] else "not found",
            **values,
            "position": asdict(position),
            "start_position": asdict(start),
            "steps": self.steps,
            "travelled_m": self.travelled_m,
            "floating_voltage_v": self.floating_v,
            "route": self.p.route,
            "instrument": instrument(self.potentiostat),
            "manipulator": self.manipulator.name,
        }
        plain: dict[str, Any] = to_plain(fields)
        return plain


PROCEDURE = Procedure(
    name="make-contact",
    summary="approach the pad in steps until the potentiostat, at zero current, sees the cell's voltage",
    parameters=MakeContact,
    roles={"manipulator": Role("manipulator"), **POTENTIOSTAT_AND_ROUTES},
    run=run,
    produces={
        "verdict": "contact, or not found",
        "ocv_v": "open-circuit voltage that the lead sees",
        "contact_z_m": "where the tip first touched",
    },
)
