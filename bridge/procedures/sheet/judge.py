"""Which bin a cell is in, whether it is near a limit, and when enough has gone wrong to stop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.analysis.sheet.bins import Bin, Bins
from bridge.analysis.sheet.limits import Limits
from bridge.analysis.sheet.positions import Place, name_of

from .parameters import SheetMap
from .records import Record

#: quantities that the voltage alone gives
OF_VOLTAGE = frozenset({"ocv_v", "ocv_std_v", "ocv_drop_v"})


class Judge:
    """`limits` may lack those that the pilot cells are to give; nothing is judged before they are there."""

    def __init__(self, bins: Bins, limits: Limits, parameters: SheetMap, fitted: Iterable[str] = ()) -> None:
        self.bins = bins
        self._parameters = parameters
        self.fitted = tuple(fitted)
        self.limits = limits

    @property
    def limits(self) -> Limits:
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self._numbers = limits.values()

    @property
    def ready(self) -> bool:
        return not self._limits.missing

    @property
    def names(self) -> frozenset[str]:
        """Quantities that the rules, the limits or the recipes are about."""
        return frozenset({*self.bins.names, *self._limits.limits, *self._limits.recipes})

    def bin_of(self, values: Mapping[str, float], visit: int) -> Bin:
        return self.bins.classify({**self._numbers, **values, "visits": float(visit)})

    def is_odd(self, values: Mapping[str, float]) -> bool:
        """Whether the voltage alone is outside its limits, or there is none."""
        if not math.isfinite(values.get("ocv_v", math.nan)):
            return True
        return any(
            not limit.low <= values[name] <= limit.high
            for name, limit in self._limits.limits.items()
            if name in OF_VOLTAGE and name in values
        )

    def is_near(self, values: Mapping[str, float]) -> bool:
        """Whether a value lies within the margin of one of its limits, on either side."""
        margin = self._parameters.margin
        for name, limit in self._limits.limits.items():
            value = values.get(name, math.nan)
            both = math.isfinite(limit.low) and math.isfinite(limit.high)
            for end in (limit.low, limit.high):
                width = limit.high - limit.low if both else abs(end)
                if math.isfinite(end) and abs(value - end) <= margin * width:
                    return True
        return False


@dataclass(slots=True)
class StopRules:
    """Failures that go on: at one site, or from cell to cell along the web. `reason` says which, with the evidence."""

    site_after: int
    streak_after: int
    reason: dict[str, Any] | None = None
    _sites: dict[int, list[Place]] = field(default_factory=dict)
    _tested: dict[int, int] = field(default_factory=dict)
    _failed: dict[int, int] = field(default_factory=dict)
    _failing: set[Place] = field(default_factory=set)

    def take(self, record: Record, failed: bool) -> None:
        """A finished record, in order."""
        site = record.site
        self._tested[site] = self._tested.get(site, 0) + 1
        self._failed[site] = self._failed.get(site, 0) + failed
        if not failed:
            self._sites[site] = []
            self._failing.discard(record.place)
            return
        row = self._sites.setdefault(site, [])
        row.append(record.place)
        self._failing.add(record.place)
        if self.reason is not None:
            return
        if self.site_after and len(row) >= self.site_after and self._is_the_sites_own(site):
            others = sum(n for s, n in self._tested.items() if s != site)
            failures = sum(n for s, n in self._failed.items() if s != site)
            self.reason = {
                "rule": "site",
                "site": site,
                "text": f"site {site} has failed {len(row)} times in a row, at {', '.join(map(name_of, row[-10:]))}; "
                + (f"{failures} of {others} at the other sites" if others else "there is no other site to compare"),
                "cells": [list(place) for place in row],
            }
        elif self.streak_after and (run := self._run_through(record.place)) >= self.streak_after:
            self.reason = {
                "rule": "streak",
                "row": record.row,
                "text": f"{run} cells in a row have failed along the web, at row {record.row}, column {record.column}",
                "cells": [list(place) for place in sorted(self._failing) if place[0] == record.row],
            }

    def forget(self) -> None:
        """Go on from here: what has been seen to is not held against what comes."""
        self.reason = None
        self._sites.clear()
        self._failing.clear()

    def _is_the_sites_own(self, site: int) -> bool:
        """A site fails by itself if the others fail less than half the time."""
        others = sum(n for s, n in self._tested.items() if s != site)
        failures = sum(n for s, n in self._failed.items() if s != site)
        return not others or failures < 0.5 * others

    def _run_through(self, place: Place) -> int:
        """How many failing cells lie side by side in a row, this one among them."""
        row, column = place
        first, last = column, column
        while (row, first - 1) in self._failing:
            first -= 1
        while (row, last + 1) in self._failing:
            last += 1
        return last - first + 1
