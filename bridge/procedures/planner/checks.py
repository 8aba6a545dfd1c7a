"""The checks of a planned run: each says what it found, and what would make it fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bridge.analysis.capacity import ah
from bridge.analysis.formatting import area, duration, percent, si
from drivers.errors import InvalidValue, PicobridgeError, Refused, Unsupported
from drivers.interfaces import Potentiostat
from drivers.techniques import Galvanostatic

from .. import feasibility
from .leads import Lead

#: Cells of this field are cycled at tens of uA/cm2 to a few mA/cm2; beyond this the current or the area is a slip.
_ODD_A_PER_M2 = (0.01, 50.0)

#: A leak of this share of the current is what one wants; the tolerance is what one can live with.
_WANTED_LEAK_SHARE = 0.01

#: The cell's shelf, from which a lost contact runs to the upper limit.
_SHELF_V = 3.6

#: Seconds to wait after any step at least (domain note 2.3).
_SETTLE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """What is planned, in SI. `current_a` is unsigned; None is unknown (an area, a charge)."""

    current_a: float
    area_m2: float | None = None
    charge_c: float | None = None
    anode_ah_per_m2: float | None = None
    voltage_min_v: float = 2.0
    voltage_max_v: float = 4.2
    tolerance: float = 0.1
    interval_s: float = 0.1
    latency_s: float = 0.05
    stray_f: float = 100e-12
    resistance_ohm: float | None = None
    lead: Lead | None = None
    floor_a: float | None = None

    @property
    def density_a_per_m2(self) -> float | None:
        return None if self.area_m2 is None else self.current_a / self.area_m2


@dataclass(frozen=True, slots=True)
class Check:
    """`ok` None is "nothing against it, but know this". `value` and `limit` are in `unit`."""

    name: str
    ok: bool | None
    text: str
    remedy: str = ""
    value: float | None = None
    limit: float | None = None
    unit: str = ""


def check_all(potentiostat: Potentiostat, run: PlannedRun) -> list[Check]:
    """Every check, whatever the others found. Nothing is sent to the device."""
    checks = [_current(run), *_instrument(potentiostat, run)]
    if run.lead is not None or run.floor_a is not None:
        checks.append(_floor(run))
    if run.lead is not None:
        checks.append(_noise(run.lead, run))
    checks += [_leakage(potentiostat, run), _settling(potentiostat, run), _contact_loss(run)]
    if run.charge_c is not None:
        checks += [_charge(run, run.charge_c), _stray(run, run.charge_c), _reaction(run, run.charge_c)]
    return checks


def require(checks: Iterable[Check], *, device: str = "") -> None:
    """Raises `Refused` with everything that stands against the run, and the remedies."""
    against = [check for check in checks if check.ok is False]
    if against:
        raise Refused(
            "; ".join(check.text for check in against),
            device=device,
            hint=" ".join(dict.fromkeys(check.remedy for check in against if check.remedy)),
        )


def _current(run: PlannedRun) -> Check:
    density = run.density_a_per_m2
    if density is None or run.area_m2 is None:
        return Check("current", None, f"{si(run.current_a, 'A')}; the area is not known", value=run.current_a, unit="A")
    text = f"{si(density, 'A/m2')} on {area(run.area_m2)} is {si(run.current_a, 'A')}"
    low, high = _ODD_A_PER_M2
    if not low <= density <= high:
        text += "; cells of this field are cycled at tens of uA/cm2 to a few mA/cm2: check the area and the current"
        return Check("current", None, text, value=run.current_a, unit="A")
    return Check("current", True, text, value=run.current_a, unit="A")


def _instrument(potentiostat: Potentiostat, run: PlannedRun) -> list[Check]:
    tolerance_a = run.tolerance * run.current_a

    def fits() -> str:
        choice = feasibility.plan_current(potentiostat, run.current_a, tolerance_a, "cycling at")
        error = "" if choice.error_a is None else f", within {si(choice.error_a, 'A')} there"
        resolution = choice.range.resolution_a
        counts = "" if not resolution else f", a count is {si(resolution, 'A')}"
        return f"the {si(choice.range.full_scale_a, 'A')} range suits {si(run.current_a, 'A')}{counts}{error}"

    def window() -> str:
        feasibility.require_window(potentiostat, run.voltage_min_v, run.voltage_max_v)
        return f"{run.voltage_min_v:g} V to {run.voltage_max_v:g} V can be measured"

    def technique() -> str:
        feasibility.require_technique(potentiostat, Galvanostatic.name)
        return "can hold a current"

    def interval() -> str:
        feasibility.require_interval(potentiostat, run.interval_s)
        return f"can give a sample each {run.interval_s:g} s"

    named: dict[str, Callable[[], str]] = {
        "technique": technique,
        "range": fits,
        "window": window,
        "interval": interval,
    }
    return [_asked(name, question) for name, question in named.items()]


def _asked(name: str, question: Callable[[], str]) -> Check:
    """A question that raises where a run would be refused."""
    try:
        return Check(name, True, question())
    except (Refused, Unsupported, InvalidValue) as error:
        return Check(name, False, error.message, error.hint)


def _floor(run: PlannedRun) -> Check:
    measured = run.floor_a is not None
    floor = run.floor_a if run.floor_a is not None else run.lead.floor_a if run.lead is not None else 0.0
    lead = "the route" if run.lead is None else f"the {run.lead.name} lead"
    source = "its noise test" if measured else "the paper's noise test; do your own"
    text = f"{lead} is stable from {si(floor, 'A')} ({source}); {si(run.current_a, 'A')} is planned"
    remedies = []
    density = run.density_a_per_m2
    if density is not None and run.area_m2 is not None:
        remedies += [
            f"an area of {area(floor / density)} or more",
            f"a density of {si(floor / run.area_m2, 'A/m2')} or more",
        ]
    else:
        remedies.append(f"a current of {si(floor, 'A')} or more")
    if run.lead is None or run.lead.name == "manipulator":
        remedies.append("a shielded tip (1 pA)")
    fits = run.current_a >= floor * (1 - 1e-9)
    remedy = "" if fits else f"Any of: {', '.join(remedies)}."
    return Check("route floor", fits, text, remedy, run.current_a, floor, "A")


def _noise(lead: Lead, run: PlannedRun) -> Check:
    share, offset = lead.noise_a / run.current_a, lead.offset_a / run.current_a
    text = (
        f"expected on the {lead.name} lead: {si(lead.noise_a, 'A')} on averages of 1 s ({percent(share)} of the "
        f"current), an offset of {si(lead.offset_a, 'A')} ({percent(offset)} of the charge)"
    )
    fits = lead.noise_a <= run.tolerance * run.current_a
    remedy = "" if fits else f"A current of {si(lead.noise_a / run.tolerance, 'A')} or more, or a shielded lead."
    return Check("noise", fits, text, remedy, lead.noise_a, run.tolerance * run.current_a, "A")


def _leakage(potentiostat: Potentiostat, run: PlannedRun) -> Check:
    allowed = run.tolerance * run.current_a
    needed = run.voltage_max_v / (_WANTED_LEAK_SHARE * run.current_a)
    wanted = f"1 % takes an input of {si(needed, 'Ohm', 2)} or more"
    try:
        leak = feasibility.require_input(potentiostat, run.current_a, run.voltage_max_v, allowed)
    except PicobridgeError as error:
        return Check("leakage", False, f"{error.message}; {wanted}", error.hint, unit="A")
    if leak is None:
        return Check("leakage", None, f"the instrument's input resistance is not known; {wanted}", unit="A")
    text = (
        f"the instrument's input takes up to {si(leak, 'A')} at {run.voltage_max_v:g} V, "
        f"{percent(leak / run.current_a)} of the current"
    )
    small = leak <= _WANTED_LEAK_SHARE * run.current_a
    if not small:
        text += f": coulombic efficiency comes out too low by about twice that; {wanted}"
    return Check("leakage", True if small else None, text, "", leak, allowed, "A")


def _settling(potentiostat: Potentiostat, run: PlannedRun) -> Check:
    wait = _SETTLE_S
    fitting = [r for r in potentiostat.capabilities.current_ranges if r.full_scale_a >= run.current_a]
    if fitting:
        wait = max(wait, min(fitting, key=lambda r: r.full_scale_a).settling_s)
    text = "after a step"
    if run.resistance_ohm is not None:
        wait = max(wait, 5 * run.resistance_ohm * run.stray_f)
        text = f"after a step ({si(run.resistance_ohm, 'Ohm')} on {si(run.stray_f, 'F')})"
    return Check("settling", None, f"{text} wait {duration(wait)} before a reading counts", value=wait, unit="s")


def _contact_loss(run: PlannedRun) -> Check:
    ramp = run.current_a / run.stray_f
    way = abs(run.voltage_max_v - _SHELF_V)
    text = (
        f"a lost contact shows as a ramp of {si(ramp, 'V/s')} on {si(run.stray_f, 'F')}: "
        f"{duration(way / ramp)} from {_SHELF_V:g} V to {run.voltage_max_v:g} V"
    )
    return Check("contact loss", None, text, value=ramp, unit="V/s")


def _charge(run: PlannedRun, charge_c: float) -> Check:
    takes = charge_c / run.current_a
    text = f"{si(ah(charge_c), 'Ah')} ({si(charge_c, 'C')}) takes {duration(takes)}"
    if run.area_m2 is None or run.anode_ah_per_m2 is None:
        return Check("charge", None, text, value=charge_c, unit="C")
    areal = ah(charge_c) / run.area_m2
    balance = run.anode_ah_per_m2 / areal
    text += f"; {si(areal, 'Ah/m2')} against the anode's {si(run.anode_ah_per_m2, 'Ah/m2')} is N/P {balance:.2f}"
    if balance < 1:
        text += ": lithium plates, part of the charge is leakage, or the cell is not the nominal one"
    limit = run.anode_ah_per_m2 * run.area_m2 * 3600
    return Check("charge", True if balance >= 1 else None, text, "", charge_c, limit, "C")


def _stray(run: PlannedRun, charge_c: float) -> Check:
    stray = run.stray_f * (run.voltage_max_v - run.voltage_min_v)
    share = stray / charge_c
    text = (
        f"the lead's {si(run.stray_f, 'F')} takes up to {si(stray, 'C')} over the window, "
        f"{percent(share)} of the charge"
    )
    if share > run.tolerance:
        text += "; only the corrected capacity means anything, or a guarded lead"
    return Check("stray charge", True if share <= run.tolerance else None, text, "", stray, charge_c, "C")


def _reaction(run: PlannedRun, charge_c: float) -> Check:
    late = run.current_a * (run.interval_s + run.latency_s)
    share = late / charge_c
    text = f"a limit is acted on within {si(late, 'C')}, {percent(share)} of the charge"
    return Check("reaction", True if share <= 0.01 else None, text, "", late, 0.01 * charge_c, "C")
