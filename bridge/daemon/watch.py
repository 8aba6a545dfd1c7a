"""The health watch of one run: blocks in, findings out, and what is to be done about them."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from bridge.analysis.health.detector import Finding, Situation
from bridge.analysis.health.watch import HealthWatch
from drivers.errors import HealthStop
from drivers.interfaces import PotentiostatCapabilities
from drivers.samples import Array, SampleBlock
from drivers.techniques import Galvanostatic, Technique

from .watch_options import WatchOptions

#: So many findings are kept for the result; more are counted only.
KEPT = 1000
#: The hard window is so far beyond the schedule's own (domain note, 1.1: 1.8 and 4.3 V for 2.0 and 4.2 V).
_BELOW_V, _ABOVE_V = 0.2, 0.1
#: Procedures that put a current through something that is no cell, that touch and leave it on purpose, or that are
#: there to find the shorted ones.
WITHOUT_CELL = frozenset(
    {"noise-test", "noise-survey", "current-check", "make-contact", "approach", "short-test", "sheet-map", "open-lead"}
)


class RunWatch:
    """`tell` publishes a finding (of a run that goes on, or of one that has been stopped). `pause` asks for a pause and
    says whether there will be one. `parameters` are the procedure's: area, window and lead are taken from there.
    """

    def __init__(
        self,
        options: WatchOptions,
        procedure: str,
        parameters: Mapping[str, Any],
        tell: Callable[[Mapping[str, Any]], None],
        pause: Callable[[], bool],
    ) -> None:
        self._options = options
        self._procedure = procedure
        self._parameters = parameters
        self._tell = tell
        self._pause = pause
        self._watches: dict[str, HealthWatch] = {}
        self._counts: Counter[str] = Counter()
        #: all findings so far, as JSON values, the oldest first
        self.findings: list[dict[str, Any]] = []

    def describe_sample(self, known: Mapping[str, float]) -> None:
        """What the procedure knows of the sample beside its parameters; counts from the next technique on."""
        self._parameters = {**self._parameters, **known}

    @contextmanager
    def part(self, procedure: str, parameters: Mapping[str, Any]) -> Iterator[None]:
        """While another procedure is a part of this run, what that one is counts."""
        before = self._procedure, self._parameters
        self._procedure, self._parameters = procedure, parameters
        try:
            yield
        finally:
            self._procedure, self._parameters = before

    def begin(self, device: str, technique: Technique, capabilities: PotentiostatCapabilities) -> None:
        """A technique starts on a device."""
        watch = self._watches.get(device)
        if watch is None:
            watch = self._watches[device] = HealthWatch(self._options.thresholds)
        watch.begin(self._situation(technique, capabilities))

    def add(self, device: str, block: SampleBlock) -> HealthStop | None:
        """The next block. Returns what to raise if the run is to end by it, to be told with `stopped` afterwards."""
        watch = self._watches[device]
        found = []
        if len(block) and "voltage_v" in block.data:
            found = watch.add(*_timed(block))
        if block.end is not None:
            found += watch.finish(block.end)
        for finding in found:
            reaction = self._options.reaction(finding)
            if reaction == "off":
                continue
            entry = {"device": device, "time_ns": block.start_time_ns + round(finding.to_s * 1e9), **finding.to_dict()}
            if reaction == "stop" or (reaction == "pause" and not self._pause()):
                self._keep({**entry, "reaction": "stop"}, finding)
                return HealthStop(
                    finding.text,
                    device=device,
                    operation="health watch",
                    hint=finding.action,
                    finding=self.findings[-1],
                )
            self._keep({**entry, "reaction": reaction}, finding)
            self._tell(self.findings[-1])
        return None

    def stopped(self, stop: HealthStop, command_s: float, off_s: float) -> None:
        """The source is off: `command_s` after the sample came it was told to, `off_s` after it that was proven."""
        finding = stop.detail["finding"]
        timed = {**finding, "source_off_command_s": command_s, "source_off_proven_s": off_s}
        stop.detail["finding"] = timed
        for at, kept in enumerate(self.findings):
            if kept is finding:
                self.findings[at] = timed
        self._tell(timed)

    def describe(self) -> dict[str, Any]:
        """For the run's state."""
        return {
            "enabled": self._options.enabled,
            "counts": dict(self._counts),
            "last": self.findings[-1] if self.findings else None,
            "contact": {device: watch.contact_guard.values for device, watch in self._watches.items()},
        }

    def _keep(self, entry: dict[str, Any], finding: Finding) -> None:
        self._counts[finding.kind] += 1
        if len(self.findings) >= KEPT:
            del self.findings[KEPT // 2]
        self.findings.append(entry)

    def _situation(self, technique: Technique, capabilities: PotentiostatCapabilities) -> Situation:
        options = self._options
        lowest = self._known("voltage_min_v", getattr(technique, "voltage_min_v", None))
        highest = self._known("voltage_max_v", getattr(technique, "voltage_max_v", None))
        low, high = options.window_low_v, options.window_high_v
        return Situation(
            technique=technique,
            stray_f=self._known("stray_f", None) or options.stray_f,
            area_m2=self._known("area_m2", options.area_m2),
            low_v=low if low is not None else self._known("hard_min_v", None if lowest is None else lowest - _BELOW_V),
            high_v=high
            if high is not None
            else self._known("hard_max_v", None if highest is None else highest + _ABOVE_V),
            planned_c=options.planned_c,
            settle_s=_settling(technique, capabilities),
            cell=self._is_cell(technique),
        )

    def _known(self, name: str, otherwise: float | None) -> float | None:
        value = self._parameters.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise

    def _is_cell(self, technique: Technique) -> bool:
        if self._options.cell != "auto":
            return self._options.cell == "yes"
        if self._procedure in WITHOUT_CELL:
            return False
        if isinstance(technique, Galvanostatic):
            limits = (technique.voltage_min_v, technique.voltage_max_v, self._known("area_m2", self._options.area_m2))
            said = (*limits, self._known("voltage_min_v", None), self._known("voltage_max_v", None))
            return any(value is not None for value in said)
        return True


def _timed(block: SampleBlock) -> list[Array]:
    """Time, voltage, current and flags; a sample of which not even the time arrived cannot be judged."""
    columns = [block["time_s"], block["voltage_v"], block["current_a"], block["flags"]]
    if len(block) == 1 and math.isfinite(columns[0][0]):  # the usual case, where each microsecond counts
        return columns
    timed = np.isfinite(columns[0])
    return columns if timed.all() else [column[timed] for column in columns]


def _settling(technique: Technique, capabilities: PotentiostatCapabilities) -> float:
    """Settling of the smallest range that holds the set current; 0 where it is not known."""
    set_a = abs(technique.current_a) if isinstance(technique, Galvanostatic) else 0.0
    fitting = [r for r in capabilities.current_ranges if r.full_scale_a >= set_a > 0.0]
    return min(fitting, key=lambda r: r.full_scale_a).settling_s if fitting else 0.0


def now_s() -> float:
    """The clock by which reactions are measured: real seconds, whatever a simulated instrument's time does."""
    return time.perf_counter()
