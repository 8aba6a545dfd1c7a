"""Equivalent circuits fitted to spectra, by the `impedance` package."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drivers.errors import InvalidValue

from .spectrum import Spectrum


@dataclass
class Fitter:
    """Raises `InvalidValue` if circuit and guesses do not fit together. `names` are the quantities it gives."""

    circuit: str
    guess: str
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        try:
            self._guesses = [float(part) for part in self.guess.split(",")]
        except ValueError:
            raise InvalidValue(f"fit_guess is {self.guess!r}; accepted: numbers with commas between them") from None
        try:
            parameters, _ = self._circuit().get_param_names()
        except Exception as error:  # the package raises what comes: ValueError, AttributeError, a bare Exception
            raise InvalidValue(
                f"fit_circuit is {self.circuit!r} with {len(self._guesses)} guesses: {error}; accepted: the notation "
                "of impedance.py, such as R0-p(R1,C1)-p(R2,C2), and a guess for each parameter"
            ) from error
        self.names = tuple(f"fit_{name.lower()}" for name in parameters)

    def _circuit(self) -> Any:
        from impedance.models.circuits import CustomCircuit

        return CustomCircuit(self.circuit, initial_guess=self._guesses)

    def fit(self, spectrum: Spectrum) -> dict[str, float]:
        """The parameters, their standard errors as `..._sigma`, `fit_residual` (rms, relative); {} if it fails."""
        if len(spectrum) * 2 <= len(self._guesses):
            return {}
        circuit = self._circuit()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                # x_scale: parameters from nanofarads to kilohms, see bridge/analysis/impedance/circuit.py
                circuit.fit(spectrum.frequency_hz, spectrum.z_ohm, weight_by_modulus=True, x_scale="jac")
            except (RuntimeError, ValueError):
                return {}
            predicted = circuit.predict(spectrum.frequency_hz)
        relative = np.abs((predicted - spectrum.z_ohm) / spectrum.z_ohm)
        found = {"fit_residual": float(np.sqrt(np.mean(relative**2)))}
        sigmas = circuit.conf_ if circuit.conf_ is not None else [np.nan] * len(self.names)
        for name, value, sigma in zip(self.names, circuit.parameters_, sigmas, strict=True):
            found |= {name: float(value), f"{name}_sigma": float(sigma)}
        return found
