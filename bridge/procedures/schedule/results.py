"""What a schedule comes to, ended or cut: by step, by cycle, in total, and how each number was obtained."""

from __future__ import annotations

from typing import Any

from bridge.analysis.capacity import GAP_FACTOR, ah
from drivers.interfaces import Potentiostat
from drivers.plain import to_plain

from ..common import instrument
from .engine import Engine
from .judge import CURRENT_SAMPLES, SLOPE_SAMPLES
from .voltages import bounds

METHOD = {
    "charge": "trapezoid of the measured current over the device's own time, summed without rounding, separately for "
    f"charge and discharge; gaps above {GAP_FACTOR:g} sampling periods are reported and not bridged",
    "energy": "the same integral of voltage times current",
    "duration_interpolated_s": "the instant at which the limit was crossed, by a straight line between the last two "
    "samples; duration_s is until the last sample",
    "overshoot": "worst case |dV/dt| x (sampling period + latency), and what was seen beyond the limit",
    "current limits": f"a current ends a step when {CURRENT_SAMPLES} samples in a row are beyond its limit",
    "dv_dt": f"least-squares slope over the window (at least {SLOPE_SAMPLES} samples); it ends a step when it is two "
    "standard errors on its side of the limit",
    "handovers": "between constant current and constant voltage the driver opens the cell's relay: gap_s is from the "
    "last sample of the one to time zero of the other",
    "capacity_into_cell_ah": "capacity less the lead's capacitance times the change of voltage",
}


def result_of(engine: Engine, potentiostat: Potentiostat, procedure: str, notes: list[str]) -> dict[str, Any]:
    """JSON values."""
    schedule, registers = engine.schedule, engine.registers
    measured = [record for record in engine.records if "charge_ah" in record]
    limits = bounds(schedule, engine.reference_c)
    fields: dict[str, Any] = {
        "procedure": procedure,
        "schedule": schedule.name,
        "completed": engine.completed,
        "end": engine.end,
        "duration_s": registers.total_time_s,
        "charge_ah": ah(registers.total_charge_c),
        "discharge_ah": ah(registers.total_discharge_c),
        "net_ah": ah(registers.total_charge_c - registers.total_discharge_c),
        "energy_in_wh": sum(r["energy_in_wh"] for r in measured),
        "energy_out_wh": sum(r["energy_out_wh"] for r in measured),
        "cycles": by_cycle(measured, schedule.area_m2),
        "steps": engine.records,
        "parts": [
            {"procedure": r["procedure"], "title": r["title"], "result": r["result"]}
            for r in engine.records
            if r["kind"] == "procedure"
        ],
        "counters": registers.counters,
        "estimate": engine.estimate.to_dict(),
        "settings": {
            "area_m2": schedule.area_m2,
            "reference_capacity_ah": None if schedule.capacity_c is None else ah(schedule.capacity_c),
            "reference": schedule.reference,
            "stray_f": schedule.stray_f,
            "safety": {
                "voltage_min_v": limits.voltage_min_v,
                "voltage_max_v": limits.voltage_max_v,
                "current_max_a": limits.current_max_a,
                "charge_factor": limits.charge_factor,
                "step_time_s": limits.step_time_s,
            },
            "text": schedule.text,
        },
        "samples": sum(r["samples"] for r in measured),
        "instrument": instrument(potentiostat),
        "sign": "positive current charges",
        "method": METHOD,
        "notes": notes,
    }
    plain: dict[str, Any] = to_plain(fields)
    return plain


def by_cycle(records: list[dict[str, Any]], area_m2: float | None) -> list[dict[str, Any]]:
    """Charge, discharge and efficiencies of each cycle that has samples. Retention is against the first discharge."""
    cycles: dict[int, dict[str, float]] = {}
    names = ("charge_ah", "discharge_ah", "energy_in_wh", "energy_out_wh")
    for record in records:
        sums = cycles.setdefault(record["cycle"], dict.fromkeys(names, 0.0))
        for name in names:
            sums[name] += record[name]
    first = next((sums["discharge_ah"] for sums in cycles.values() if sums["discharge_ah"] > 0), None)
    return [
        {
            "cycle": cycle,
            "charge_ah": sums["charge_ah"],
            "discharge_ah": sums["discharge_ah"],
            "charge_ah_per_m2": None if area_m2 is None else sums["charge_ah"] / area_m2,
            "discharge_ah_per_m2": None if area_m2 is None else sums["discharge_ah"] / area_m2,
            "energy_in_wh": sums["energy_in_wh"],
            "energy_out_wh": sums["energy_out_wh"],
            "coulombic_efficiency": _ratio(sums["discharge_ah"], sums["charge_ah"]),
            "energy_efficiency": _ratio(sums["energy_out_wh"], sums["energy_in_wh"]),
            "retention": _ratio(sums["discharge_ah"], first),
        }
        for cycle, sums in cycles.items()
    ]


def _ratio(part: float, whole: float | None) -> float | None:
    return part / whole if whole and part else None
