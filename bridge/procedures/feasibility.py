"""Can this instrument do it at all? Answered from its capabilities, before anything moves or is energised."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.analysis.formatting import percent, si
from drivers.errors import InvalidValue, Refused, Unsupported
from drivers.interfaces import CurrentRange, Potentiostat, PotentiostatCapabilities

#: A count of the converter must be at most this share of the tolerance, or the test tests the converter.
_COUNTS = 3.0

#: Ranges measure a little beyond their nominal full scale (Keithley: 105 %).
_HEADROOM = 1.05


@dataclass(frozen=True, slots=True)
class RangeChoice:
    """The range that suits a current, and what it can be off by there (None where the maker says nothing)."""

    range: CurrentRange
    error_a: float | None


def require_technique(potentiostat: Potentiostat, technique: str) -> None:
    if technique not in potentiostat.capabilities.techniques:
        able = ", ".join(sorted(potentiostat.capabilities.techniques)) or "none"
        raise Unsupported(
            f"this instrument cannot do {technique}; it can do: {able}",
            device=potentiostat.name,
            hint="Use a galvanostat for this, for example a Keithley 6430." if technique == "galvanostatic" else "",
        )


def require_interval(potentiostat: Potentiostat, interval_s: float) -> None:
    shortest = potentiostat.capabilities.interval_min_s
    if interval_s < shortest * (1 - 1e-9):
        raise InvalidValue(
            f"interval_s is {interval_s:g} s; {potentiostat.name} needs at least {shortest:g} s a sample"
        )


def require_window(potentiostat: Potentiostat, lowest_v: float, highest_v: float) -> None:
    """Raises `Refused` if a voltage limit is beyond what the instrument can measure: it would never be seen crossed."""
    able = potentiostat.capabilities
    if lowest_v < able.voltage_min_v or highest_v > able.voltage_max_v:
        raise Refused(
            f"the window {lowest_v:g} V to {highest_v:g} V is beyond the instrument's {able.voltage_min_v:g} V to "
            f"{able.voltage_max_v:g} V",
            device=potentiostat.name,
        )


def plan_current(potentiostat: Potentiostat, current_a: float, tolerance_a: float, purpose: str) -> RangeChoice:
    """The range for `current_a` whose resolution and accuracy support `tolerance_a`.

    Raises `Refused` with the reason in numbers and a remedy: no range is wide enough, a count is more than a third of
    the tolerance, or the instrument may be off by more than the tolerance.
    """
    able = potentiostat.capabilities
    needed = (abs(current_a) + tolerance_a) / _HEADROOM
    wide = sorted((r for r in able.current_ranges if r.full_scale_a >= needed), key=lambda r: r.full_scale_a)
    if not wide:
        highest = max((r.full_scale_a for r in able.current_ranges), default=0.0)
        raise Refused(
            f"{purpose} {si(current_a, 'A')}: the highest current range is {si(highest, 'A')}",
            device=potentiostat.name,
            hint="Use an instrument with a higher range, or a smaller current.",
        )
    for chosen in wide:
        if not _faults(chosen, current_a, tolerance_a):
            return RangeChoice(chosen, _error(chosen, current_a))
    smallest = wide[0]
    hint = "Use an instrument with picoampere ranges (a Keithley 6430 has 1 pA and 10 pA), or a larger current"
    least = _least_current(able, tolerance_a / abs(current_a)) if current_a else None
    if least is not None:
        hint += f": at the same relative tolerance this one can do {si(least, 'A', 2)} and more"
    raise Refused(
        f"{purpose} {si(current_a, 'A')} ± {si(tolerance_a, 'A')}: {_faults(smallest, current_a, tolerance_a)}",
        device=potentiostat.name,
        hint=hint + ".",
    )


def range_used(potentiostat: Potentiostat, label: str | None, current_a: float) -> RangeChoice | None:
    """The range that a record names, and its error at `current_a`; None if the capabilities have none of that name."""
    for candidate in potentiostat.capabilities.current_ranges:
        if label in (candidate.label, si(candidate.full_scale_a, "A")):
            return RangeChoice(candidate, _error(candidate, current_a))
    return None


def leak_a(capabilities: PotentiostatCapabilities, voltage_v: float) -> float | None:
    """What the instrument's own input takes from a cell at `voltage_v`; None if its resistance is not known."""
    resistance = capabilities.input_resistance_ohm
    return None if not resistance else abs(voltage_v) / resistance


def require_input(potentiostat: Potentiostat, current_a: float, voltage_v: float, allowed_a: float) -> float | None:
    """The leak through the instrument's input at `voltage_v`. Raises `Refused` if it is more than `allowed_a`."""
    leak = leak_a(potentiostat.capabilities, voltage_v)
    if leak is not None and leak > allowed_a:
        resistance = potentiostat.capabilities.input_resistance_ohm
        raise Refused(
            f"the instrument's input of {si(resistance, 'Ohm')} takes {si(leak, 'A')} from the cell at "
            f"{voltage_v:g} V; at {si(current_a, 'A')} at most {si(allowed_a, 'A')} may be lost",
            device=potentiostat.name,
            hint=f"Use an instrument with an input of {si(abs(voltage_v) / allowed_a, 'Ohm', 2)} or more, "
            "or a larger current.",
        )
    return leak


def _faults(r: CurrentRange, current_a: float, tolerance_a: float) -> str:
    """What is wrong with a range for this test, in words; empty if nothing is."""
    where = f"on its {si(r.full_scale_a, 'A')} range"
    found = []
    resolution = max((v for v in (r.resolution_a, r.source_resolution_a) if v is not None), default=0.0)
    if resolution > tolerance_a / _COUNTS:
        found.append(f"{where} one count is {si(resolution, 'A')}, more than a third of the tolerance")
    for what, gain, offset in (
        ("measures", r.gain_error, r.offset_error_a),
        ("sources", r.source_gain_error, r.source_offset_error_a),
    ):
        error = _accuracy(gain, offset, current_a)
        if error is not None and error > tolerance_a:
            found.append(
                f"{where} the instrument {what} within {percent(gain or 0.0)} + {si(offset or 0.0, 'A')}, which is "
                f"± {si(error, 'A')} at {si(current_a, 'A')}"
            )
    return "; ".join(found)


def _accuracy(gain: float | None, offset_a: float | None, current_a: float) -> float | None:
    if gain is None and offset_a is None:
        return None
    return (gain or 0.0) * abs(current_a) + (offset_a or 0.0)


def _error(r: CurrentRange, current_a: float) -> float | None:
    errors = (
        _accuracy(r.gain_error, r.offset_error_a, current_a),
        _accuracy(r.source_gain_error, r.source_offset_error_a, current_a),
    )
    return max((e for e in errors if e is not None), default=None)


def _least_current(able: PotentiostatCapabilities, fraction: float) -> float | None:
    """The smallest current that some range supports at the relative tolerance `fraction`."""
    candidates = []
    for r in able.current_ranges:
        needs = [0.0]
        for gain, offset in ((r.gain_error, r.offset_error_a), (r.source_gain_error, r.source_offset_error_a)):
            if offset is not None:
                margin = fraction - (gain or 0.0)
                needs.append(offset / margin if margin > 0 else float("inf"))
        for resolution in (r.resolution_a, r.source_resolution_a):
            if resolution is not None:
                needs.append(_COUNTS * resolution / fraction)
        if max(needs) <= r.full_scale_a:
            candidates.append(max(needs))
    least = min(candidates, default=0.0)
    return least or None
