"""Records as the world of the mocks gives them, and the watch over them."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.analysis.health.detector import Finding, Situation
from bridge.analysis.health.watch import HealthWatch, Thresholds
from drivers.samples import EndReason, Flag
from drivers.techniques import Galvanostatic, Technique
from mocks.world import CurrentDrive, World

NS = 1_000_000_000
Record = tuple[np.ndarray[Any, Any], ...]


def charged(world: World, current_a: float, seconds: float, interval_s: float = 0.1) -> tuple[Record, EndReason | None]:
    """Time, voltage, current and flags of a galvanostatic step, until the window's end."""
    world.tip.touch()
    world.wiring.set_relay(3, True)
    terminals = world.terminals("smu")
    terminals.set_drive(0, CurrentDrive(current_a, 10.0))
    rows, flags, end = [], [], None
    integration = round(min(0.1, interval_s) * NS)
    for k in range(1, round(seconds / interval_s) + 1):
        now = round(k * interval_s * NS)
        seen = terminals.measure(now - integration, integration)
        rows.append((k * interval_s, seen.voltage_v, seen.current_a))
        flags.append(int(Flag.COMPLIANCE if seen.compliance else Flag.NONE))
        if current_a > 0 and seen.voltage_v >= 4.2:
            end = EndReason.VOLTAGE_MAX
            break
        if current_a < 0 and seen.voltage_v <= 2.0:
            end = EndReason.VOLTAGE_MIN
            break
    time, voltage, current = np.array(rows).T
    return (time, voltage, current, np.array(flags, np.uint32)), end


def step(current_a: float, interval_s: float = 0.1) -> Galvanostatic:
    return Galvanostatic(
        current_a=current_a, duration_s=1e4, interval_s=interval_s, voltage_min_v=2.0, voltage_max_v=4.2
    )


def watched(
    record: Record,
    technique: Technique,
    *,
    area_m2: float | None = 1e-11,
    end: EndReason | None = None,
    cuts: tuple[int, ...] = (),
    watch: HealthWatch | None = None,
    thresholds: Thresholds | None = None,
) -> list[Finding]:
    """What the watch finds in a record that is cut into blocks of `cuts` samples, in turn (whole if there are none)."""
    watch = watch or HealthWatch(thresholds)
    watch.begin(Situation(technique=technique, area_m2=area_m2, low_v=1.8, high_v=4.3))
    found: list[Finding] = []
    at, turn = 0, 0
    while at < len(record[0]):
        stop = at + (cuts[turn % len(cuts)] if cuts else len(record[0]))
        found += watch.add(*(column[at:stop] for column in record))
        at, turn = stop, turn + 1
    return found + watch.finish(end)
