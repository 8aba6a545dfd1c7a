"""What a step has done so far: kept over pauses, handovers and a resume, and what it becomes when it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bridge.analysis.capacity import Charge, Overshoot, ah

from .language import Then

_JOULE_PER_WH = 3600.0


@dataclass(slots=True)
class StepState:
    """Sums over the techniques of a step that have ended. `phase` is which kind of technique is next (cc, cv, open).

    Charges in coulombs and energies in joules, unsigned; `time_s` is time under the step's techniques, without pauses.
    """

    phase: str = ""
    time_s: float = 0.0
    charge_c: float = 0.0
    discharge_c: float = 0.0
    energy_in_j: float = 0.0
    energy_out_j: float = 0.0
    gap_c: float = 0.0
    gaps: list[list[float]] = field(default_factory=list)
    samples: int = 0
    compliance: int = 0
    start_time_ns: int = 0
    voltage_start_v: float | None = None
    voltage_end_v: float | None = None
    voltage_min_v: float | None = None
    voltage_max_v: float | None = None
    current_end_a: float | None = None
    current_max_a: float = 0.0
    handovers: list[dict[str, Any]] = field(default_factory=list)
    pauses: int = 0
    range: str | None = None

    @property
    def net_c(self) -> float:
        return self.charge_c - self.discharge_c

    def add_sums(self, time_s: float, charge: Charge, energy: Charge) -> None:
        """A technique has ended after `time_s`. `energy` is the same integral of the power."""
        self.gaps += [[self.time_s + gap.from_s, self.time_s + gap.to_s] for gap in charge.gaps]
        self.time_s += time_s
        self.charge_c += charge.charge_c
        self.discharge_c += charge.discharge_c
        self.gap_c += charge.gap_c
        self.energy_in_j += energy.charge_c
        self.energy_out_j += energy.discharge_c

    def see_voltage(self, first: float, last: float, lowest: float, highest: float) -> None:
        if self.voltage_start_v is None:
            self.voltage_start_v = first
        self.voltage_end_v = last
        self.voltage_min_v = lowest if self.voltage_min_v is None else min(self.voltage_min_v, lowest)
        self.voltage_max_v = highest if self.voltage_max_v is None else max(self.voltage_max_v, highest)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> StepState:
        return StepState(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """A step that has ended: by `end` (a condition as it is written, or what else ended it), going on at `then`.

    `duration_s` is until the last sample, `crossing_s` the instant between two samples at which the limit was crossed,
    `crossing_c` the charge passed until then. `stopped` if somebody stopped the source meanwhile. `measured` holds what
    only some kinds have.
    """

    name: str
    kind: str
    cycle: int
    end: str
    then: Then
    state: StepState
    crossing_s: float | None = None
    crossing_c: float | None = None
    overshoot: Overshoot | None = None
    late_c: float = 0.0
    stray_c: float = 0.0
    slope: tuple[float, float] | None = None
    stopped: bool = False
    measured: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        s = self.state
        into_cell = s.net_c - self.stray_c
        return {
            "name": self.name,
            "kind": self.kind,
            "cycle": self.cycle,
            "end": self.end,
            "then": self.then.text,
            "start_time_ns": s.start_time_ns,
            "duration_s": s.time_s,
            "duration_interpolated_s": self.crossing_s,
            "charge_ah": ah(s.charge_c),
            "discharge_ah": ah(s.discharge_c),
            "capacity_ah": ah(abs(s.net_c)),
            "capacity_interpolated_ah": None if self.crossing_c is None else ah(self.crossing_c),
            "capacity_into_cell_ah": ah(abs(into_cell)),
            "charge_after_last_sample_at_most_ah": ah(self.late_c),
            "energy_in_wh": s.energy_in_j / _JOULE_PER_WH,
            "energy_out_wh": s.energy_out_j / _JOULE_PER_WH,
            "voltage_start_v": s.voltage_start_v,
            "voltage_end_v": s.voltage_end_v,
            "voltage_min_v": s.voltage_min_v,
            "voltage_max_v": s.voltage_max_v,
            "current_end_a": s.current_end_a,
            "current_max_a": s.current_max_a,
            "dv_dt_v_per_s": None if self.slope is None else self.slope[0],
            "dv_dt_uncertainty_v_per_s": None if self.slope is None else self.slope[1],
            "overshoot": None
            if self.overshoot is None
            else {
                "slope_v_per_s": self.overshoot.slope_v_per_s,
                "worst_v": self.overshoot.worst_v,
                "observed_v": self.overshoot.observed_v,
            },
            "gaps": s.gaps,
            "gap_charge_ah": ah(s.gap_c),
            "handovers": s.handovers,
            "pauses": s.pauses,
            "samples": s.samples,
            "compliance_samples": s.compliance,
            "range": s.range,
            **self.measured,
        }
