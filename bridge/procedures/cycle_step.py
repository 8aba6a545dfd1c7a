"""One galvanostatic step: run it, count its charge as it goes, and see where its limit was crossed."""

from __future__ import annotations

import math
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.analysis.capacity import Charge, ChargeCounter, Crossing, Overshoot, ah, find_crossing, overshoot
from drivers.interfaces import Potentiostat
from drivers.samples import EndReason, Flag, SampleBlock
from drivers.techniques import Galvanostatic
from drivers.uninterrupted import to_the_end

from .common import Reporter, range_label
from .cycle_parameters import Cycle

#: Samples kept from the end of a step, for the crossing of its limit and the slope there.
_TAIL = 10


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did. `passed_c` is the charge until the last sample, unsigned; `interpolated_c` until the limit.

    `stray_c` of it went into the lead's capacitance and not into the cell: C times the change of voltage.
    """

    cycle: int
    kind: str
    end: EndReason
    start_time_ns: int
    duration_s: float
    interpolated_s: float | None
    charge: Charge
    passed_c: float
    interpolated_c: float | None
    voltage_start_v: float
    voltage_end_v: float
    voltage_lowest_v: float
    voltage_highest_v: float
    overshoot: Overshoot | None
    late_charge_c: float
    stray_c: float
    samples: int
    compliance: int
    range: str | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "end": self.end.value,
            "start_time_ns": self.start_time_ns,
            "duration_s": self.duration_s,
            "duration_interpolated_s": self.interpolated_s,
            "charge_ah": ah(self.passed_c),
            "charge_interpolated_ah": None if self.interpolated_c is None else ah(self.interpolated_c),
            "charge_into_cell_ah": ah(self.passed_c - self.stray_c),
            "charge_wrong_way_ah": ah(self._wrong_way_c),
            "charge_after_last_sample_at_most_ah": ah(self.late_charge_c),
            "gap_charge_ah": ah(self.charge.gap_c),
            "gaps": [[gap.from_s, gap.to_s] for gap in self.charge.gaps],
            "voltage_start_v": self.voltage_start_v,
            "voltage_end_v": self.voltage_end_v,
            "voltage_min_v": self.voltage_lowest_v,
            "voltage_max_v": self.voltage_highest_v,
            "overshoot": None
            if self.overshoot is None
            else {
                "slope_v_per_s": self.overshoot.slope_v_per_s,
                "worst_v": self.overshoot.worst_v,
                "observed_v": self.overshoot.observed_v,
            },
            "samples": self.samples,
            "compliance_samples": self.compliance,
        }

    @property
    def _wrong_way_c(self) -> float:
        return self.charge.discharge_c if self.kind == "charge" else self.charge.charge_c


async def run_step(
    potentiostat: Potentiostat,
    p: Cycle,
    reporter: Reporter,
    cycle: int,
    kind: str,
    fraction: float,
    share: float,
) -> Step:
    """Charge or discharge until a limit. `fraction` of the run is done before it, and it is `share` of the run."""
    charging = kind == "charge"
    technique = Galvanostatic(
        current_a=p.current if charging else -p.current,
        duration_s=p.time_limit_s,
        interval_s=p.interval_s,
        voltage_min_v=p.voltage_min_v,
        voltage_max_v=p.voltage_max_v,
        charge_limit_c=p.charge_limit_c,
    )
    watch = _Watch(p, charging)
    reporter.now(kind, fraction, cycle=cycle)
    async with aclosing(potentiostat.run(technique)) as run:
        async for block in run:
            watch.add(block)
            reporter.maybe(kind, fraction + share * watch.fraction, cycle=cycle, **watch.values())
    await to_the_end(potentiostat.cell_off())
    reporter.now(kind, fraction + share, cycle=cycle, **watch.values())
    return watch.step(cycle, kind)


class _Watch:
    """Takes a step's blocks as they come; keeps sums and the last samples, never the whole step."""

    def __init__(self, p: Cycle, charging: bool) -> None:
        self._p = p
        self._charging = charging
        self._counter = ChargeCounter(p.interval_s, start_s=0.0)
        self._tail = (np.empty(0), np.empty(0), np.empty(0))
        self._first_v = math.nan
        self._lowest_v, self._highest_v = math.inf, -math.inf
        self._last_v = math.nan
        self._last_s = 0.0
        self._samples = 0
        self._compliance = 0
        self._start_ns = 0
        self._end = EndReason.FINISHED
        self._range: str | None = None

    def add(self, block: SampleBlock) -> None:
        if block.end is not None:
            self._end = block.end
        self._range = range_label(block.attributes) or self._range
        if not len(block):
            return
        time, voltage, current = block["time_s"], block["voltage_v"], block["current_a"]
        if not self._samples:
            self._start_ns = block.start_time_ns
        self._counter.add(time, current)
        joined = zip(self._tail, (time, voltage, current), strict=True)
        self._tail = tuple(np.concatenate(pair)[-_TAIL:] for pair in joined)  # type: ignore[assignment]  # three stay three
        known = voltage[np.isfinite(voltage)]
        if len(known):
            if math.isnan(self._first_v):
                self._first_v = float(known[0])
            self._last_v = float(known[-1])
            self._lowest_v = min(self._lowest_v, float(known.min()))
            self._highest_v = max(self._highest_v, float(known.max()))
        self._last_s = float(time[-1])
        self._samples += len(block)
        self._compliance += int(np.count_nonzero(block["flags"] & Flag.COMPLIANCE))

    @property
    def _passed_c(self) -> float:
        charge = self._counter.charge
        return charge.charge_c if self._charging else charge.discharge_c

    @property
    def fraction(self) -> float:
        """How far the step is by whichever of its limits is nearest: an estimate."""
        target = self._p.voltage_max_v if self._charging else self._p.voltage_min_v
        way = target - self._first_v
        shares = [self._last_s / self._p.time_limit_s]
        if way and math.isfinite(way):
            shares.append((self._last_v - self._first_v) / way)
        if self._p.charge_limit_c:
            shares.append(self._passed_c / self._p.charge_limit_c)
        return min(max(0.0, *shares), 1.0)

    def values(self) -> dict[str, Any]:
        """What is worth showing while it runs. No NaN: this goes out as JSON."""
        passed = ah(self._passed_c)
        shown = {
            "elapsed_s": self._last_s,
            "voltage_v": self._last_v,
            "charge_ah": passed,
            "charge_ah_per_m2": self._p.per_area(passed),
        }
        return {name: value for name, value in shown.items() if value is not None and math.isfinite(value)}

    def step(self, cycle: int, kind: str) -> Step:
        p = self._p
        time, voltage, current = self._tail
        limit = p.voltage_max_v if self._charging else p.voltage_min_v
        at_limit = self._end in (EndReason.VOLTAGE_MAX, EndReason.VOLTAGE_MIN)
        crossing = find_crossing(time, voltage, limit, rising=self._charging) if at_limit else None
        late = abs(p.current) * (p.interval_s + p.latency_s)
        interpolated_s, interpolated_c = self._until_limit(crossing, time, current)
        return Step(
            cycle=cycle,
            kind=kind,
            end=self._end,
            start_time_ns=self._start_ns,
            duration_s=self._last_s,
            interpolated_s=interpolated_s,
            charge=self._counter.charge,
            passed_c=self._passed_c,
            interpolated_c=interpolated_c,
            voltage_start_v=self._first_v,
            voltage_end_v=self._last_v,
            voltage_lowest_v=self._lowest_v,
            voltage_highest_v=self._highest_v,
            overshoot=overshoot(
                time, voltage, limit, rising=self._charging, period_s=p.interval_s, latency_s=p.latency_s
            ),
            late_charge_c=late,
            stray_c=p.stray_f * abs(self._last_v - self._first_v) if p.stray_f else 0.0,
            samples=self._samples,
            compliance=self._compliance,
            range=self._range,
        )

    def _until_limit(
        self, crossing: Crossing | None, time: np.ndarray[Any, Any], current: np.ndarray[Any, Any]
    ) -> tuple[float | None, float | None]:
        """Device time and charge at the instant when the limit was crossed, between two samples."""
        passed, last = self._passed_c, abs(float(current[-1])) if len(current) else math.nan
        if crossing is not None:
            return crossing.time_s, passed - last * (self._last_s - crossing.time_s)
        limit = self._p.charge_limit_c
        if self._end is EndReason.CAPACITY and limit is not None and last > 0:
            return self._last_s - (passed - limit) / last, limit
        return None, None
