"""Numbers as people of the field say them: 1.02 pA, 50 uA/cm2, (1.002 ± 0.005) pA."""

from __future__ import annotations

import math

_PREFIXES = {-18: "a", -15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
_LOWEST, _HIGHEST = min(_PREFIXES), max(_PREFIXES)

#: how many of a report's unit make one SI unit of an areal quantity
_AREAL = {"A/m2": ("A/cm2", 1e-4), "Ah/m2": ("Ah/cm2", 1e-4)}


#: Below this share of a value an uncertainty is that of the arithmetic, not of a measurement.
_NO_NOISE = 1e-6


def si(value: float | None, unit: str, digits: int = 3) -> str:
    """`value` with an SI prefix and `digits` significant digits: `si(1.02e-12, "A")` is "1.02 pA".

    Areal units "A/m2" and "Ah/m2" come out per cm2, as the field writes them. Not for "m2": see `area`.
    """
    if value is None or math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return f"{'-' if value < 0 else ''}infinite"
    unit, factor = _AREAL.get(unit, (unit, 1.0))
    value *= factor
    if value == 0:
        return f"0 {unit}".rstrip()
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = _engineering(rounded)
    return f"{_plain(rounded / 10.0**exponent, digits)} {_PREFIXES[exponent]}{unit}".rstrip()


def with_uncertainty(value: float, uncertainty: float, unit: str) -> str:
    """Value and its uncertainty (two significant digits) under one prefix: "(1.0021 ± 0.0048) pA"."""
    if not (math.isfinite(value) and math.isfinite(uncertainty)) or uncertainty <= 0:
        return si(value, unit)
    if uncertainty < _NO_NOISE * abs(value):
        return si(value, unit, 6)
    unit, factor = _AREAL.get(unit, (unit, 1.0))
    value, uncertainty = value * factor, uncertainty * factor
    exponent = _engineering(max(abs(value), uncertainty))
    scale = 10.0**exponent
    decimals = max(0, 1 - math.floor(math.log10(uncertainty / scale)))
    return f"({value / scale:.{decimals}f} ± {uncertainty / scale:.{decimals}f}) {_PREFIXES[exponent]}{unit}"


def area(value_m2: float) -> str:
    """An area in the unit of its size: um2 for nanobatteries, cm2 for sheets."""
    if value_m2 < 1e-7:
        return f"{_plain(value_m2 * 1e12, 3)} um2"
    return f"{_plain(value_m2 * 1e4, 3)} cm2"


def duration(seconds: float) -> str:
    """ "303.5 s" up to ten minutes, then "15 min 0 s", "2 h 5 min"."""
    if seconds < 600:
        return f"{_plain(seconds, 4)} s"
    if seconds < 3600:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest} min"


def percent(fraction: float | None, digits: int = 3) -> str:
    return "unknown" if fraction is None or math.isnan(fraction) else f"{_plain(fraction * 100, digits)} %"


def _engineering(value: float) -> int:
    exponent = 3 * math.floor(math.log10(abs(value)) / 3 + 1e-12)
    return min(max(exponent, _LOWEST), _HIGHEST)


def _plain(value: float, digits: int) -> str:
    """Significant digits without an exponent, trailing zeros of the fraction cut."""
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)) + 1e-12))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
