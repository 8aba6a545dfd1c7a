"""The cell's history: beam exposure added up, time in air, and its area as it was cut."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from bridge.analysis.geometry import effective_area_m2

from .beam import BeamDone, BeamSettings


@dataclass(frozen=True, slots=True)
class Exposure:
    """One entry: charge in coulombs, dose in C/m2 of the pattern (None for imaging: the field is not known)."""

    step: str
    at_ns: int
    beam: str
    charge_c: float
    dose_c_per_m2: float | None


@dataclass(slots=True)
class Ledger:
    """Every beam use, in order; times in air in seconds."""

    exposures: list[Exposure] = field(default_factory=list)
    air_s: float = 0.0

    def add(self, step: str, at_ns: int, settings: BeamSettings, done: BeamDone) -> None:
        charge = settings.ion_current_a * done.beam_on_s
        if charge:
            self.exposures.append(Exposure(step, at_ns, "ion, pattern", charge, charge / settings.area_m2))
        if done.imaging_ion_c:
            self.exposures.append(Exposure(step, at_ns, "ion, imaging", done.imaging_ion_c, None))
        if done.imaging_electron_c:
            self.exposures.append(Exposure(step, at_ns, "electron, imaging", done.imaging_electron_c, None))

    def charge_c(self, beam: str) -> float:
        """Of all entries whose beam begins so ("ion", "electron")."""
        return sum(entry.charge_c for entry in self.exposures if entry.beam.startswith(beam))

    def to_dict(self) -> dict[str, Any]:
        return {
            "exposures": [asdict(entry) for entry in self.exposures],
            "ion_charge_c": self.charge_c("ion"),
            "electron_charge_c": self.charge_c("electron"),
            "air_s": self.air_s,
        }

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Ledger:
        return Ledger([Exposure(**entry) for entry in values["exposures"]], values["air_s"])


@dataclass(frozen=True, slots=True)
class CrossSection:
    """The cell as it was last cut. `damage_depth_m` is dead on each side: up to 25 nm at 30 kV (domain note 1.1)."""

    at_ns: int
    length_m: float
    width_m: float
    damage_depth_m: float
    why: str

    @property
    def area_m2(self) -> float:
        return effective_area_m2(self.length_m, self.width_m, self.damage_depth_m)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "area_m2": self.area_m2}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> CrossSection:
        return CrossSection(**{name: value for name, value in values.items() if name != "area_m2"})
