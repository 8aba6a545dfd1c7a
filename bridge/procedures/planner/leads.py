"""What a lead costs: the least current that is stable through it, and the noise that it picks up.

Floors are the seed's (domain note 1.1: 1 pA +- 0.1 pA through the shielded feedthrough, 10 pA +- 1 pA through the
unshielded manipulator). Noise is the note's model at averages of one second (7.3), a proposal there: what a noise test
on one's own microscope has found goes before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from drivers.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Lead:
    """One of the two leads of the cell. Noise figures are standard deviations of averages of one second."""

    name: str
    floor_a: float
    white_a: float
    flicker_a: float
    offset_a: float

    @property
    def noise_a(self) -> float:
        """Standard deviation of an average of one second."""
        return float((self.white_a**2 + self.flicker_a**2) ** 0.5)


LEADS: Mapping[str, Lead] = MappingProxyType(
    {
        lead.name: lead
        for lead in (
            Lead("feedthrough", 1e-12, 0.05e-12, 0.01e-12, 0.02e-12),
            Lead("stage-ground", 1e-12, 0.05e-12, 0.01e-12, 0.02e-12),
            Lead("shielded-tip", 1e-12, 0.05e-12, 0.01e-12, 0.02e-12),
            Lead("manipulator", 10e-12, 0.6e-12, 0.2e-12, 0.3e-12),
        )
    }
)


def worst(names: Sequence[str]) -> Lead:
    """The lead that decides: the one with the highest floor. Raises `InvalidValue` naming the leads there are."""
    for name in names:
        if name not in LEADS:
            raise InvalidValue(f"leads has {name!r}; accepted: {', '.join(LEADS)}, joined by commas")
    if not names:
        raise InvalidValue(f"leads is empty; accepted: {', '.join(LEADS)}, joined by commas")
    return max((LEADS[name] for name in names), key=lambda lead: lead.floor_a)
