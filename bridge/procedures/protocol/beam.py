"""What the operator types in for a step with the beam: its settings before it is used, its exposure afterwards.

Settings have the paper's values as defaults, and the limits that protect the electrolyte, held as they are typed.
LiPON is damaged by dose and heat: the paper's limits are currents of at most 2.8 nA for trenches and 0.3 nA for
cleaning, and dwell times of 100 ns (200 ns for the cap) (domain note 1.2). They are refused beyond; what differs from
the paper within the limits is accepted by name.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from bridge.analysis.formatting import si
from drivers.interfaces import Options, option

#: Ion-beam deposition of platinum works at 2 to 6 pA/um2; far above it the beam mills. Outside this it is warned: the
#: paper's own cathode strap has 50 pA/um2 (domain note 1.5).
_DEPOSITION_A_PER_M2 = (1.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamSettings(Options):
    """The ion beam as it is going to be used. The classes for the single steps have that step's values and limits."""

    ion_current_a: float = option(unit="A", help="ion beam current", above=0)
    dwell_s: float = option(unit="s", help="dwell time a pixel", above=0)
    acceleration_v: float = option(unit="V", help="acceleration voltage", above=0)
    x_m: float = option(unit="m", help="length of the pattern", above=0)
    y_m: float = option(unit="m", help="width of the pattern", above=0)
    z_m: float = option(unit="m", help="depth milled, or thickness deposited", above=0)

    @property
    def area_m2(self) -> float:
        return self.x_m * self.y_m

    @property
    def density_a_per_m2(self) -> float:
        return self.ion_current_a / self.area_m2


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamDone(Options):
    """What it has been exposed to in fact. No limit here: what was done is written down, whatever it was."""

    beam_on_s: float = option(unit="s", help="how long the ion beam was on the pattern", at_least=0)
    imaging_ion_c: float = option(
        0.0, unit="C", help="ion charge of imaging for this step (current times time; 1 pA for 10 s: 10 pC)", at_least=0
    )
    imaging_electron_c: float = option(0.0, unit="C", help="electron charge of imaging for this step", at_least=0)


def beam_fields(
    name: str,
    *,
    ion_current_a: float,
    ion_current_at_most_a: float,
    x_m: float,
    y_m: float,
    z_m: float,
    z_range_m: tuple[float, float] | None = None,
    dwell_s: float = 100e-9,
    acceleration_v: float = 30e3,
) -> type[BeamSettings]:
    """A `BeamSettings` with a step's values as defaults, and its limits."""
    low, high = z_range_m or (None, None)
    fields: list[tuple[str, type, Any]] = [
        (
            "ion_current_a",
            float,
            option(
                ion_current_a,
                unit="A",
                help=f"ion beam current; {si(ion_current_a, 'A')} in the paper",
                above=0,
                at_most=ion_current_at_most_a,
            ),
        ),
        (
            "dwell_s",
            float,
            option(
                dwell_s, unit="s", help=f"dwell time a pixel; {si(dwell_s, 's')} in the paper", above=0, at_most=dwell_s
            ),
        ),
        (
            "acceleration_v",
            float,
            option(
                acceleration_v,
                unit="V",
                help="acceleration voltage; 30 kV in the paper",
                above=0,
                at_most=acceleration_v,
            ),
        ),
        ("x_m", float, option(x_m, unit="m", help=f"length of the pattern; {si(x_m, 'm')} in the paper", above=0)),
        ("y_m", float, option(y_m, unit="m", help=f"width of the pattern; {si(y_m, 'm')} in the paper", above=0)),
        (
            "z_m",
            float,
            option(
                z_m,
                unit="m",
                help=f"depth milled, or thickness deposited; {si(z_m, 'm')} in the paper",
                above=None if low is not None else 0,
                at_least=low,
                at_most=high,
            ),
        ),
    ]
    made = dataclasses.make_dataclass(name, fields, bases=(BeamSettings,), frozen=True, slots=True, kw_only=True)
    assert issubclass(made, BeamSettings)
    return made


@dataclass(frozen=True, slots=True)
class Deviation:
    """A value that is not the paper's; `text` says it as a person does."""

    field: str
    paper: float
    used: float
    text: str


def deviations(used: BeamSettings) -> list[Deviation]:
    """What differs from the step's own values (the defaults of its fields)."""
    found = []
    for field in dataclasses.fields(used):
        paper, value = field.default, getattr(used, field.name)
        if not isinstance(paper, float) or value == paper:
            continue
        unit = field.metadata["unit"]
        text = f"{field.name.rpartition('_')[0]} is {si(value, unit)}, {si(paper, unit)} in the paper"
        found.append(Deviation(field.name, paper, value, text))
    return found


def deposition_warning(used: BeamSettings) -> str:
    """Words about a current density at which the beam hardly deposits, or empty."""
    low, high = _DEPOSITION_A_PER_M2
    density = used.density_a_per_m2
    if low <= density <= high:
        return ""
    effect = "the beam mills instead of depositing" if density > high else "deposition takes long"
    return (
        f"{si(used.ion_current_a, 'A')} on {used.area_m2 * 1e12:.3g} um2 is {density:.3g} pA/um2, outside "
        f"{low:g} to {high:g} pA/um2: {effect}"
    )
