"""Equivalent circuits fitted by the `impedance` package, with confidence intervals and what speaks against them.

Least squares weighted by 1/|Z| (`CustomCircuit.fit(weight_by_modulus=True)`). The package leaves the parameters, from
femtofarads to gigaohms, unscaled: on perfect data of a LiPON cell it then stops at R0 = 56 Ohm instead of 5 (the domain
note's trial, section 6, has 44). With `x_scale="jac"`, which it hands on to scipy, it gets to 5.8.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drivers.errors import InvalidValue

from .kramers_kronig import Complexes, Floats

#: Series resistance, two arcs, diffusion: a thin-film cell.
DEFAULT_CIRCUIT = "R0-p(R1,CPE1)-p(R2,CPE2)-W1"

#: An arc whose peak lies above this share of the highest frequency is not seen whole.
_ARC_SEEN = 1 / 3

#: Two-sided 95 % of a normal distribution.
_Z95 = 1.96


@dataclass(frozen=True, slots=True)
class Parameter:
    """`low` and `high` are the 95 % interval; NaN where the fit does not tell. Ohm, F, s and what else `unit` says."""

    name: str
    unit: str
    value: float
    sigma: float

    @property
    def low(self) -> float:
        return self.value - _Z95 * self.sigma

    @property
    def high(self) -> float:
        return self.value + _Z95 * self.sigma


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

    count = _count(circuit)
    guesses = [1.0] * count if guess is None else list(guess)
    try:
        names, units = CustomCircuit(circuit, initial_guess=guesses).get_param_names()
    except Exception as error:  # the package raises what comes: ValueError, AttributeError, a bare Exception
        raise InvalidValue(
            f"circuit is {circuit!r} with {len(guesses)} guesses: {error}; accepted: the notation of impedance.py, "
            f"such as {DEFAULT_CIRCUIT}, and a guess for each of its parameters"
        ) from error
    return list(names), list(units)


def fit_circuit(
    frequency_hz: Floats, z_ohm: Complexes, circuit: str = DEFAULT_CIRCUIT, guess: Sequence[float] | None = None
) -> CircuitFit:
    """Fit; guesses come from the data unless given. Takes about half a second: use a thread.

    Raises `InvalidValue` where circuit and guess do not fit together, or there are fewer data than parameters.
    """
    from impedance.models.circuits import CustomCircuit

    start = list(guess) if guess is not None else guess_of(circuit, frequency_hz, z_ohm)
    names, units = parse_circuit(circuit, start)
    if 2 * len(frequency_hz) <= len(names):
        raise InvalidValue(f"{len(frequency_hz)} points cannot tell {len(names)} parameters of {circuit}")
    model: Any = CustomCircuit(circuit, initial_guess=start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a covariance that cannot be estimated is told below
        try:
            model.fit(frequency_hz, z_ohm, weight_by_modulus=True, x_scale="jac")
        except (RuntimeError, ValueError) as error:
            raise InvalidValue(f"{circuit} cannot be fitted to this spectrum: {error}") from error
        predicted = np.asarray(model.predict(frequency_hz), dtype=np.complex128)
    relative = np.abs((predicted - z_ohm) / z_ohm)
    sigmas = model.conf_ if model.conf_ is not None else [math.nan] * len(names)
    parameters = tuple(
        Parameter(name, unit, float(value), float(sigma))
        for name, unit, value, sigma in zip(names, units, model.parameters_, sigmas, strict=True)
    )
    return CircuitFit(
        circuit,
        parameters,
        float(np.sqrt(np.mean(relative**2))),
        predicted,
        tuple(_warnings(parameters, float(frequency_hz.max()))),
    )


def guess_of(circuit: str, frequency_hz: Floats, z_ohm: Complexes) -> list[float]:
    """A start from the data: series resistance from the highest frequency, arcs at the peaks of -Z'' and, where there
    are fewer peaks than arcs, spread over the frequencies between."""
    order = np.argsort(-frequency_hz)
    f, z = frequency_hz[order], z_ohm[order]
    series = max(float(z[0].real), 1e-3)
    span = max(float(z[-1].real) - series, abs(z[-1]) * 0.1, 1e-3)
    arcs = _arcs(circuit)
    peaks = _peaks(f, z)
    spread = np.geomspace(f[0], f[-1], len(arcs) + 2)[1:-1]
    places = [peaks[n] if n < len(peaks) else float(spread[n]) for n in range(len(arcs))]
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
