"""What the soak found, in figures: a table for people, JSON for programs, and the bounds of memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import linear_regression, mean, median
from typing import Any

from bridge.daemon.ended_runs import KEPT

from .account import Row
from .judge import counted
from .service import Life
from .soak import DAY_S, Options, Outcome

#: A process has loaded what it loads, and its queues have been full once, after so long (real seconds).
WARM_UP_S = 20.0
#: A life is judged from when it keeps as many ended runs as it ever does, if it lasts so long from then on.
JUDGED_S = 120.0
#: The line through the memory of that time rises by so much at most; descriptors and threads (medians of its first
#: and its last fifth) by so many.
RISE, MORE_DESCRIPTORS, MORE_THREADS = 0.02, 2, 2


@dataclass(frozen=True, slots=True)
class Use:
    """Of one life of the daemon after it was warm: least squares over the marks. Slopes are per simulated day.

    `judged` says that it is about the time after as many runs had ended as are kept; `rise` is that of the line.
    """

    seconds: float
    judged: bool
    runs: int
    rise: float
    first_mb: float
    last_mb: float
    peak_mb: float
    slope_mb_a_day: float
    descriptors: tuple[int, int]
    more_descriptors: float
    threads: tuple[int, int]
    more_threads: float
    cpu_share: float
    ended: str


def use_of(life: Life, options: Options) -> Use | None:
    warm = [mark for mark in life.marks if mark.at_s - life.began_s > WARM_UP_S]
    full = [mark for mark in warm if mark.runs > KEPT]
    judged = bool(full) and full[-1].at_s - full[0].at_s > JUDGED_S
    if judged:
        warm = full
    if len(warm) < 10:
        return None
    fifth = max(1, len(warm) // 5)
    first, last = warm[:fifth], warm[-fifth:]
    line = linear_regression([mark.at_s for mark in warm], [mark.rss_bytes / 1e6 for mark in warm])
    return Use(
        seconds=round(life.marks[-1].at_s - life.began_s, 1),
        judged=judged,
        runs=warm[-1].runs,
        rise=line.slope * (warm[-1].at_s - warm[0].at_s) / (line.intercept + line.slope * warm[0].at_s),
        first_mb=mean(mark.rss_bytes for mark in first) / 1e6,
        last_mb=mean(mark.rss_bytes for mark in last) / 1e6,
        peak_mb=max(mark.rss_bytes for mark in life.marks) / 1e6,
        slope_mb_a_day=line.slope * DAY_S / options.speed,
        descriptors=_range([mark.descriptors for mark in warm]),
        more_descriptors=median(mark.descriptors for mark in last) - median(mark.descriptors for mark in first),
        threads=_range([mark.threads for mark in warm]),
        more_threads=median(mark.threads for mark in last) - median(mark.threads for mark in first),
        cpu_share=life.cpu_s / (life.marks[-1].at_s - life.began_s),
        ended=life.ended,
    )


def uses(options: Options, outcome: Outcome) -> list[Use]:
    return [use for life in outcome.lives if (use := use_of(life, options)) is not None]


def judge_use(options: Options, outcome: Outcome) -> list[str]:
    """What is wrong with what the daemon's processes used."""
    problems = []
    for use in uses(options, outcome):
        where = f"the daemon's life of {use.seconds:.0f} s"
        if use.judged and use.rise > RISE:
            problems.append(f"{where}: memory from {use.first_mb:.1f} to {use.last_mb:.1f} MB, {use.rise:.1%}")
        if use.judged and (use.more_descriptors > MORE_DESCRIPTORS or use.more_threads > MORE_THREADS):
            problems.append(f"{where}: {use.more_descriptors} more descriptors, {use.more_threads} more threads")
    return problems


def figures(outcome: Outcome) -> dict[str, Any]:
    """Every reading that was produced is in one of the rows from "delivered" to "missing"."""
    recorder, rows = outcome.recorder, {row.value: counted(outcome.compared, row) for row in Row}
    return {
        "produced": sum(found.sent for found in outcome.compared.values()),
        "delivered": rows.pop(Row.RECORDED.value),
        **rows,
        "given up by the recorder": recorder.get("missing", 0),
        "recorded, never sent": sum(found.foreign for found in outcome.compared.values()),
        "recorded without a value": sum(found.without_value for found in outcome.compared.values()),
        "duplicated": recorder.get("duplicated", 0) + recorder.get("again", 0),
        "replayed": recorder.get("replayed", 0),
        "streams": outcome.streams,
    }


def as_json(options: Options, outcome: Outcome) -> dict[str, Any]:
    tally = outcome.tally
    return {
        "options": asdict(options),
        "days": outcome.days,
        "wall_s": outcome.wall_s,
        "samples": figures(outcome),
        "compared": {device: asdict(found) for device, found in outcome.compared.items()},
        "recorder": {**outcome.recorder, "starts": outcome.recorder_starts},
        "faults": dict(tally.faults),
        "runs": dict(tally.runs),
        "refusals": dict(tally.refusals),
        "acknowledged": tally.acknowledged,
        "moves": tally.moves,
        "questions": tally.questions,
        "looked": tally.looked,
        "lives": [asdict(use) for use in uses(options, outcome)],
        "spool_bytes": outcome.spool_bytes,
        "audit_records": outcome.audit.records if outcome.audit else 0,
        "events": outcome.events,
        "errors": outcome.errors,
        "problems": tally.problems,
    }


def table(options: Options, outcome: Outcome) -> str:
    tally = outcome.tally
    lines = [f"{outcome.days:.1f} simulated days in {outcome.wall_s:.0f} s, seed {options.seed}", ""]
    lines += [f"{name:40}{value:>12,}" for name, value in figures(outcome).items()]
    lines += [_counted("faults", tally.faults), _counted("runs", tally.runs), _counted("refusals", tally.refusals)]
    lines += [_counted("errors that were told", outcome.errors)]
    lines += [
        f"{'acknowledged faults':40}{tally.acknowledged:>12,}",
        f"{'looked at the hardware':40}{tally.looked:>12,}",
    ]
    lines += [f"{'restarts of the daemon':40}{len(outcome.lives) - 1:>12,}"]
    lines += [f"{'starts of the recorder':40}{outcome.recorder_starts:>12,}"]
    lines += [f"{'largest spool, MB':40}{outcome.spool_bytes / 1e6:>12.1f}"]
    lines += [f"{'audit records':40}{outcome.audit.records if outcome.audit else 0:>12,}", ""]
    lines += ["life, s   runs   MB first   last   peak   MB/day    rise   descriptors   threads   CPU   ended"]
    for use in uses(options, outcome):
        descriptors = f"{use.descriptors[0]} to {use.descriptors[1]}"
        threads = f"{use.threads[0]} to {use.threads[1]}"
        lines += [
            f"{use.seconds:7.0f} {use.runs:6}   {use.first_mb:8.1f} {use.last_mb:6.1f} {use.peak_mb:6.1f}"
            f" {use.slope_mb_a_day:8.3f} {use.rise:7.1%}   {descriptors:>11}   {threads:>8}  {use.cpu_share:4.0%}"
            f"   {use.ended}{', judged' if use.judged else ''}"
        ]
    lines += ["", *(f"WRONG: {text}" for text in tally.problems)]
    lines += [f"{len(tally.problems)} problems" if tally.problems else "nothing is wrong"]
    return "\n".join(lines)


def _counted(title: str, counts: Any) -> str:
    return f"{title}: " + (", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none")


def _range(values: list[int]) -> tuple[int, int]:
    return min(values), max(values)
