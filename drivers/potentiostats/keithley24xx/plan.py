"""From a technique to what the instrument is set to, with everything checked before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import InvalidValue, Unsupported
from ...interfaces import CurrentRange
from ...techniques import (
    CurrentSequence,
    CyclicVoltammetry,
    Galvanostatic,
    Impedance,
    OpenCircuit,
    Potentiostatic,
    Technique,
    VoltageSequence,
)
from ..staircase import Stepped, step_s
from .models import COMPLIANCE_MIN, OVERRANGE, Model
from .options import Keithley24xxOptions

#: 5 periods of 50 Hz and 6 of 60 Hz: both mains are averaged out.
INTEGRATION_S = 0.1
#: A range that settles within this time serves for open circuit.
_OPEN_CIRCUIT_SETTLING_S = 0.1
#: 0.01 PLC and the exchange of a command and a reading
INTERVAL_MIN_S = 0.002


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings of one run. The source goes on at `first_level`.

    `limit_first` is the compliance at which the output goes on, `limit` the one that holds from the first level on
    (volts for a current source, amperes for a voltage source). `measure_range` is that of the quantity not sourced;
    None is automatic.
    """

    technique: Technique
    sources_current: bool
    source_range: float
    source_step: float
    measure_range: float | None
    limit_first: float
    limit: float
    first_level: float
    interval_s: float
    settling_s: float
    current_range: CurrentRange | None
    notes: tuple[str, ...] = ()


def plan(technique: Technique, model: Model, options: Keithley24xxOptions, last_range: CurrentRange | None) -> Plan:
    """Raises `Unsupported` and `InvalidValue`."""
    if isinstance(technique, Impedance):
        raise Unsupported(
            f"the {model.name} sources and measures direct current: it cannot do impedance",
            hint="The procedure `impedance` makes a sine of set points with it, at low frequencies; for others use a "
            "potentiostat with a frequency response analyser, such as an EmStat4.",
        )
    if isinstance(technique, Stepped):
        interval_s = step_s(technique)
        cyclic = isinstance(technique, CyclicVoltammetry)
        advice = "a slower rate or a larger step" if cyclic else "a longer interval"
    else:
        interval_s = technique.interval_s
        advice = "a longer interval"
    if interval_s < INTERVAL_MIN_S * (1 - 1e-9):
        raise InvalidValue(
            f"one sample every {interval_s:g} s is faster than the {model.name} can be read "
            f"({INTERVAL_MIN_S:g} s at the least)",
            hint=f"Ask for {advice}.",
        )
    if isinstance(technique, OpenCircuit | Galvanostatic | CurrentSequence):
        return _current_source(technique, model, options, last_range)
    return _voltage_source(technique, model, options, interval_s)


def _current_source(
    technique: OpenCircuit | Galvanostatic | CurrentSequence,
    model: Model,
    options: Keithley24xxOptions,
    last_range: CurrentRange | None,
) -> Plan:
    if isinstance(technique, OpenCircuit):
        current_range = _open_circuit_range(model, options, last_range)
        offset = current_range.source_offset_error_a or current_range.offset_error_a
        notes = [
            f"open circuit is a source of 0 A on the {current_range.label} range; "
            + (f"its offset may be {offset:g} A" if offset else "its offset is not specified")
        ]
        limit_first = limit = options.compliance
    else:
        if isinstance(technique, Galvanostatic):
            current_range = _range_for(technique.current_a, model, options, "current_a")
        else:
            current_range = _range_for(max(technique.currents_a, key=abs), model, options, "the largest of currents_a")
        notes = []
        bounds = [abs(v) for v in (technique.voltage_min_v, technique.voltage_max_v) if v is not None]
        outside = max(bounds) + options.compliance_margin if bounds else 0.0
        # A compliance below the voltage of the cell makes the source draw whatever it takes from the cell (2400 manual
        # 3-24), so the narrow limit of the window is set only after the voltage has been read.
        limit_first = max(options.compliance, outside)
        narrow = (
            isinstance(technique, Galvanostatic) and technique.current_a > 0 and technique.voltage_max_v is not None
        )
        limit = outside if narrow else limit_first
    measure_range = model.range_for_voltage(limit_first, field="voltage limit (compliance)")
    return Plan(
        technique=technique,
        sources_current=True,
        source_range=current_range.full_scale_a,
        source_step=current_range.source_resolution_a or 0.0,
        measure_range=measure_range,
        limit_first=limit_first,
        limit=max(limit, COMPLIANCE_MIN * measure_range),
        first_level=technique.currents_a[0] if isinstance(technique, CurrentSequence) else 0.0,
        interval_s=technique.interval_s,
        settling_s=current_range.settling_s,
        current_range=current_range,
        notes=tuple(notes),
    )


def _range_for(current_a: float, model: Model, options: Keithley24xxOptions, field: str) -> CurrentRange:
    if options.current_range is None:
        current_range = model.range_for_current(current_a)
    else:
        current_range = model.range_named(options.current_range, field="option 'current_range'")
        if abs(current_a) > OVERRANGE * current_range.full_scale_a:
            raise InvalidValue(
                f"{field} is {current_a:g} A, beyond the {current_range.label} range of option 'current_range'"
            )
    step = current_range.source_resolution_a or 0.0
    if 0 < abs(current_a) < step / 2:
        raise InvalidValue(
            f"{field} is {current_a:g} A; the {model.name} sources in steps of {step:g} A on its "
            f"{current_range.label} range, so that nothing would flow",
            hint="Use an instrument with lower ranges, such as the 6430.",
        )
    return current_range


def _open_circuit_range(model: Model, options: Keithley24xxOptions, last_range: CurrentRange | None) -> CurrentRange:
    if options.open_circuit_range is not None:
        return model.range_named(options.open_circuit_range, field="option 'open_circuit_range'")
    if options.current_range is not None:
        return model.range_named(options.current_range, field="option 'current_range'")
    if last_range is not None:
        return last_range
    return next((r for r in model.current_ranges if r.settling_s <= _OPEN_CIRCUIT_SETTLING_S), model.current_ranges[0])


def _voltage_source(
    technique: Potentiostatic | CyclicVoltammetry | VoltageSequence,
    model: Model,
    options: Keithley24xxOptions,
    interval_s: float,
) -> Plan:
    if isinstance(technique, Potentiostatic):
        first, highest, field = technique.voltage_v, abs(technique.voltage_v), "voltage_v"
    elif isinstance(technique, VoltageSequence):
        first, field = technique.voltages_v[0], "the largest of voltages_v"
        highest = max(abs(v) for v in technique.voltages_v)
    else:
        first, field = technique.begin_v, "the sweep's largest potential"
        highest = max(abs(v) for v in (technique.begin_v, technique.vertex1_v, technique.vertex2_v))
    source_range = model.range_for_voltage(highest, field=field)
    notes: list[str] = []
    limit = technique.current_limit_a
    if options.current_range is not None:
        current_range: CurrentRange | None = model.range_named(options.current_range, field="option 'current_range'")
        assert current_range is not None
        if limit is not None and limit > OVERRANGE * current_range.full_scale_a:
            raise InvalidValue(
                f"current_limit_a is {limit:g} A, beyond the {current_range.label} range of option 'current_range'"
            )
        limit = limit or current_range.full_scale_a
    elif limit is not None:
        current_range = model.range_for_limit(limit)
    else:
        limit, current_range = options.current_compliance, None
        model.range_for_limit(limit)
        notes.append(
            f"no current limit was given: {limit:g} A by option 'current_compliance', measuring range automatic"
        )
    if current_range is not None:
        limit = max(limit, COMPLIANCE_MIN * current_range.full_scale_a)
    return Plan(
        technique=technique,
        sources_current=False,
        source_range=source_range,
        source_step=source_range * 5e-5,
        measure_range=None if current_range is None else current_range.full_scale_a,
        limit_first=limit,
        limit=limit,
        first_level=first,
        interval_s=interval_s,
        settling_s=0.0 if current_range is None else current_range.settling_s,
        current_range=current_range,
        notes=tuple(notes),
    )
