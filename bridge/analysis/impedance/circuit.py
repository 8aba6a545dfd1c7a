"""Equivalent circuits of the `impedance` package, fitted, with confidence intervals and what speaks against them.

The package has the circuits, their elements and their notation. Its own fit leaves the parameters, from femtofarads to
gigaohms, unscaled: on perfect data of a LiPON cell it stops at R0 = 56 Ohm instead of 5 (the domain note's trial,
section 6, has 44), and takes half a minute where there are constant phase elements. So the package's model is handed to
scipy's `curve_fit` with the logarithms of the parameters (exponents as they are), weighted by 1/|Z|.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drivers.errors import InvalidValue

from .kramers_kronig import Complexes, Floats

#: Series resistance, two arcs, diffusion: a thin-film cell.
DEFAULT_CIRCUIT = "R0-p(R1,CPE1)-p(R2,CPE2)-W1"

#: An arc whose peak lies above this share of the highest frequency is not seen whole.
_ARC_SEEN = 1 / 3

#: Two-sided 95 % of a normal distribution.
_Z95 = 1.96

#: A logarithm may go so far from its start: e^25 is eleven decades.
_FAR = 25.0
_EVALUATIONS = 400
#: Residuals below this are the same: a tenth of a per mille.
_SAME = 1e-4


@dataclass(frozen=True, slots=True)
class Parameter:
    """`low` and `high` are the 95 % interval: normal of the logarithm, since no such value is negative (of an exponent,
    of itself); `sigma` is a standard error. NaN where the fit does not tell. Ohm, F, s and what else `unit` says."""

    name: str
    unit: str
    value: float
    sigma: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CircuitFit:
    """`residual` is the rms of the relative deviation; `predicted` of shape (n,); `warnings` what speaks against it."""

    circuit: str
    parameters: tuple[Parameter, ...]
    residual: float
    predicted: Complexes
    warnings: tuple[str, ...]

    def value(self, name: str) -> float:
        """Raises `KeyError`."""
        return next(p.value for p in self.parameters if p.name == name)


def parse_circuit(circuit: str, guess: Sequence[float] | None = None) -> tuple[list[str], list[str]]:
    """(names, units) of a circuit's parameters. Raises `InvalidValue` if it is none, or the guess does not fit it."""
    from impedance.models.circuits import CustomCircuit
    from impedance.models.circuits.fitting import wrapCircuit

    count = _count(circuit)
    guesses = [1.0] * count if guess is None else list(guess)
    try:
        names, units = CustomCircuit(circuit, initial_guess=guesses).get_param_names()
        values = wrapCircuit(circuit, {})(np.ones(1), *guesses)
        if circuit.count("(") != circuit.count(")") or not np.isfinite(values).all():
            raise ValueError("its parts do not fit together")
    except Exception as error:  # the package raises what comes: ValueError, AttributeError, a bare Exception
        raise InvalidValue(
            f"circuit is {circuit!r} with {len(guesses)} guesses: {error}; accepted: the notation of impedance.py, "
            f"such as {DEFAULT_CIRCUIT}, and a guess for each of its parameters"
        ) from error
    return list(names), list(units)


def fit_circuit(
    frequency_hz: Floats, z_ohm: Complexes, circuit: str = DEFAULT_CIRCUIT, guess: Sequence[float] | None = None
) -> CircuitFit:
    """Fit; guesses come from the data unless given. Takes up to seconds: use a thread.

    Raises `InvalidValue` where circuit and guess do not fit together, or there are fewer data than parameters.
    """
    starts = [list(guess)] if guess is not None else guesses_of(circuit, frequency_hz, z_ohm)
    names, units = parse_circuit(circuit, starts[0])
    if 2 * len(frequency_hz) <= len(names):
        raise InvalidValue(f"{len(frequency_hz)} points cannot tell {len(names)} parameters of {circuit}")
    tries = [_fit(frequency_hz, z_ohm, circuit, names, start) for start in starts]
    found = [one for one in tries if one is not None]
    if not found:
        raise InvalidValue(f"{circuit} cannot be fitted to this spectrum: no start leads anywhere")
    # the first start keeps the arcs in the order of their frequencies; another must be better to be taken
    values, errors, predicted = min(found, key=lambda one: max(_SAME, round(_residual(one[2], z_ohm), 6)))
    parameters = tuple(_parameter(*row) for row in zip(names, units, values, errors, strict=True))
    return CircuitFit(
        circuit,
        parameters,
        _residual(predicted, z_ohm),
        predicted,
        tuple(_warnings(parameters, float(frequency_hz.max()))),
    )


def _residual(predicted: Complexes, z_ohm: Complexes) -> float:
    return float(np.sqrt(np.mean(np.abs((predicted - z_ohm) / z_ohm) ** 2)))


def _fit(
    frequency_hz: Floats, z_ohm: Complexes, circuit: str, names: Sequence[str], start: Sequence[float]
) -> tuple[Floats, Floats, Complexes] | None:
    """(values, standard errors of the logarithms or exponents, prediction) from one start; None if it goes nowhere."""
    from impedance.models.circuits.fitting import wrapCircuit
    from scipy.optimize import OptimizeWarning, curve_fit

    model = wrapCircuit(circuit, {})
    exponent = np.array([is_exponent(name) for name in names])
    half = len(frequency_hz)

    def values_of(x: Floats) -> Floats:
        return np.asarray(np.where(exponent, x, np.exp(np.where(exponent, 0.0, x))), dtype=np.float64)

    def stacked(f: Floats, *x: float) -> Floats:
        return np.asarray(model(f, *values_of(np.array(x))), dtype=np.float64)

    begin = np.where(exponent, start, np.log(np.maximum(start, 1e-30)))
    low = np.where(exponent, 0.3, begin - _FAR)
    high = np.where(exponent, 1.0, begin + _FAR)
    weight = np.tile(np.abs(z_ohm), 2)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)  # a covariance that cannot be estimated is told as NaN
        try:
            x, covariance = curve_fit(
                stacked,
                frequency_hz,
                np.concatenate([z_ohm.real, z_ohm.imag]),
                p0=np.clip(begin, low, high),
                sigma=weight,
                bounds=(low, high),
                max_nfev=_EVALUATIONS,
            )
        except (RuntimeError, ValueError):
            return None
        predicted = stacked(frequency_hz, *x)
        errors = np.sqrt(np.diag(covariance))
    errors = np.where(np.isfinite(errors), errors, np.nan)
    return values_of(x), errors, np.asarray(predicted[:half] + 1j * predicted[half:], dtype=np.complex128)


def is_exponent(name: str) -> bool:
    """Whether a parameter is the exponent of a constant phase element (or its kin), which lies between 0 and 1."""
    return re.fullmatch(r"(CPE|La)\d+_1|Zarc\d+_2", name) is not None


def _parameter(name: str, unit: str, value: float, error: float) -> Parameter:
    """`error` is that of the logarithm, of an exponent that of itself."""
    if is_exponent(name):
        return Parameter(
            name, unit, float(value), float(error), float(value - _Z95 * error), min(1.0, float(value + _Z95 * error))
        )
    factor = float(np.exp(np.minimum(_Z95 * error, _FAR)))
    return Parameter(name, unit, float(value), float(value * error), float(value / factor), float(value * factor))


def guesses_of(circuit: str, frequency_hz: Floats, z_ohm: Complexes) -> list[list[float]]:
    """Starts from the data: series resistance from the highest frequency; arcs at the peaks of -Z'' and, where there
    are fewer peaks than arcs, spread over the frequencies between; then all of them spread."""
    found = [_guess(circuit, frequency_hz, z_ohm, peaks=True)]
    if len(_arcs(circuit)):
        found.append(_guess(circuit, frequency_hz, z_ohm, peaks=False))
    return found


def _guess(circuit: str, frequency_hz: Floats, z_ohm: Complexes, *, peaks: bool) -> list[float]:
    order = np.argsort(-frequency_hz)
    f, z = frequency_hz[order], z_ohm[order]
    series = max(float(z[0].real), 1e-3)
    span = max(float(z[-1].real) - series, abs(z[-1]) * 0.1, 1e-3)
    arcs = _arcs(circuit)
    seen = _peaks(f, z) if peaks else []
    spread = np.geomspace(f[0], f[-1], len(arcs) + 2)[1:-1]
    places = [seen[n] if n < len(seen) else float(spread[n]) for n in range(len(arcs))]
    places.sort(reverse=True)
    resistance = span / max(len(arcs), 1)
    values: list[float] = []
    for element in re.findall(r"[A-Za-z]+\d+", circuit):
        kind = re.sub(r"\d+", "", element)
        number = next((n for n, arc in enumerate(arcs) if element in arc), None)
        omega = 2 * math.pi * (places[number] if number is not None else float(f[-1]))
        values += {
            "R": [resistance if number is not None else series],
            "C": [1 / (omega * resistance)],
            "L": [series / (2 * math.pi * float(f[0]))],
            "CPE": [1 / (omega * resistance), 0.95],
            "W": [resistance / 2],
            "Wo": [resistance / 2, 1 / (2 * math.pi * float(f[-1]))],
            "Ws": [resistance / 2, 1 / (2 * math.pi * float(f[-1]))],
        }.get(kind, [1.0])
    return values


def _arcs(circuit: str) -> list[list[str]]:
    """The elements of each parallel group, in order."""
    return [re.findall(r"[A-Za-z]+\d+", group) for group in re.findall(r"p\(([^()]*)\)", circuit)]


def _peaks(f: Floats, z: Complexes) -> list[float]:
    """Frequencies of local maxima of -Z'', the highest first."""
    height = -z.imag
    inner = np.flatnonzero((height[1:-1] > height[:-2]) & (height[1:-1] >= height[2:])) + 1
    return [float(f[i]) for i in inner]


def _count(circuit: str) -> int:
    """How many parameters the elements have together; those that the package does not know count as one."""
    sizes = {"CPE": 2, "Wo": 2, "Ws": 2, "La": 2, "G": 2, "Gs": 3, "K": 2, "Zarc": 3, "TLMQ": 3, "T": 4}
    return sum(sizes.get(re.sub(r"\d+", "", element), 1) for element in re.findall(r"[A-Za-z]+\d+", circuit))


def _warnings(parameters: Sequence[Parameter], highest_hz: float) -> list[str]:
    found = []
    values = {p.name: p.value for p in parameters}
    for p in parameters:
        if not math.isfinite(p.sigma):
            found.append(f"{p.name}: its uncertainty cannot be told")
        elif p.sigma > abs(p.value) / 2:
            found.append(f"{p.name} is not known: {p.value:.3g} with a standard error of {p.sigma:.2g}")
    for name, resistance in values.items():
        peak = _peak_hz(name, resistance, values)
        if peak is not None and peak > _ARC_SEEN * highest_hz:
            found.append(
                f"the arc of {name} has its peak at {peak:.3g} Hz, above a third of the highest frequency "
                f"({highest_hz:.3g} Hz): it is not seen whole, and its values lean on the series resistance"
            )
    return found


def _peak_hz(name: str, resistance: float, values: dict[str, float]) -> float | None:
    """Of the arc of R1 with C1 or CPE1; None for what has no arc."""
    match = re.fullmatch(r"R(\d+)", name)
    if match is None or resistance <= 0:
        return None
    number = match[1]
    if (capacitance := values.get(f"C{number}")) is not None and capacitance > 0:
        return 1 / (2 * math.pi * resistance * capacitance)
    q, alpha = values.get(f"CPE{number}_0"), values.get(f"CPE{number}_1")
    if q is not None and alpha is not None and q > 0 and alpha > 0:
        return float((1 / (resistance * q)) ** (1 / alpha) / (2 * math.pi))
    return None
