"""What one technique of a step did: its charge and energy counted as the blocks come, its edges, its contact gaps."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bridge.analysis.capacity import ChargeCounter, Overshoot, find_crossing, overshoot
from bridge.analysis.differential import voltage_noise
from bridge.analysis.health.contact import ContactDetector, ContactGap
from bridge.analysis.health.detector import STRAY_F, Samples, Situation
from bridge.analysis.statistics import Floats
from drivers.samples import EndReason, Flag, SampleBlock
from drivers.techniques import Galvanostatic, Potentiostatic

from .common import range_label

#: Samples kept from the end of a technique, for the crossing of its limit and the slope there.
_TAIL = 10
#: Samples kept from its beginning, for the resistance.
_HEAD = 200
#: Samples kept of its whole course, for dQ/dV: when there are twice as many, every second one goes.
_COURSE = 1500

CONTACT_LOST = "contact_lost"
#: A charge over more than this way, with less charge than so many leads take, has met no cell: the smallest cell of the
#: field (1 um2) takes twenty times as much.
_WAY_V, _LEADS = 0.5, 3.0


@dataclass(slots=True)
class Segment:
    """One technique's part in a step, as JSON values: what a resumed run needs of it, and what the result is made of.

    Charges are unsigned by direction; `open_c` and `returned_c` are signed. `closed_change_v` is the change of voltage
    while the contact was closed at both ends, `closed_end_v` the voltage at the end of that.
    """

    technique: str
    end: str
    start_time_ns: int
    duration_s: float
    charge_c: float
    discharge_c: float
    gap_c: float
    gaps: list[list[float]]
    energy_in_j: float
    energy_out_j: float
    voltage_start_v: float | None
    voltage_end_v: float | None
    current_end_a: float | None
    voltage_lowest_v: float | None
    voltage_highest_v: float | None
    closed_change_v: float
    contact_gaps: list[dict[str, Any]]
    late_c: float
    interpolated_s: float | None
    interpolated_c: float | None
    overshoot: dict[str, float] | None
    noise_v: float
    samples: int
    compliance: int
    range: str | None
    set_a: float | None
    #: time and voltage since the technique began; time, charge (unsigned) and voltage over its whole course, thinned
    head: list[list[float]] = field(default_factory=list)
    course: list[list[float]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def found_gaps(self) -> list[ContactGap]:
        return [ContactGap(**gap) for gap in self.contact_gaps]


class Watch:
    """Takes the blocks of one technique; keeps sums, the first and last samples and a thinned course, never all."""

    def __init__(
        self,
        technique: Galvanostatic | Potentiostatic,
        *,
        charging: bool,
        stray_f: float,
        area_m2: float | None,
        latency_s: float,
    ) -> None:
        self._technique = technique
        self._charging = charging
        self._latency_s = latency_s
        self._counter = ChargeCounter(technique.interval_s, start_s=0.0)
        self._energy = ChargeCounter(technique.interval_s, start_s=0.0)
        self._situation = Situation(technique=technique, stray_f=stray_f or STRAY_F, area_m2=area_m2)
        #: an emptied cell is as steep as an open lead whose capacitance nobody knows
        self._judged = charging or stray_f > 0
        self._contact = ContactDetector()
        self._contact.begin(self._situation)
        self._lost = ""
        empty = np.empty(0)
        self._tail = (empty, empty, empty)
        self._head: list[list[float]] = []
        self._course: list[tuple[float, float, float]] = []
        self._every, self._index = 1, 0
        self._first_v, self._last_v = math.nan, math.nan
        self._lowest_v, self._highest_v = math.inf, -math.inf
        self.last_s = 0.0
        self._last_a = math.nan
        self._samples = self._compliance = 0
        self._start_ns = 0
        self.end = EndReason.FINISHED
        self.ended = False
        self._range: str | None = None

    def add(self, block: SampleBlock) -> None:
        if block.end is not None:
            self.end, self.ended = block.end, True
        self._range = range_label(block.attributes) or self._range
        if not len(block):
            return
        time, voltage, current = block["time_s"], block["voltage_v"], block["current_a"]
        if not self._samples:
            self._start_ns = block.start_time_ns
        self._counter.add(time, current)
        self._energy.add(time, voltage * current)
        findings = self._contact.add(Samples(time, voltage, current, block["flags"]), self._situation)
        for finding in findings:
            if finding.kind == CONTACT_LOST:
                self._lost = finding.text
        self._keep(time, voltage, current)
        self._samples += len(block)
        self._compliance += int(np.count_nonzero(block["flags"] & Flag.COMPLIANCE))

    def _keep(self, time: Floats, voltage: Floats, current: Floats) -> None:
        joined = zip(self._tail, (time, voltage, current), strict=True)
        self._tail = tuple(np.concatenate(pair)[-_TAIL:] for pair in joined)  # type: ignore[assignment]  # three stay three
        known = np.isfinite(voltage)
        if known.any():
            values = voltage[known]
            if math.isnan(self._first_v):
                self._first_v = float(values[0])
            self._last_v = float(values[-1])
            self._lowest_v = min(self._lowest_v, float(values.min()))
            self._highest_v = max(self._highest_v, float(values.max()))
            if len(self._head) < _HEAD:
                pairs = np.column_stack((time[known], values))[: _HEAD - len(self._head)]
                self._head += [[float(t), float(v)] for t, v in pairs]
            passed = self.passed_c
            span, rate = float(time[-1]), abs(float(np.nanmean(current))) if np.isfinite(current).any() else 0.0
            for t, v in zip(time[known].tolist(), values.tolist(), strict=True):
                if self._index % self._every == 0:
                    self._course.append((t, passed - rate * (span - t), v))
                self._index += 1
            if len(self._course) >= 2 * _COURSE:
                self._course = self._course[::2]
                self._every *= 2
        if np.isfinite(current[-1]):
            self._last_a = float(current[-1])
        self.last_s = float(time[-1])

    @property
    def passed_c(self) -> float:
        charge = self._counter.charge
        return charge.charge_c if self._charging else charge.discharge_c

    @property
    def last_v(self) -> float:
        return self._last_v

    @property
    def first_v(self) -> float:
        return self._first_v

    def finish(self) -> Segment:
        """What it did; its end is `contact_lost` where a lost contact is what brought the limit."""
        for finding in self._contact.finish(self.end if self.ended else None, self._situation):
            if finding.kind == CONTACT_LOST:
                self._lost = finding.text
        return self.so_far()

    def _only_the_lead(self) -> bool:
        """A charge that was over with no more charge than the lead's own capacitance takes never had a cell."""
        if not (self._charging and self.end is EndReason.VOLTAGE_MAX and isinstance(self._technique, Galvanostatic)):
            return False
        way_v = self._last_v - self._first_v
        return way_v > _WAY_V and self.passed_c < _LEADS * self._situation.stray_f * way_v

    def so_far(self) -> Segment:
        """What it has done until now."""
        technique, charge = self._technique, self._counter.charge
        gaps = [gap for gap in self._contact.gaps if gap.closed or self._judged]
        never_closed = next((gap for gap in gaps if not gap.closed), None)
        end = self.end.value
        by_limit = (EndReason.VOLTAGE_MAX, EndReason.VOLTAGE_MIN, EndReason.DURATION, EndReason.CAPACITY)
        if (
            self._judged
            and self._lost
            and (self.end is EndReason.TAPER or (never_closed is not None and self.end in by_limit))
        ):
            end = CONTACT_LOST
        if self._only_the_lead():
            end = CONTACT_LOST
        closed_v = self._last_v
        if never_closed is not None and isinstance(technique, Galvanostatic):
            closed_v -= math.copysign(never_closed.excess_v, technique.current_a)
        beyond = self._overshoot()
        until_s, until_c = (None, None) if end == CONTACT_LOST else self._until_limit()
        rate = abs(technique.current_a) if isinstance(technique, Galvanostatic) else abs(self._last_a)
        known = self._samples > 0 and math.isfinite(self._first_v)
        return Segment(
            technique=technique.name,
            end=end,
            start_time_ns=self._start_ns,
            duration_s=self.last_s,
            charge_c=charge.charge_c,
            discharge_c=charge.discharge_c,
            gap_c=charge.gap_c,
            gaps=[[gap.from_s, gap.to_s] for gap in charge.gaps],
            energy_in_j=self._energy.charge.charge_c,
            energy_out_j=self._energy.charge.discharge_c,
            voltage_start_v=self._first_v if known else None,
            voltage_end_v=self._last_v if known else None,
            current_end_a=self._last_a if math.isfinite(self._last_a) else None,
            voltage_lowest_v=self._lowest_v if known else None,
            voltage_highest_v=self._highest_v if known else None,
            closed_change_v=closed_v - self._first_v if known else 0.0,
            contact_gaps=[asdict(gap) for gap in gaps],
            late_c=rate * (technique.interval_s + self._latency_s) if math.isfinite(rate) else 0.0,
            interpolated_s=until_s,
            interpolated_c=until_c,
            overshoot=None
            if beyond is None
            else {"slope_v_per_s": beyond.slope_v_per_s, "worst_v": beyond.worst_v, "observed_v": beyond.observed_v},
            noise_v=voltage_noise(np.array([v for _, v in self._head])),
            samples=self._samples,
            compliance=self._compliance,
            range=self._range,
            set_a=technique.current_a if isinstance(technique, Galvanostatic) else None,
            head=self._head,
            course=[list(point) for point in self._course],
        )

    def _limit_v(self) -> float | None:
        if not isinstance(self._technique, Galvanostatic):
            return None
        return self._technique.voltage_max_v if self._charging else self._technique.voltage_min_v

    def _overshoot(self) -> Overshoot | None:
        limit, (time, voltage, _) = self._limit_v(), self._tail
        if limit is None:
            return None
        period = self._technique.interval_s
        return overshoot(time, voltage, limit, rising=self._charging, period_s=period, latency_s=self._latency_s)

    def _until_limit(self) -> tuple[float | None, float | None]:
        """Device time and charge at the instant when the limit was crossed, between two samples."""
        time, voltage, current = self._tail
        passed, last = self.passed_c, abs(float(current[-1])) if len(current) else math.nan
        limit_v = self._limit_v()
        if limit_v is not None and self.end in (EndReason.VOLTAGE_MAX, EndReason.VOLTAGE_MIN):
            crossing = find_crossing(time, voltage, limit_v, rising=self._charging)
            crossed_s = crossing.time_s if crossing else _carried_on(time, voltage, limit_v)
            if crossed_s is None:
                return None, None
            before = abs(float(current[-2])) if len(current) > 1 else last
            return crossed_s, passed - (last + before) / 2 * (self.last_s - crossed_s)
        limit_c = self._technique.charge_limit_c
        if self.end is EndReason.CAPACITY and limit_c is not None and last > 0:
            return self.last_s - (passed - limit_c) / last, limit_c
        return None, None


def _carried_on(time: Floats, voltage: Floats, limit_v: float) -> float | None:
    """When the line through the two samples before the last one comes to the limit, no later than the last one: a
    source that holds the limit by itself never shows a sample beyond it."""
    if len(time) < 3 or time[-2] <= time[-3]:
        return None
    slope = float(voltage[-2] - voltage[-3]) / float(time[-2] - time[-3])
    way = limit_v - float(voltage[-2])
    if not slope or way / slope < 0:
        return None
    return min(float(time[-2]) + way / slope, float(time[-1]))
