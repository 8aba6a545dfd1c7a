"""The procedures `impedance` and `open-lead` as they run: refuse, measure, evaluate."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import numpy as np

from bridge.analysis.formatting import si
from bridge.analysis.impedance.circuit import parse_circuit
from bridge.analysis.impedance.lead import OpenLead, open_lead_of
from bridge.analysis.impedance.lock_in import FEWEST_STEPS, highest_hz
from bridge.analysis.impedance.spectrum import Spectrum, mean_of
from drivers.errors import InvalidValue, Refused, Unsupported
from drivers.interfaces import Potentiostat
from drivers.plain import to_plain
from drivers.techniques import CurrentSequence, Impedance, OpenCircuit, VoltageSequence

from .. import feasibility
from ..common import Reporter, check_route, instrument, potentiostat_of, select_route, source_off_afterwards
from ..context import Context, Question
from .evaluation import Measured, Settings, evaluate
from .host_sweep import HostSweep
from .parameters import MeasureImpedance, SweepOptions
from .sweep import DeviceSweep, Sweep, frequencies_of, open_circuit_v

#: Of a lead with nothing at its end all points have at least this phase.
_OPEN_DEG = -80.0
_LIFT = "Lift the tip: nothing may be at the end of the lead now, in the pose that it has when it measures."
_LAND = "Put the tip back on the cell's pad."
_LIFTED, _LANDED, _STOP = "it is lifted", "contact is made", "stop"


async def measure_impedance(context: Context, p: MeasureImpedance) -> dict[str, Any]:
    """The spectrum and what it says. Raises `Refused`, `Unsupported`, `InvalidValue` before anything is energised."""
    potentiostat = potentiostat_of(context)
    feedthrough = check_route(context, p.route)
    by_host, notes = _mode(potentiostat, p)
    if p.circuit:
        await asyncio.to_thread(parse_circuit, p.circuit, p.guesses)  # the package takes a second to import
    if p.bias_v is not None:
        feasibility.require_window(potentiostat, p.bias_v, p.bias_v)
    reporter = Reporter(context)
    clock_began = potentiostat.clock.time_ns()
    async with source_off_afterwards(context, potentiostat):
        await select_route(context, potentiostat, feedthrough, p.route)
        lead, lead_source = p.known_lead or (None, "")
        lead_result = None
        if p.measure_open_lead:
            await _asked(context, potentiostat, _LIFT, _LIFTED)
            lead_result = await _measure_lead(context, potentiostat, p, reporter, by_host, notes)
            lead, lead_source = lead_result[0], "measured first"
            await _asked(context, potentiostat, _LAND, _LANDED)
        before_v = await _rest(potentiostat, reporter, p, "open circuit before")
        bias_v = before_v if p.bias_v is None else p.bias_v
        sweep = _sweep(potentiostat, reporter, p, by_host, p.area_m2, notes)
        frequency = frequencies_of(p, highest_hz(_shortest_s(potentiostat, p)) if by_host else math.inf)
        spectra = []
        for number in range(1, p.repeats + 1):
            step = "spectrum" if p.repeats == 1 else f"spectrum {number} of {p.repeats}"
            spectra.append(await sweep.measure(frequency, p.amplitude_v, bias_v, step))
        half = None
        if p.linearity:
            half = await sweep.measure(frequency[-1:], p.amplitude_v / 2, bias_v, "half the amplitude")
        _forget(sweep, spectra[0])
        again = await sweep.measure(frequency[:1], p.amplitude_v, bias_v, "first frequency again")
        after_v = await _rest(potentiostat, reporter, p, "open circuit after")
    measured = Measured(mean_of(spectra), again, half, before_v, after_v, p.amplitude_v, lead, lead_source)
    settings = Settings(p.stray_f, p.noise_a, p.area_m2, p.circuit, p.guesses)
    reporter.now("evaluating", 0.98)
    found = await asyncio.to_thread(evaluate, measured, settings)
    for text in notes:
        context.note(text)
    reporter.now("done", 1.0, verdict=found["verdict"])
    result = {
        "procedure": "impedance",
        **found,
        **_conditions(potentiostat, p, by_host, sweep, clock_began),
        "bias_v": bias_v,
        "bias": "open-circuit voltage just before" if p.bias_v is None else "given",
        "repeats": p.repeats,
        "area_m2": p.area_m2,
        "open_lead": None if lead_result is None else _lead_fields(*lead_result, p.route),
        "method": _METHOD | {"spectrum": sweep.how},
        "notes": notes,
    }
    plain: dict[str, Any] = to_plain(result)
    return plain


async def measure_open_lead(context: Context, p: SweepOptions) -> dict[str, Any]:
    """Capacitance and conductance of a route with nothing at its end, to be taken off later spectra."""
    potentiostat = potentiostat_of(context)
    feedthrough = check_route(context, p.route)
    by_host, notes = _mode(potentiostat, p)
    reporter = Reporter(context)
    began = potentiostat.clock.time_ns()
    async with source_off_afterwards(context, potentiostat):
        await select_route(context, potentiostat, feedthrough, p.route)
        await _asked(context, potentiostat, _LIFT, _LIFTED)
        lead, spectrum, sweep = await _measure_lead(context, potentiostat, p, reporter, by_host, notes)
    reporter.now("done", 1.0, capacitance_f=lead.capacitance_f)
    text = f"{si(lead.capacitance_f, 'F')} within {lead.error:.2g} of it, {si(lead.conductance_s, 'S')} beside it"
    result = {
        "procedure": "open-lead",
        "verdict": "pass",
        "reason": text,
        **_lead_fields(lead, spectrum, sweep, p.route),
        **_conditions(potentiostat, p, by_host, sweep, began),
        "method": {
            "spectrum": sweep.how,
            "capacitance_f": "least squares of G + jwC to the admittance, weighted by its modulus",
            "error": "rms deviation of the admittance from G + jwC, as a share of it",
        },
        "notes": notes,
    }
    plain: dict[str, Any] = to_plain(result)
    return plain


_METHOD = {
    "kramers_kronig": "linear test of Schoenleber, Klotz and Ivers-Tiffee (2014), c = 0.5, capacitance and inductance "
    "in series; passes with 1 % rms and 3 % at most. It sees no slow drift",
    "drift": "the first frequency once more at the end, at most 2 %; open-circuit voltage before and after",
    "cable": "the lead's admittance beside what was measured; taken off where it is known, Z_cell = 1/(Y - Y_open). "
    "A point is the cable's where the lead's error is more than a fifth of the cell",
    "fit": "impedance.py, least squares weighted by 1/|Z|, start from the data; sigma from the covariance, 95 % "
    "intervals as normal ones. Only of points that are the cell's",
    "sign": "positive current charges; Z'' is negative for a capacitance",
}


def _mode(potentiostat: Potentiostat, p: SweepOptions) -> tuple[bool, list[str]]:
    """Whether the host makes the sine, and what a person should know. Raises `Unsupported`, `InvalidValue`."""
    able = potentiostat.capabilities.techniques
    by_host = p.mode == "host" or (p.mode == "auto" and Impedance.name not in able)
    feasibility.require_technique(potentiostat, OpenCircuit.name)
    if not by_host:
        feasibility.require_technique(potentiostat, Impedance.name)
        return False, []
    needed = CurrentSequence.name if p.control == "current" else VoltageSequence.name
    if needed not in able:
        raise Unsupported(
            f"this instrument can make no impedance: neither by itself nor by a {needed}; it can do: "
            f"{', '.join(sorted(able))}",
            device=potentiostat.name,
        )
    feasibility.require_interval(potentiostat, _shortest_s(potentiostat, p))
    highest = highest_hz(_shortest_s(potentiostat, p))
    if p.frequency_min_hz > highest * (1 + 1e-9):
        raise InvalidValue(
            f"frequency_min_hz is {p.frequency_min_hz:g} Hz; {potentiostat.name} can be made to give up to "
            f"{highest:.4g} Hz ({FEWEST_STEPS} set points a period, {_shortest_s(potentiostat, p):g} s each)",
            hint="Ask for lower frequencies, for a shorter step_s, or use an instrument with a generator.",
        )
    notes = []
    if p.frequency_max_hz > highest * (1 + 1e-9):
        notes.append(
            f"frequencies above {highest:.4g} Hz are left out: {FEWEST_STEPS} set points a period, "
            f"{_shortest_s(potentiostat, p):g} s each, are what {potentiostat.name} can be made to give"
        )
    if p.control == "voltage":
        notes.append("voltage steps charge a bare capacitance before anything is read: the lead's is not seen")
    return True, notes


def _shortest_s(potentiostat: Potentiostat, p: SweepOptions) -> float:
    return max(p.step_s, potentiostat.capabilities.interval_min_s)


def _sweep(
    potentiostat: Potentiostat,
    reporter: Reporter,
    p: SweepOptions,
    by_host: bool,
    area_m2: float | None,
    notes: list[str],
) -> Sweep:
    if by_host:
        return HostSweep(potentiostat, reporter, p, area_m2, 0.1, 0.8, notes=notes)
    return DeviceSweep(potentiostat, reporter, 0.1, 0.8)


def _forget(sweep: Sweep, spectrum: Spectrum) -> None:
    """The next point is at the first frequency again: its current is that of the first."""
    if isinstance(sweep, HostSweep) and np.isfinite(spectrum.z_ohm[0]):
        sweep.impedance_ohm = abs(complex(spectrum.z_ohm[0]))


async def _rest(potentiostat: Potentiostat, reporter: Reporter, p: SweepOptions, step: str) -> float:
    reporter.now(step, None)
    return await open_circuit_v(potentiostat, p.ocv_s)


async def _asked(context: Context, potentiostat: Potentiostat, text: str, yes: str) -> None:
    """Source off while somebody's hands are there. Raises `Refused` if it is not done."""
    await potentiostat.cell_off()
    if (await context.ask(Question(text, choices=(yes, _STOP)))).choice != yes:
        raise Refused("stopped by the operator; nothing is driven", device=potentiostat.name)


async def _measure_lead(
    context: Context,
    potentiostat: Potentiostat,
    p: SweepOptions,
    reporter: Reporter,
    by_host: bool,
    notes: list[str],
) -> tuple[OpenLead, Spectrum, Sweep]:
    """About the voltage that the lead has, so that a cell that is there against what was said is not shorted. Raises
    `Refused` if something is at its end."""
    bias_v = await _rest(potentiostat, reporter, p, "voltage of the open lead")
    sweep = _sweep(potentiostat, reporter, p, by_host, None, notes)
    frequency = frequencies_of(p, highest_hz(_shortest_s(potentiostat, p)) if by_host else math.inf)
    spectrum = await sweep.measure(frequency, p.amplitude_v, bias_v, "open lead")
    good = spectrum.only(spectrum.usable)
    phase = np.degrees(np.angle(good.z_ohm)) if len(good) else np.array([0.0])
    if not len(good) or float(np.median(phase)) > _OPEN_DEG:
        raise Refused(
            f"the lead is not open: its phase is {float(np.median(phase)):.0f} degrees in the middle, and a bare "
            "capacitance has -90",
            device=potentiostat.name,
            hint="Lift the tip from the pad and start again.",
        )
    return open_lead_of(good.frequency_hz, good.z_ohm), good, sweep


def _lead_fields(lead: OpenLead, spectrum: Spectrum, sweep: Sweep, route: str) -> dict[str, Any]:
    return {
        "route": route,
        "capacitance_f": lead.capacitance_f,
        "conductance_s": lead.conductance_s,
        "error": lead.error,
        "frequency_hz": spectrum.frequency_hz,
        "z_real_ohm": spectrum.z_ohm.real,
        "z_imag_ohm": spectrum.z_ohm.imag,
        "how": sweep.how,
    }


def _conditions(
    potentiostat: Potentiostat, p: SweepOptions, by_host: bool, sweep: Sweep, began_ns: int
) -> dict[str, Any]:
    return {
        "mode": "host" if by_host else "device",
        "control": p.control if by_host else "voltage",
        "amplitude_v": p.amplitude_v,
        "route": p.route,
        "points_per_decade": p.points_per_decade,
        "step_s": _shortest_s(potentiostat, p) if by_host else None,
        "duration_s": (potentiostat.clock.time_ns() - began_ns) / 1e9,
        "start_time_ns": began_ns,
        "instrument": instrument(potentiostat),
    }
