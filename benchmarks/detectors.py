"""The health watch's rates: false alarms on healthy samples, delay and misses on faults.

`python -m benchmarks.detectors [--quick]` simulates at least 10^7 healthy samples and 10^4 faults of each kind (cells
of 1 um2 to a sheet cell, 1 pA to 10 nA, both routes' noise), gives them to the real detectors, and writes
`results/detectors.json`, `docs/pictures/detectors.png` and the table in `docs/health-watch.md`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bridge.analysis.health.contact import ContactLimits
from bridge.analysis.health.detector import Finding, Situation
from bridge.analysis.health.watch import HealthWatch, Thresholds
from drivers.techniques import Galvanostatic

from . import detector_cases as cases
from . import detectors_page
from .detector_cases import Case
from .machine import facts
from .results import write

SEED = 20260101
RESULT = Path(__file__).parent / "results" / "detectors.json"
#: Samples a day at 10 samples/s.
PER_DAY = 864_000
#: One-sided 95 % bound of a count of zero is 3.0 (Poisson); others by the chi-squared quantile.
_LEVEL = 0.95
_STOPS = ("short", "contact_lost", "window", "intermittent_contact", "overload")


@dataclass(slots=True)
class Fault:
    """What came of one kind of fault. `delay_s` and `charge_c` one for each detected fault."""

    name: str
    kind: str
    total: int = 0
    missed: int = 0
    invisible: int = 0
    early: int = 0
    delay_s: list[float] = field(default_factory=list)
    charge_c: list[float] = field(default_factory=list)
    groups: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    missed_groups: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        delays, charges = np.array(self.delay_s or [np.nan]), np.array(self.charge_c or [np.nan])
        return {
            "kind": self.kind,
            "faults": self.total,
            "missed": self.missed,
            "invisible": self.invisible,
            "missed_by_group": dict(self.missed_groups),
            "found_before_the_fault": self.early,
            "delay_median_s": float(np.median(delays)),
            "delay_p99_s": float(np.percentile(delays, 99)),
            "charge_median_c": float(np.median(charges)),
            "charge_p99_c": float(np.percentile(charges, 99)),
            "delay_median_s_by_group": {name: float(np.median(values)) for name, values in sorted(self.groups.items())},
        }


def watched(case: Case, thresholds: Thresholds | None = None) -> list[tuple[Finding, float]]:
    """All findings of a case's last step, and when each was made."""
    watch = HealthWatch(thresholds)
    for before in case.before:
        _give(watch, before)
    return _give(watch, case)


def _give(watch: HealthWatch, case: Case) -> list[tuple[Finding, float]]:
    watch.begin(
        Situation(
            technique=case.technique,
            stray_f=cases.STRAY_F,
            area_m2=case.area_m2,
            low_v=cases.LOW_V - 0.2,
            high_v=cases.HIGH_V + 0.1,
        )
    )
    found = watch.add(case.time_s, case.voltage_v, case.current_a, case.flags)
    found += watch.finish(case.end)
    return [(finding, finding.to_s) for finding in found]


def healthy(records: Iterable[Case], thresholds: Thresholds | None = None) -> dict[str, Any]:
    """Samples seen, and false alarms by kind and severity."""
    samples = 0
    alarms: Counter[str] = Counter()
    examples: list[str] = []
    for case in records:
        samples += len(case.time_s) + sum(len(before.time_s) for before in case.before)
        for finding, _ in watched(case, thresholds):
            alarms[f"{finding.kind} {finding.severity}"] += 1
            if len(examples) < 20:
                set_a = getattr(case.technique, "current_a", 0.0)
                examples.append(f"{case.group} {set_a:.3g} A {finding.from_s:.2f} s: {finding.text}")
    return {"samples": samples, "alarms": dict(alarms), "examples": examples}


def bound(count: int) -> float:
    """One-sided 95 % upper bound of a Poisson mean of which `count` were seen."""
    from scipy.stats import chi2

    return float(chi2.ppf(_LEVEL, 2 * (count + 1)) / 2.0)


def faults(
    name: str,
    kinds: tuple[str, ...],
    records: Iterable[Case],
    count: int,
    *,
    severity: str | None = None,
    thresholds: Thresholds | None = None,
) -> Fault:
    """Gives `count` records to the detectors and looks for `kinds`; any alarm before the fault counts as early.

    A short that does not show in the voltage is not among them (`invisible` counts those).
    """
    result = Fault(name, " or ".join(kinds))
    for case in records:
        if result.total >= count:
            break
        if not visible(case):
            result.invisible += 1
            continue
        result.total += 1
        found = watched(case, thresholds)
        fitting = [at for f, at in found if f.kind in kinds and severity in (None, f.severity) and at >= case.fault_s]
        result.early += any(at < case.fault_s for _, at in found)
        if not fitting:
            result.missed += 1
            result.missed_groups[case.group] += 1
            continue
        at = fitting[0]
        result.delay_s.append(at - case.fault_s)
        result.charge_c.append(_charge(case, at))
        result.groups[case.group].append(at - case.fault_s)
    return result


def visible(case: Case) -> bool:
    """Whether a sudden short lets the voltage fall by 15 mV within 10 s, beyond what a discharge does by itself: by the
    leak over the cell's resistance, and by what the cell then loses. One that ends its step within a second by the
    step's own limit, with the source off, is not counted either.
    """
    if case.fault_s == 0.0 or not np.isfinite(case.leak_ohm):
        return True
    before = case.voltage_v[case.time_s <= case.fault_s]
    after = case.voltage_v[(case.time_s > case.fault_s) & (case.time_s <= case.fault_s + 10.0)]
    ends = case.end is not None and case.time_s[-1] < case.fault_s + 1.0  # by its limit, the source off
    if len(before) < 20 or len(after) < 4 or ends:
        return False
    by_itself = max(0.0, float(before[-20] - before[-1])) / 20.0 * len(after)
    return bool(before[-1] - after.min() > 0.015 + 2.0 * by_itself)


def _charge(case: Case, until_s: float) -> float:
    """What has passed since the fault began: the set current, and what the short took."""
    part = (case.time_s > case.fault_s) & (case.time_s <= until_s)
    current = np.abs(case.technique.current_a) if isinstance(case.technique, Galvanostatic) else 0.0
    interval = float(case.time_s[1] - case.time_s[0])
    drawn = np.abs(case.voltage_v[part]) / case.leak_ohm if np.isfinite(case.leak_ohm) else np.zeros(int(part.sum()))
    return float(current * (until_s - case.fault_s) + drawn.sum() * interval)


_Make = Callable[[np.random.Generator], Iterator[Case]]


def _fault_kinds(count: int) -> Iterator[tuple[str, tuple[str, ...], str | None, _Make]]:
    """Name, kinds of the finding that count, their severity, and what makes at least `count` faults."""
    n = count
    lost, short = ("contact_lost",), ("short",)
    yield "contact lost", lost, None, lambda r: cases.openings(r, 2 * n, 400, 0.1, returning=False)
    again = ("intermittent_contact",)
    yield "intermittent contact", again, None, lambda r: cases.openings(r, 2 * n, 200, 0.1, returning=True)
    yield (
        "short in a charge, 20 I and more",
        short,
        None,
        lambda r: cases.sudden_shorts(r, 2 * n, 300, 0.1, leak=(20, 2000), charging=True),
    )
    yield (
        "short in a charge, 3 to 20 I",
        short,
        None,
        lambda r: cases.sudden_shorts(r, 2 * n, 600, 0.1, leak=(3, 20), charging=True),
    )
    yield (
        "short in a discharge",
        ("short", "contact_lost"),
        None,
        lambda r: cases.sudden_shorts(r, 5 * n, 300, 0.1, leak=(100, 2000), charging=False),
    )
    yield "short from the start", short, None, lambda r: cases.born_shorts(r, n, 1200, 0.1)
    yield "leak in a rest", ("partial_short",), None, lambda r: cases.rests(r, n, 700, 1.0, leaking=True)
    yield "overload", ("overload",), "warning", lambda r: cases.overloads(r, 2 * n, 200, 0.1)
    yield "overload that stays", ("overload",), "error", lambda r: cases.overloads(r, 2 * n, 400, 0.1)
    yield "drift of the source", ("drift",), None, lambda r: cases.drifts(r, 3 * n, 900, 1.0)
    yield "voltage beyond the window", ("window",), None, lambda r: cases.beyond_window(r, n, 200, 0.1)


def sweep(quick: bool) -> list[dict[str, Any]]:
    """Delay, misses and false alarms with all thresholds scaled: what they could be traded for."""
    points = []
    steps, count = (10, 50) if quick else (60, 600)
    for caution in (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0, 1.6, 2.5):
        thresholds = Thresholds(caution=caution, contact=ContactLimits(caution=caution))
        quiet = healthy(cases.healthy_steps(np.random.default_rng(SEED + 1), steps, 9000, 0.1), thresholds)
        rng = np.random.default_rng(SEED + 2)
        comes = cases.openings(rng, 2 * count, 200, 0.1, returning=True)
        opened = faults("", ("intermittent_contact",), comes, count, thresholds=thresholds)
        comes = cases.sudden_shorts(rng, 2 * count, 600, 0.1, leak=(3, 200), charging=True)
        shorted = faults("", ("short",), comes, count, thresholds=thresholds)
        alarms = quiet["alarms"]
        points.append(
            {
                "caution": caution,
                "samples": quiet["samples"],
                "contact_alarms": sum(n for name, n in alarms.items() if "contact" in name),
                "short_alarms": sum(n for name, n in alarms.items() if name.startswith(("short", "partial"))),
                "contact_missed": opened.missed / opened.total,
                "short_missed": shorted.missed / shorted.total,
                "contact_delay_s": float(np.median(opened.delay_s)),
                "short_delay_s": float(np.median(shorted.delay_s)),
                "short_charge_c": float(np.median(shorted.charge_c)),
            }
        )
        print(f"  caution {caution:g}: {points[-1]}", flush=True)
    return points


def run(quick: bool) -> dict[str, Any]:
    """All figures."""
    steps, count = (60, 200) if quick else (2200, 10_000)
    began = time.perf_counter()
    quiet = {
        "steps at 10 samples/s": healthy(cases.healthy_steps(np.random.default_rng(SEED), 5 * steps, 9000, 0.1)),
        "steps at 1 sample/s": healthy(cases.healthy_steps(np.random.default_rng(SEED + 3), steps // 2, 2000, 1.0)),
        "steps at 50 samples/s": healthy(cases.healthy_steps(np.random.default_rng(SEED + 4), steps // 8, 6000, 0.02)),
        "rests": healthy(cases.rests(np.random.default_rng(SEED + 5), steps, 1300, 1.0, leaking=False)),
    }
    for name, result in quiet.items():
        print(f"{name}: {result['samples']} samples, {result['alarms']}", *result["examples"], sep="\n  ", flush=True)
    found = {}
    for name, kinds, severity, make in _fault_kinds(count):
        outcome = faults(name, kinds, make(np.random.default_rng(SEED + 6)), count, severity=severity)
        found[name] = outcome.to_dict()
        print(f"{name}: {found[name]}", flush=True)
    return {
        "healthy": quiet,
        "faults": found,
        "sweep": sweep(quick),
        "rates": rates(quiet),
        "seconds": time.perf_counter() - began,
    }


def rates(quiet: dict[str, Any]) -> dict[str, Any]:
    """False alarms per 10^7 samples and per day at 10 samples/s, with their bounds, by kind and severity."""
    samples = sum(result["samples"] for result in quiet.values())
    counts: Counter[str] = Counter()
    for result in quiet.values():
        counts.update(result["alarms"])
    names = [f"{kind} {severity}" for kind in _STOPS for severity in ("error",)]
    names += ["intermittent_contact warning", "partial_short warning", "overload warning", "drift warning"]
    return {
        name: {
            "seen": counts[name],
            "samples": samples,
            "per_1e7": counts[name] / samples * 1e7,
            "per_1e7_bound": bound(counts[name]) / samples * 1e7,
            "per_day_bound": bound(counts[name]) / samples * PER_DAY,
        }
        for name in names
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detectors", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short version; writes nothing")
    parser.add_argument("--page", action="store_true", help="picture and table again, from the figures there are")
    args = parser.parse_args()
    if args.page:
        result = json.loads(RESULT.read_text())["result"]
        detectors_page.draw(result)
        detectors_page.update(result)
        return
    machine = facts()
    result = run(args.quick)
    if not args.quick:
        write("detectors", False, machine, result, [])
        detectors_page.draw(result)
        detectors_page.update(result)


if __name__ == "__main__":
    main()
