"""Independent checks of a current: open lead, known resistor, known capacitance, two set points.

Each uses voltage, time and a known part, because the galvanostat's own reading cannot see what leaks beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from typing import Any

from bridge.analysis.current_check import into_capacitor, open_lead, through_resistor, two_points, within
from bridge.analysis.formatting import percent, si, with_uncertainty
from drivers.errors import InvalidValue, Refused
from drivers.interfaces import Options, Potentiostat, option
from drivers.plain import to_plain
from drivers.samples import EndReason, SampleBlock
from drivers.techniques import Galvanostatic, OpenCircuit, Potentiostatic, Technique

from . import feasibility
from .common import Reporter, check_route, instrument, potentiostat_of, select_route, source_off_afterwards
from .context import Context, Question
from .description import POTENTIOSTAT_AND_ROUTES, Procedure

#: A lead that shows more than this with no current is not open: there is a cell on it, or charge.
_OPEN_V = 0.2

#: An open lead is proven by its small capacitance: this current (or the set one) has it at this voltage at once, while
#: what takes more than an open lead's capacitance, as a discharged cell, a short or a stuck relay, stays below.
_PROBE_A, _PROBE_V = 10e-12, 0.5
_LEAD_F = 1e-9

#: What a leak has to be for a nanobattery: above this it takes less than 0.4 pA at 4 V (domain note 2.5).
_GOOD_LEAD_OHM = 1e13

#: More than this is no leak any more; it also chooses the range that the leak is read on.
_LEAK_LIMIT_A = 1e-9

#: Seconds for the lead's own charge.
_CHARGING_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentCheck(Options):
    """Parameters. A check whose part is not given is left out; at least one must be."""

    current_a: float = option(1e-12, unit="A", above=0, help="set current; the one that cycling will use")
    tolerance: float = option(0.1, unit="1", above=0, at_most=1, help="allowed deviation, as a share of the current")
    resistance_ohm: float | None = option(None, unit="ohm", above=0, help="known resistor of the loop, such as 1 Gohm")
    resistor_route: str = option("", help="route that has the resistor in it; the present one unless given")
    capacitance_f: float | None = option(
        None, unit="F", above=0, help="known capacitance on the open lead, lead included, such as 100 pF"
    )
    leak_voltage_v: float = option(
        0.0, unit="V", at_least=0, help="voltage at which the open lead's leakage is looked for, such as 4 V; 0: not"
    )
    open_route: str = option("", help="route with nothing at its end; the present one unless given")
    lead_is_open: bool = option(False, help="say that nothing is on the lead; the operator is asked otherwise")
    duration_s: float = option(30.0, unit="s", above=0, help="time of each measurement, after settling")
    settle_s: float = option(10.0, unit="s", at_least=0, help="time that is discarded after each change")
    interval_s: float = option(0.1, unit="s", above=0, help="sampling interval")
    ramp_v: float = option(0.6, unit="V", above=0, help="how far the capacitance is charged at most")

    def __post_init__(self) -> None:
        if self.resistance_ohm is None and self.capacitance_f is None and not self.leak_voltage_v:
            raise InvalidValue(
                "nothing to check against: give resistance_ohm (with resistor_route), capacitance_f, or leak_voltage_v"
            )

    @property
    def needs_open_lead(self) -> bool:
        return self.capacitance_f is not None or self.leak_voltage_v > 0


async def run(context: Context, parameters: CurrentCheck) -> dict[str, Any]:
    """Each check with value, what it should be, and a verdict. Raises `Refused` where the lead is not open."""
    p = parameters
    potentiostat = potentiostat_of(context)
    resistor = check_route(context, p.resistor_route)
    lead = check_route(context, p.open_route)
    feasibility.require_technique(potentiostat, Galvanostatic.name)
    feasibility.require_interval(potentiostat, p.interval_s)
    feasibility.plan_current(potentiostat, p.current_a, p.tolerance * p.current_a, "a check at")
    if p.leak_voltage_v:
        feasibility.require_technique(potentiostat, Potentiostatic.name)
        feasibility.require_window(potentiostat, 0.0, p.leak_voltage_v)
    checking = _Checking(context, potentiostat, p)
    async with source_off_afterwards(context, potentiostat):
        if p.resistance_ohm is not None:
            await select_route(context, potentiostat, resistor, p.resistor_route)
            await checking.resistor(p.resistance_ohm)
        if p.needs_open_lead:
            await select_route(context, potentiostat, lead, p.open_route)
            await checking.require_open()
            if p.leak_voltage_v:
                await checking.leak()
            if p.capacitance_f is not None:
                await checking.capacitor(p.capacitance_f)
    return checking.result()


class _Checking:
    """The checks that were made so far."""

    def __init__(self, context: Context, potentiostat: Potentiostat, p: CurrentCheck) -> None:
        self._context = context
        self._potentiostat = potentiostat
        self._p = p
        self._reporter = Reporter(context)
        self._checks: list[dict[str, Any]] = []

    async def resistor(self, resistance_ohm: float) -> None:
        """+I and -I through a known resistor."""
        p = self._p
        limit = 2 * p.current_a * resistance_ohm + 0.1
        plus = through_resistor((await self._constant(p.current_a, limit, "resistor +"))["voltage_v"], resistance_ohm)
        minus = through_resistor((await self._constant(-p.current_a, limit, "resistor -"))["voltage_v"], resistance_ohm)
        both = two_points(plus, minus, p.current_a)
        tolerance_a = p.tolerance * p.current_a
        self._add(
            "known resistor",
            within(plus, p.current_a, tolerance_a),
            f"{with_uncertainty(plus.value, plus.half_width, 'A')} flows through {si(resistance_ohm, 'Ohm')}",
            "voltage over a known resistance; the voltmeter's own offset counts as current",
            {"current_a": plus.value, "half_width_a": plus.half_width, "wanted_a": p.current_a},
        )
        self._add(
            "two set points, resistor",
            max_verdict(within(both.offset_a, 0.0, tolerance_a), within(both.gain, 1.0, p.tolerance)),
            f"offset {with_uncertainty(both.offset_a.value, both.offset_a.half_width, 'A')}, "
            f"gain {both.gain.value:.4f} ± {both.gain.half_width:.4f}",
            "half the sum and half the difference of +I and -I through the resistor",
            asdict(both),
        )

    async def require_open(self) -> None:
        """Asked of the operator, and looked at with no current. Raises `Refused`."""
        if not self._p.lead_is_open:
            answer = await self._context.ask(
                Question(
                    "The lead must have nothing at its end now: lift the tip. The lead is going to be driven to "
                    f"{max(self._p.leak_voltage_v, self._p.ramp_v):g} V.",
                    choices=("it is open", "stop"),
                )
            )
            if answer.choice != "it is open":
                raise Refused("the lead is not open; nothing was driven", device=self._potentiostat.name)
        record = await self._record(OpenCircuit(duration_s=1.0, interval_s=self._p.interval_s), "look")
        seen = float(record["voltage_v"][-1]) if len(record) else math.nan
        if not abs(seen) <= _OPEN_V:
            raise Refused(
                f"the lead shows {si(seen, 'V')} with no current: a cell is on it, or it is charged",
                device=self._potentiostat.name,
                hint="Lift the tip, ground the lead for a moment, and start again. 0 V on a cell would short it.",
            )
        await self._require_small_capacitance(seen)

    async def _require_small_capacitance(self, seen_v: float) -> None:
        """No voltage proves nothing, a discharged cell shows none either: a little charge tells them apart."""
        p = self._p
        probe_a = max(_PROBE_A, p.current_a)
        largest_f = max(_LEAD_F, 2 * (p.capacitance_f or 0.0))
        limit_v = abs(seen_v) + _PROBE_V
        most_s = max(largest_f * (limit_v - seen_v) / probe_a, 10 * p.interval_s)
        up = Galvanostatic(
            current_a=probe_a,
            duration_s=most_s,
            interval_s=p.interval_s,
            voltage_min_v=-2 * limit_v,
            voltage_max_v=limit_v,
        )
        record = await self._record(up, "look for a cell")
        if record.end is EndReason.VOLTAGE_MAX:
            back = replace(up, current_a=-probe_a, voltage_min_v=seen_v, voltage_max_v=None)
            await self._record(back, "lead back")
            return
        reached = float(record["voltage_v"][-1]) if len(record) else math.nan
        raise Refused(
            f"{si(probe_a, 'A')} brings the lead to {si(reached, 'V')} only, an open lead would pass {si(limit_v, 'V')}"
            ": a discharged cell, a short, or a closed relay is on it; it was not driven to any voltage",
            device=self._potentiostat.name,
            hint="Lift the tip and look at the relays. Give capacitance_f if a capacitor is on the lead on purpose.",
        )

    async def leak(self) -> None:
        """The open lead at 0 V and at a voltage."""
        p = self._p
        zero = await self._constant_voltage(0.0, "open lead, 0 V")
        high = await self._constant_voltage(p.leak_voltage_v, f"open lead, {p.leak_voltage_v:g} V")
        discharge = Potentiostatic(voltage_v=0.0, duration_s=_CHARGING_S, interval_s=p.interval_s)
        await self._record(discharge, "lead back to 0 V")
        lead = open_lead(zero["current_a"], high["current_a"], p.leak_voltage_v)
        allowed = p.tolerance * p.current_a
        takes = p.leak_voltage_v / lead.resistance_at_least_ohm if lead.resistance_at_least_ohm else math.inf
        steady = math.isfinite(lead.leak_a.half_width)  # a current that only creeps has no mean
        offset = abs(lead.offset_a.value) + lead.offset_a.half_width
        verdict = ("pass" if max(offset, takes) <= allowed else "fail") if steady else "inconclusive"
        good = "" if lead.resistance_at_least_ohm >= _GOOD_LEAD_OHM else "; 1e13 Ohm and more is what one wants"
        self._add(
            "open lead",
            verdict,
            f"offset {with_uncertainty(lead.offset_a.value, lead.offset_a.half_width, 'A')}; at {p.leak_voltage_v:g} V "
            f"the lead takes less than {si(takes, 'A')}, its resistance is above "
            f"{si(lead.resistance_at_least_ohm, 'Ohm', 2)} (95 %){good}",
            "current at 0 V and at a voltage, potentiostatic, nothing on the lead",
            asdict(lead),
        )

    async def capacitor(self, capacitance_f: float) -> None:
        """+I and -I into a known capacitance."""
        p = self._p
        seconds = p.ramp_v * capacitance_f / p.current_a
        if seconds < 10 * p.interval_s:
            raise Refused(
                f"{si(p.current_a, 'A')} fills {si(capacitance_f, 'F')} to {p.ramp_v:g} V in {seconds:.3g} s: fewer "
                f"than ten samples of {p.interval_s:g} s",
                hint="Sample faster, or use a larger capacitance.",
            )
        found = []
        for sign, name in ((1, "ramp +"), (-1, "ramp -")):
            technique = Galvanostatic(
                current_a=sign * p.current_a,
                duration_s=min(p.duration_s, seconds),
                interval_s=p.interval_s,
                voltage_min_v=-2 * p.ramp_v,
                voltage_max_v=2 * p.ramp_v,
            )
            record = await self._record(technique, name)
            found.append(into_capacitor(record["time_s"], record["voltage_v"], capacitance_f))
        plus, minus = found
        both = two_points(plus, minus, p.current_a)
        tolerance_a = p.tolerance * p.current_a
        self._add(
            "known capacitance",
            within(plus, p.current_a, tolerance_a),
            f"{with_uncertainty(plus.value, plus.half_width, 'A')} flows into {si(capacitance_f, 'F')}: "
            f"{si(plus.value / capacitance_f, 'V/s')} of {si(p.current_a / capacitance_f, 'V/s')}",
            "slope of the voltage against device time, least squares; only volts, seconds and farads",
            {"current_a": plus.value, "half_width_a": plus.half_width, "wanted_a": p.current_a},
        )
        self._add(
            "two set points, capacitance",
            max_verdict(within(both.offset_a, 0.0, tolerance_a), within(both.gain, 1.0, p.tolerance)),
            f"offset {with_uncertainty(both.offset_a.value, both.offset_a.half_width, 'A')}, "
            f"gain {both.gain.value:.4f} ± {both.gain.half_width:.4f} ({percent(abs(both.gain.value - 1))} off)",
            "half the sum and half the difference of the ramps up and down",
            asdict(both),
        )

    def result(self) -> dict[str, Any]:
        verdict = max_verdict(*(str(check["verdict"]) for check in self._checks))
        bad = [f"{check['name']}: {check['text']}" for check in self._checks if check["verdict"] != "pass"]
        self._reporter.now("done", 1.0, verdict=verdict)
        fields = {
            "procedure": "current-check",
            "verdict": verdict,
            "reason": "; ".join(bad) or "; ".join(str(check["text"]) for check in self._checks),
            "set_current_a": self._p.current_a,
            "tolerance_a": self._p.tolerance * self._p.current_a,
            "checks": self._checks,
            "instrument": instrument(self._potentiostat),
        }
        plain: dict[str, Any] = to_plain(fields)
        return plain

    def _add(self, name: str, verdict: str, text: str, method: str, values: Mapping[str, Any]) -> None:
        self._checks.append({"name": name, "verdict": verdict, "text": text, "method": method, **values})

    async def _constant(self, current_a: float, limit_v: float, step: str) -> SampleBlock:
        p = self._p
        technique = Galvanostatic(
            current_a=current_a,
            duration_s=p.settle_s + p.duration_s,
            interval_s=p.interval_s,
            voltage_min_v=-limit_v,
            voltage_max_v=limit_v,
        )
        return await self._settled(technique, step)

    async def _constant_voltage(self, voltage_v: float, step: str) -> SampleBlock:
        """The lead is charged first, without a narrow limit: its charge is no leak."""
        p = self._p
        await self._record(Potentiostatic(voltage_v=voltage_v, duration_s=_CHARGING_S, interval_s=p.interval_s), step)
        technique = Potentiostatic(
            voltage_v=voltage_v,
            duration_s=p.settle_s + p.duration_s,
            interval_s=p.interval_s,
            current_limit_a=max(_LEAK_LIMIT_A, 10 * p.current_a),
        )
        return await self._settled(technique, step)

    async def _settled(self, technique: Technique, step: str) -> SampleBlock:
        """The record after settling. Raises `Refused` if it ended before there was one."""
        record = await self._record(technique, step)
        keep = record["time_s"] > self._p.settle_s
        if keep.sum() < 2:
            raise Refused(
                f"{step}: the record ended ({record.end}) before it had settled: the loop is open, or the part is not "
                "what was said",
                device=self._potentiostat.name,
            )
        data = {column.name: record[column.name][keep] for column in record.columns}
        return SampleBlock.of(record.columns, data, start_time_ns=record.start_time_ns, end=record.end)

    async def _record(self, technique: Technique, step: str) -> SampleBlock:
        self._reporter.now(step, None)
        async with aclosing(self._potentiostat.run(technique)) as run:
            return SampleBlock.concatenate([block async for block in run])


def max_verdict(*verdicts: str) -> str:
    """The worst of them."""
    return next((v for v in ("fail", "inconclusive") if v in verdicts), "pass")


PROCEDURE = Procedure(
    name="current-check",
    summary="is a picoampere one? open lead, known resistor, known capacitance, two set points",
    parameters=CurrentCheck,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=run,
    produces={
        "verdict": "the worst of the checks: pass, fail or inconclusive",
        "checks": "each check with its value, its interval, how it was obtained and its verdict",
    },
)
