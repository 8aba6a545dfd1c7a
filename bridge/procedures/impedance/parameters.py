"""What an impedance spectrum is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass

from bridge.analysis.impedance.circuit import DEFAULT_CIRCUIT
from bridge.analysis.impedance.lead import DEFAULT_ERROR, OpenLead
from drivers.errors import InvalidValue
from drivers.interfaces import Options, option

#: 1 m of coax (domain note 2.3).
STRAY_F = 100e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOptions(Options):
    """How the frequencies are gone through."""

    frequency_max_hz: float = option(
        100e3, unit="Hz", above=0.0, help="highest frequency; a sweep by the host begins where set points can make one"
    )
    frequency_min_hz: float = option(0.1, unit="Hz", above=0.0, help="lowest frequency; it takes most of the time")
    points_per_decade: int = option(10, at_least=1, at_most=100, help="points a decade, both ends included")
    amplitude_v: float = option(0.010, unit="V", above=0.0, at_most=0.5, help="excitation, rms, of the cell's voltage")
    mode: str = option(
        "auto",
        help="the device's own generator, or set points by the host where it has none",
        choices=("auto", "device", "host"),
    )
    control: str = option(
        "current",
        help="what the host's set points are: currents leave the cell at rest",
        choices=("current", "voltage"),
    )
    periods: int = option(2, at_least=1, at_most=100, help="by the host: whole periods that are fitted")
    settle_periods: int = option(
        1, at_least=0, at_most=100, help="by the host: periods before them, in which it settles"
    )
    step_s: float = option(
        0.1, unit="s", above=0.0, help="by the host: shortest time of a set point; 0.1 s averages both mains out"
    )
    current_max_a: float | None = option(
        None, unit="A", above=0.0, help="by the host: no larger peak current than this; by the amplitude unless given"
    )
    ocv_s: float = option(2.0, unit="s", above=0.0, help="open circuit before and after, for the bias and its change")
    route: str = option("", help="route of the feedthrough to select first; none unless given")

    def __post_init__(self) -> None:
        if self.frequency_min_hz > self.frequency_max_hz:
            raise InvalidValue(
                f"frequency_min_hz is {self.frequency_min_hz:g} Hz, above frequency_max_hz, "
                f"{self.frequency_max_hz:g} Hz"
            )
        if self.ocv_s < 0.3:
            raise InvalidValue(f"ocv_s is {self.ocv_s:g} s; accepted: at least 0.3 s, three samples")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureImpedance(SweepOptions):
    """Parameters of a spectrum."""

    bias_v: float | None = option(
        None, unit="V", help="bias; the open-circuit voltage just before unless given. 0 V would short a charged cell"
    )
    repeats: int = option(1, at_least=1, at_most=20, help="spectra one after the other; their scatter is the error")
    linearity: bool = option(True, help="measure the lowest frequency once more at half the amplitude")
    noise_a: float | None = option(
        None,
        unit="A",
        above=0.0,
        help="noise of the current, rms, by the noise test; to see that the signal is 50 times it",
    )
    area_m2: float | None = option(None, unit="m**2", above=0.0, help="active area, such as 10 um2, for R times area")
    circuit: str = option(DEFAULT_CIRCUIT, help="equivalent circuit, as impedance.py writes it; empty: none is fitted")
    guess: str = option(
        "", help="first guesses of its parameters, such as '5, 750, 1e-9, 0.9'; from the data unless given"
    )
    open_lead: str = option(
        "", file=True, help="result.json of an open-lead run through the same route: it is taken off the spectrum"
    )
    lead_f: float | None = option(
        None, unit="F", above=0.0, help="the lead's capacitance, if it is known otherwise: it is taken off the spectrum"
    )
    measure_open_lead: bool = option(False, help="measure the open lead first; the operator lifts the tip")
    stray_f: float = option(
        STRAY_F,
        unit="F",
        at_least=0.0,
        help="what the lead is taken to have where nothing is known of it; not taken off",
    )

    def __post_init__(self) -> None:
        SweepOptions.__post_init__(self)
        given = [
            name
            for name, value in (
                ("open_lead", self.open_lead),
                ("lead_f", self.lead_f),
                ("measure_open_lead", self.measure_open_lead),
            )
            if value
        ]
        if len(given) > 1:
            raise InvalidValue(f"{' and '.join(given)} are given; one way to know the lead is accepted")
        if self.guess and not self.circuit:
            raise InvalidValue("guess is given without a circuit")
        _ = self.guesses, self.known_lead

    @property
    def guesses(self) -> list[float] | None:
        if not self.guess:
            return None
        try:
            return [float(part) for part in self.guess.split(",")]
        except ValueError:
            raise InvalidValue(f"guess is {self.guess!r}; accepted: numbers with commas between them") from None

    @property
    def known_lead(self) -> tuple[OpenLead, str] | None:
        """The lead and how it is known. Raises `InvalidValue` for a file that is no open-lead result."""
        if self.lead_f is not None:
            return OpenLead(self.lead_f, error=DEFAULT_ERROR), "given"
        return (lead_from_text(self.open_lead), "measured in an earlier run") if self.open_lead else None


def lead_from_text(text: str) -> OpenLead:
    """Out of the text of a result file. Raises `InvalidValue`."""
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise TypeError
        result = found.get("result", found)
        lead = result.get("open_lead") or result
        return OpenLead(float(lead["capacitance_f"]), float(lead["conductance_s"]), float(lead["error"]))
    except (ValueError, LookupError, TypeError):
        raise InvalidValue(
            f"open_lead is {text[:60]!r}...: accepted: the result.json of an open-lead run",
            hint="On the command line, name the file; a client sends its text.",
        ) from None
