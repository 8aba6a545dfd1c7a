"""The low-current noise test: a constant current through a route, judged by `bridge.analysis.noise`."""

from __future__ import annotations

import math
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any

from bridge.analysis.formatting import si
from bridge.analysis.noise import Criterion, NoiseSpec, Verdict, assess_noise
from bridge.analysis.noise_advice import Burst, advise
from bridge.analysis.plain import lines_to_list, noise_to_dict
from bridge.analysis.spectrum import spectrum
from drivers.errors import InvalidValue
from drivers.interfaces import Options, Potentiostat, option
from drivers.samples import EndReason, SampleBlock
from drivers.techniques import Galvanostatic

from . import feasibility
from .common import (
    Reporter,
    check_route,
    choose,
    instrument,
    not_negative,
    positive,
    potentiostat_of,
    range_label,
    select_route,
    source_off_afterwards,
)
from .context import Context
from .description import POTENTIOSTAT_AND_ROUTES, Procedure
from .noise_preliminary import Preliminary

#: The voltage at which a cell of this field spends its time: what an instrument's input would take there is told.
_CELL_V = 3.6

#: 1000 samples a second show the mains and its harmonics up to 180 Hz (domain note 2.2).
_FASTEST_S = 1e-3

#: The default tolerance, as a share of the current.
_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseTest(Options):
    """Parameters. The current is the one that cycling will use."""

    current_a: float = option(1e-12, unit="A", help="set current; the one that cycling will use; may be zero")
    tolerance_a: float | None = option(None, unit="A", help="allowed deviation; 10 % of the current unless given")
    duration_s: float = option(300.0, unit="s", help="time that is judged, after settling")
    settle_s: float = option(60.0, unit="s", help="time that is discarded at the start")
    averaging_s: float = option(1.0, unit="s", help="length of the averages that are judged")
    interval_s: float = option(0.1, unit="s", help="sampling interval; 0.1 s is whole cycles of 50 Hz and of 60 Hz")
    criterion: str = option("bounded", help="seed, bounded or strict")
    route: str = option("", help="route of the feedthrough to select first; none unless given")
    mains_hz: float = option(50.0, unit="Hz", help="frequency of the local mains")
    voltage_limit_v: float = option(1.0, unit="V", help="the loop counts as open when its voltage gets here")
    cell_voltage_v: float = option(0.0, unit="V", help="voltage of a cell in the loop; 0 V for a closed loop")
    burst: str = option(
        "fail", help="when to add a short, fast record that shows the mains", choices=("fail", "always", "never")
    )
    burst_s: float = option(10.0, unit="s", help="length of that record", above=0)

    def __post_init__(self) -> None:
        choose("criterion", self.criterion, tuple(Criterion))
        choose("burst", self.burst, ("fail", "always", "never"))
        positive(
            tolerance_a=self.tolerance_a,
            duration_s=self.duration_s,
            averaging_s=self.averaging_s,
            interval_s=self.interval_s,
            burst_s=self.burst_s,
            mains_hz=self.mains_hz,
            voltage_limit_v=self.voltage_limit_v,
        )
        not_negative(settle_s=self.settle_s)
        if self.current_a == 0 and self.tolerance_a is None:
            raise InvalidValue("tolerance_a is not given; at a current of zero there is nothing to take 10 % of")
        if self.averaging_s < self.interval_s:
            raise InvalidValue(
                f"averaging_s is {self.averaging_s:g} s, shorter than interval_s, {self.interval_s:g} s; "
                f"at least {self.interval_s:g} s is accepted"
            )
        if abs(self.cell_voltage_v) >= self.voltage_limit_v and self.cell_voltage_v:
            raise InvalidValue(
                f"voltage_limit_v is {self.voltage_limit_v:g} V, within cell_voltage_v, {self.cell_voltage_v:g} V; "
                "a limit beyond the cell's voltage is accepted"
            )

    @property
    def tolerance(self) -> float:
        return abs(self.current_a) * _TOLERANCE if self.tolerance_a is None else self.tolerance_a

    def spec(self, integration_s: float | None) -> NoiseSpec:
        return NoiseSpec(
            current_a=self.current_a,
            tolerance_a=self.tolerance,
            duration_s=self.duration_s,
            settle_s=self.settle_s,
            averaging_s=self.averaging_s,
            criterion=Criterion(self.criterion),
            integration_s=integration_s,
        )

    def technique(self, duration_s: float, interval_s: float) -> Galvanostatic:
        return Galvanostatic(
            current_a=self.current_a,
            duration_s=duration_s,
            interval_s=interval_s,
            voltage_min_v=-self.voltage_limit_v,
            voltage_max_v=self.voltage_limit_v,
        )


async def run(context: Context, parameters: NoiseTest) -> dict[str, Any]:
    """The verdict and all the statistics. Raises `Refused` before anything moves where the instrument cannot do it."""
    potentiostat = potentiostat_of(context)
    feedthrough = check_route(context, parameters.route)
    choice, notes = _check(potentiostat, parameters)
    reporter = Reporter(context)
    async with source_off_afterwards(context, potentiostat):
        await select_route(context, potentiostat, feedthrough, parameters.route)
        spec = parameters.spec(potentiostat.capabilities.integration_s)
        record = await _record(reporter, potentiostat, parameters, Preliminary(context, spec))
        result = assess_noise(
            record["time_s"],
            record["current_a"],
            record["flags"],
            spec,
            _ended(record, parameters),
        )
        burst = None
        wanted = parameters.burst == "always" or (parameters.burst == "fail" and result.verdict is Verdict.FAIL)
        if wanted and not _ended(record, parameters):
            burst = await _burst(reporter, potentiostat, parameters)
    advice = [] if result.passed else advise(result, burst)
    used = feasibility.range_used(potentiostat, range_label(record.attributes), parameters.current_a) or choice
    for text in notes:
        context.note(text)
    reporter.now("done", 1.0, verdict=result.verdict.value, mean_a=result.mean_a, std_a=result.std_a)
    return {
        "procedure": "noise-test",
        **noise_to_dict(result),
        "route": parameters.route,
        "mains_hz": parameters.mains_hz,
        "interval_s": parameters.interval_s,
        "voltage_limit_v": parameters.voltage_limit_v,
        "advice": [asdict(one) for one in advice],
        "burst": None if burst is None else _burst_to_dict(burst),
        "instrument": instrument(potentiostat),
        "range": used.range.label,
        "range_full_scale_a": used.range.full_scale_a,
        "instrument_error_a": used.error_a,
        "instrument_noise_a_rms": used.range.noise_a_rms,
        "samples": len(record),
        "start_time_ns": record.start_time_ns,
        "end": record.end.value if record.end else None,
        "notes": notes,
    }


def _check(potentiostat: Potentiostat, p: NoiseTest) -> tuple[feasibility.RangeChoice, list[str]]:
    """Refuse what cannot be done; the notes say what a person should know although it can."""
    feasibility.require_technique(potentiostat, Galvanostatic.name)
    feasibility.require_interval(potentiostat, p.interval_s)
    choice = feasibility.plan_current(potentiostat, p.current_a, p.tolerance, "a noise test at")
    feasibility.require_input(potentiostat, p.current_a, p.cell_voltage_v, p.tolerance)
    notes = []
    leak = feasibility.leak_a(potentiostat.capabilities, _CELL_V)
    if leak is not None and leak > p.tolerance:
        notes.append(
            f"in a cell at {_CELL_V:g} V the instrument's input would take {si(leak, 'A')}, more than the tolerance: "
            "this test can pass where cycling at this current cannot work"
        )
    cycles = p.interval_s * p.mains_hz
    if abs(cycles - round(cycles)) > 0.01:
        notes.append(
            f"a sample of {p.interval_s:g} s is {cycles:.3g} cycles of the {p.mains_hz:g} Hz mains, not a whole "
            "number: an integrating instrument does not reject the mains at this interval"
        )
    return choice, notes


async def _record(
    reporter: Reporter, potentiostat: Potentiostat, p: NoiseTest, preliminary: Preliminary
) -> SampleBlock:
    total = p.settle_s + p.duration_s
    blocks: list[SampleBlock] = []
    reporter.now("settling" if p.settle_s else "recording", 0.0)
    async with aclosing(potentiostat.run(p.technique(total, p.interval_s))) as run:
        async for block in run:
            blocks.append(block)
            if len(block):
                await preliminary.look(blocks)
                elapsed = float(block["time_s"][-1])
                reporter.maybe(
                    "settling" if elapsed < p.settle_s else "recording",
                    min(elapsed / total, 1.0),
                    elapsed_s=elapsed,
                    current_a=float(block["current_a"][-1]),
                    voltage_v=float(block["voltage_v"][-1]),
                )
    return SampleBlock.concatenate(blocks)


async def _burst(reporter: Reporter, potentiostat: Potentiostat, p: NoiseTest) -> Burst | None:
    """The same current, sampled as fast as the instrument can; None if it cannot be much faster than it was."""
    able = potentiostat.capabilities
    interval_s = max(able.interval_min_s, _FASTEST_S)
    if interval_s > p.interval_s / 2:
        return None
    reporter.now("burst", None, interval_s=interval_s)
    async with aclosing(potentiostat.run(p.technique(p.burst_s, interval_s))) as run:
        record = SampleBlock.concatenate([block async for block in run])
    integration_s = record.attributes.get("integration_s")
    overloaded = record.end is EndReason.OVERLOAD
    return Burst(spectrum(record["time_s"], record["current_a"]), integration_s, able.integration_s, overloaded)


def _burst_to_dict(burst: Burst) -> dict[str, Any]:
    return {
        "rate_hz": burst.spectrum.rate_hz if math.isfinite(burst.spectrum.rate_hz) else None,
        "lines": lines_to_list(burst.spectrum),
        "overloaded": burst.overloaded,
    }


def _ended(record: SampleBlock, p: NoiseTest) -> str:
    """Why the record ended before its time, where that is the path's fault."""
    at = f"after {record['time_s'][-1]:.4g} s" if len(record) else "at once"
    if record.end in (EndReason.VOLTAGE_MAX, EndReason.VOLTAGE_MIN):
        limit = si(p.voltage_limit_v, "V")
        return f"the voltage reached {limit} {at}: the loop is open, or far too resistive for {si(p.current_a, 'A')}"
    if record.end is EndReason.OVERLOAD:
        return f"the instrument was over range {at}"
    return ""


PROCEDURE = Procedure(
    name="noise-test",
    summary="constant current through a route: is it quiet and true enough for cycling at that current?",
    parameters=NoiseTest,
    roles=POTENTIOSTAT_AND_ROUTES,
    run=run,
    produces={
        "verdict": "pass, fail or inconclusive, by the criterion asked for",
        "mean_a": "mean current, with its confidence interval beside it",
        "std_a": "standard deviation of the averages",
        "advice": "if it does not pass: causes that the record shows, with evidence and what to do",
    },
)
