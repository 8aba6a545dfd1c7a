"""All detectors over one run."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.analysis.contact_guard import ContactGuard
from drivers.samples import EndReason

from .binning import Binner, stride_of
from .contact import ContactDetector, ContactLimits
from .detector import Array, Detector, Finding, Samples, Situation
from .drift import DriftDetector
from .falling import FallingDetector
from .overload import OverloadDetector
from .partial_short import PartialShortDetector
from .short_at_voltage import ShortAtVoltageDetector
from .short_standing import StandingShortDetector
from .short_sudden import SuddenShortDetector
from .window import WindowDetector

#: Everything that can be found, in the order in which it is told.
KINDS = (
    "short",
    "contact_lost",
    "window",
    "overload",
    "intermittent_contact",
    "partial_short",
    "drift",
    "contact_resistance",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What the detectors are made with; see each. `caution` is that of the shorts; the contact has its own."""

    contact: ContactLimits = field(default_factory=ContactLimits)
    overload_stays_s: float = 10.0
    drift_tolerance: float = 0.2
    leak_share: float = 0.05
    contact_growth: float = 0.5
    caution: float = 1.0


class HealthWatch:
    """Give it a run's techniques one after the other; it tells what it finds."""

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        t = thresholds or Thresholds()
        #: the contact's resistance and noise, followed through the run
        self.contact_guard = ContactGuard(growth=t.contact_growth)
        self._always: list[Detector] = [OverloadDetector(t.overload_stays_s), DriftDetector(t.drift_tolerance)]
        self._of_a_cell: list[Detector] = [
            SuddenShortDetector(t.caution),
            StandingShortDetector(),
            ShortAtVoltageDetector(),
            FallingDetector(t.caution),
            ContactDetector(t.contact),
            WindowDetector(),
            PartialShortDetector(t.leak_share),
            self.contact_guard,
        ]
        self._detectors: list[Detector] = []
        self._situation: Situation | None = None
        self._binner = Binner(1)

    def begin(self, situation: Situation) -> None:
        """A technique starts."""
        self._situation = situation if situation.sampled else None
        self._binner = Binner(stride_of(situation))
        self._detectors = [*self._of_a_cell, *self._always] if situation.cell else self._always
        for detector in self._detectors:
            detector.begin(situation)

    def add(self, time_s: Array, voltage_v: Array, current_a: Array, flags: Array) -> list[Finding]:
        """The technique's next samples, arrays of shape (n,)."""
        return self._give(self._binner.add(time_s, voltage_v, current_a, flags)) if self._situation else []

    def finish(self, end: EndReason | None) -> list[Finding]:
        """The technique has ended."""
        situation = self._situation
        if situation is None:
            return []
        found = self._give(self._binner.rest())
        self._situation = None
        for detector in self._detectors:
            found += detector.finish(end, situation)
        return sorted(found, key=_order)

    def _give(self, samples: Samples) -> list[Finding]:
        if not len(samples) or self._situation is None:
            return []
        found: list[Finding] = []
        for detector in self._detectors:
            found += detector.add(samples, self._situation)
        return sorted(found, key=_order) if len(found) > 1 else found


def _order(finding: Finding) -> tuple[int, float]:
    """The gravest first: it decides what is done."""
    return (0 if finding.severity == "error" else 1), KINDS.index(finding.kind)
