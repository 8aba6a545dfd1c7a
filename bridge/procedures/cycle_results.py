"""What cycling gives as numbers: of a step, of a cycle, of all cycles. Raw and corrected beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bridge.analysis.capacity import COULOMB_PER_AH, ah
from bridge.analysis.corrected_capacity import METHOD as CORRECTION
from bridge.analysis.corrected_capacity import Capacity, corrected
from bridge.analysis.differential import differential_capacity
from bridge.analysis.efficiency import Efficiency, coulombic_efficiency
from bridge.analysis.energy import JOULE_PER_WH, ratio, wh
from bridge.analysis.energy_density import energy_density, parse_layers
from bridge.analysis.health.detector import STRAY_F
from bridge.analysis.step_resistance import step_resistance

from .cycle_parameters import Cycle
from .cycle_step import CHARGE, CONTACT_LOST, DISCHARGE, STOPPED, Step

METHOD = {
    "charge": "trapezoid of the current over the device's time, gaps above five periods left out and named",
    "correction": CORRECTION,
    "coulombic_efficiency": "discharge over charge of the same cycle; digits as the leak check supports",
    "energy": "trapezoid of voltage times current over the device's time",
    "resistance": "change of voltage over change of current, from the last sample before an edge to the delay after "
    "it; over a rest the cell's relaxation is in it",
    "dq_dv": "equal steps of voltage of at least 5 sigma of its noise on its monotonic envelope, running mean",
    "retention": "discharge until its limit was crossed over that of the first complete cycle; fade by a line through "
    "the logarithm, 95 % interval",
}

#: Ends that are none of the plan's: what the step has passed is no capacity.
_CUT = (STOPPED, CONTACT_LOST)


def step_result(p: Cycle, step: Step, before: Mapping[str, Any] | None, rest_s: float) -> dict[str, Any]:
    """JSON values of a step that has ended. `before` is the result of the step before it, for the resistance."""
    segments = step.segments
    first, last = segments[0], segments[-1]
    ends = [s.interpolated_s for s in segments[-1:] if s.interpolated_s is not None]
    earlier_s = step.duration_s - last.duration_s
    earlier_c = step.passed_c - (last.charge_c if step.charging else last.discharge_c)
    known = [v for s in segments for v in (s.voltage_lowest_v, s.voltage_highest_v) if v is not None]
    capacity = _corrected(p, step)
    stray_c = p.stray_f * abs((last.voltage_end_v or 0.0) - (first.voltage_start_v or 0.0))
    return {
        "cycle": step.cycle,
        "kind": step.kind,
        "end": step.end,
        "mode": "-".join(dict.fromkeys("cv" if s.technique == "potentiostatic" else "cc" for s in segments)),
        "start_time_ns": first.start_time_ns,
        "part_start_times_ns": [s.start_time_ns for s in segments],
        "pauses": step.pauses,
        "duration_s": step.duration_s,
        "duration_interpolated_s": earlier_s + ends[0] if ends else None,
        "charge_ah": ah(step.passed_c),
        "charge_interpolated_ah": None if last.interpolated_c is None else ah(earlier_c + last.interpolated_c),
        "charge_into_cell_ah": ah(step.passed_c - stray_c),
        "charge_corrected_ah": ah(capacity.corrected_c),
        "charge_corrected_uncertainty_ah": ah(capacity.uncertainty_c),
        "correction": {
            "open_ah": ah(capacity.open_c),
            "returned_ah": ah(capacity.returned_c),
            "stray_ah": ah(capacity.stray_c),
            "leak_ah": ah(capacity.leak_c),
            "open_s": capacity.open_s,
        },
        "contact_gaps": [{"part": part, **gap} for part, s in enumerate(segments) for gap in s.contact_gaps],
        "charge_wrong_way_ah": ah(sum(s.discharge_c if step.charging else s.charge_c for s in segments)),
        "charge_after_last_sample_at_most_ah": ah(last.late_c),
        "gap_charge_ah": ah(sum(s.gap_c for s in segments)),
        "gaps": [gap for s in segments for gap in s.gaps],
        "energy_wh": wh(sum(s.energy_in_j if step.charging else s.energy_out_j for s in segments)),
        "voltage_start_v": first.voltage_start_v,
        "voltage_end_v": last.voltage_end_v,
        "voltage_min_v": min(known, default=None),
        "voltage_max_v": max(known, default=None),
        "current_set_a": p.current if step.charging else -p.current,
        "current_end_a": last.current_end_a,
        "area_m2": p.area_m2,
        "overshoot": next((s.overshoot for s in reversed(segments) if s.overshoot), None),
        "resistance": _resistance(p, step, before, rest_s),
        "dq_dv": _differential(p, step),
        "samples": sum(s.samples for s in segments),
        "compliance_samples": sum(s.compliance for s in segments if s.technique == "galvanostatic"),
        "range": next((s.range for s in segments if s.range), None),
    }


def _corrected(p: Cycle, step: Step) -> Capacity:
    mean_a = step.passed_c / step.duration_s if step.duration_s > 0 else p.current
    return corrected(
        step.passed_c,
        charging=step.charging,
        current_a=mean_a,
        duration_s=step.duration_s,
        voltage_change_v=sum(s.closed_change_v for s in step.segments),
        interval_s=p.interval_s,
        gaps=[gap for s in step.segments for gap in s.found_gaps],
        known=p.known,
    )


def _resistance(p: Cycle, step: Step, before: Mapping[str, Any] | None, rest_s: float) -> dict[str, Any] | None:
    """From the edge between the step before and this one; None where the current of one of them is not set."""
    first = step.segments[0]
    if before is None or before["voltage_end_v"] is None or before["current_end_a"] is None or first.set_a is None:
        return None
    head = np.array(first.head, dtype=float).reshape(-1, 2)
    found = step_resistance(
        before["voltage_end_v"],
        before["current_end_a"],
        head[:, 0],
        head[:, 1],
        first.set_a,
        delay_s=p.resistance_delay_s,
        stray_f=p.stray_f or STRAY_F,
        noise_v=first.noise_v,
        rest_s=rest_s,
    )
    if found is None:
        return None
    return {**asdict(found), "resistance_ohm_m2": None if p.area_m2 is None else found.resistance_ohm * p.area_m2}


def _differential(p: Cycle, step: Step) -> dict[str, Any] | None:
    """The highest point of dQ/dV of the part under constant current; its curve is in the report."""
    parts, earlier_c = [], 0.0
    noise = 0.0
    for segment in step.segments:
        if segment.technique == "galvanostatic":
            course = np.array(segment.course, dtype=float).reshape(-1, 3)
            for gap in segment.found_gaps:  # its spike would stay in the envelope
                course = course[(course[:, 0] < gap.from_s) | (course[:, 0] > gap.to_s + 2 * p.interval_s)]
            parts.append(course[:, 1:] + np.array((earlier_c, 0.0)))
            noise = max(noise, segment.noise_v)
        earlier_c += segment.charge_c if step.charging else segment.discharge_c
    if not parts:
        return None
    course = np.concatenate(parts)
    found = differential_capacity(course[:, 1], course[:, 0], rising=step.charging, noise_v=noise)
    if found.peak is None:
        return None
    return {
        "peak_voltage_v": found.peak[0],
        "peak_ah_per_v": ah(found.peak[1]),
        "bin_v": found.bin_v,
        "smoothing_v": found.smoothing_v,
        "noise_v": found.noise_v,
    }


def cycle_results(p: Cycle, steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry a cycle, its steps in it."""
    numbers = range(1, 1 + max((s["cycle"] for s in steps), default=0))
    cycles = [_cycle(p, number, [s for s in steps if s["cycle"] == number]) for number in numbers]
    whole = [c for c in cycles if c["complete"] and c["discharge_ah"]]
    for cycle in cycles:
        cycle["retention"] = (
            ratio(cycle["discharge_ah"], whole[0]["discharge_ah"]) if whole and cycle in whole else None
        )
    return cycles


def _cycle(p: Cycle, number: int, steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    by_kind = {s["kind"]: s for s in steps}
    charge, discharge = by_kind.get(CHARGE), by_kind.get(DISCHARGE)
    complete = charge is not None and discharge is not None and not any(s["end"] in _CUT for s in steps)
    fields: dict[str, Any] = {"cycle": number, "complete": complete}
    for name, step in ((CHARGE, charge), (DISCHARGE, discharge)):
        fields[f"{name}_ah"] = step["charge_ah"] if step else None
        fields[f"{name}_ah_per_m2"] = ratio(fields[f"{name}_ah"], step["area_m2"]) if step else None
        fields[f"{name}_to_limit_ah"] = _to_limit(step) if step else None
        fields[f"{name}_corrected_ah"] = step["charge_corrected_ah"] if step else None
        fields[f"{name}_corrected_uncertainty_ah"] = step["charge_corrected_uncertainty_ah"] if step else None
        fields[f"{name}_wh"] = step["energy_wh"] if step else None
    fields |= efficiencies(p, steps if complete else ())
    return {**fields, "steps": [{k: v for k, v in s.items() if k != "cycle"} for s in steps]}


def _to_limit(step: Mapping[str, Any]) -> float:
    """Charge until the instant at which the limit was crossed, where that is known: not in steps of a sample."""
    until = step["charge_interpolated_ah"]
    return float(step["charge_ah"] if until is None else until)


def efficiencies(p: Cycle, steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Coulombic (raw and corrected) and energy efficiency of steps that belong together; None for none."""
    charge = sum(s["charge_ah"] for s in steps if s["kind"] == CHARGE)
    discharge = sum(s["charge_ah"] for s in steps if s["kind"] == DISCHARGE)
    found = _efficiency(p, steps) if charge else None
    return {
        "coulombic_efficiency": discharge / charge if charge else None,
        "coulombic_efficiency_corrected": found.value if found else None,
        "coulombic_efficiency_uncertainty": found.uncertainty if found else None,
        "coulombic_efficiency_decimals": found.decimals if found else None,
        "coulombic_efficiency_text": found.text if found else None,
        "energy_efficiency": ratio(
            sum(s["energy_wh"] for s in steps if s["kind"] == DISCHARGE),
            sum(s["energy_wh"] for s in steps if s["kind"] == CHARGE),
        ),
    }


def _efficiency(p: Cycle, steps: Sequence[Mapping[str, Any]]) -> Efficiency | None:
    sums, doubts = {}, {}
    for kind in (CHARGE, DISCHARGE):
        own = [s for s in steps if s["kind"] == kind]
        sums[kind] = sum(s["charge_corrected_ah"] for s in own) * COULOMB_PER_AH
        leak = p.leak_uncertainty_a or 0.0  # has a share of its own in the efficiency
        squares = (
            max((s["charge_corrected_uncertainty_ah"] * COULOMB_PER_AH) ** 2 - (leak * s["duration_s"]) ** 2, 0.0)
            for s in own
        )
        doubts[kind] = float(sum(squares)) ** 0.5
    if not sums[CHARGE] > 0:
        return None
    return coulombic_efficiency(
        sums[CHARGE],
        sums[DISCHARGE],
        charge_uncertainty_c=doubts[CHARGE],
        discharge_uncertainty_c=doubts[DISCHARGE],
        time_s=sum(s["duration_s"] for s in steps),
        leak_uncertainty_a=p.leak_uncertainty_a,
    )


def retention(cycles: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Of the complete cycles, with the fade per cycle once there are enough; None without two."""
    from bridge.analysis.retention import fit_fade

    whole = [c for c in cycles if c["retention"] is not None]
    if len(whole) < 2:
        return None
    numbers = np.array([c["cycle"] for c in whole], dtype=float)
    capacities = np.array([c["discharge_to_limit_ah"] for c in whole])
    fade = fit_fade(numbers, capacities, reference=float(capacities[0]))
    return {
        "reference_cycle": whole[0]["cycle"],
        "last_cycle": whole[-1]["cycle"],
        "retention": whole[-1]["retention"],
        "fade": None if fade is None else asdict(fade),
    }


def energy_density_of(p: Cycle, cycles: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Wh/L of the bare stack by the first complete cycle's discharge; None without a stack or an area."""
    whole = next((c for c in cycles if c["complete"] and c["discharge_wh"]), None)
    if not p.stack or p.area_m2 is None or whole is None:
        return None
    layers = parse_layers(p.stack)
    plated = whole["discharge_ah_per_m2"] if p.plating else None
    found = energy_density(whole["discharge_wh"] * JOULE_PER_WH / p.area_m2, layers, plated_ah_per_m2=plated)
    return {
        **asdict(found),
        "cycle": whole["cycle"],
        "layers": [asdict(layer) for layer in layers],
        "states": "discharged: the thickness as made; charged: with the lithium that the charge has plated",
    }
