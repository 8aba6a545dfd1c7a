"""Memory that grows, descriptors that stay open and threads that do not end are seen; what a start needs is not."""

from __future__ import annotations

from collections.abc import Callable

from bridge.daemon.ended_runs import KEPT

from .report import as_json, judge_use, table, uses
from .service import Life, Mark
from .soak import Options, Outcome

OPTIONS = Options()


def life(
    rss_mb: Callable[[float], float],
    descriptors: Callable[[float], int] = lambda s: 40 + int(s) % 3,
    threads: Callable[[float], int] = lambda s: 12,
    seconds: int = 600,
) -> Life:
    """A mark a second, a run every two seconds."""
    marks = [Mark(float(s), round(rss_mb(s) * 1e6), s // 2, descriptors(s), threads(s)) for s in range(1, seconds)]
    return Life(pid=1, began_s=0.0, marks=marks, cpu_s=100.0, ended="killed")


def wrong(one: Life) -> list[str]:
    return judge_use(OPTIONS, Outcome(lives=[one]))


def test_memory_that_is_full_at_some_time() -> None:
    assert wrong(life(lambda s: 150 + min(s, 2 * KEPT) / 20)) == []


def test_memory_that_grows() -> None:
    (problem,) = wrong(life(lambda s: 150 + s / 60))
    assert "memory from" in problem


def test_descriptors_that_stay_open() -> None:
    (problem,) = wrong(life(lambda s: 150.0, descriptors=lambda s: 40 + int(s) // 60))
    assert "more descriptors" in problem


def test_threads_that_do_not_end() -> None:
    (problem,) = wrong(life(lambda s: 150.0, threads=lambda s: 12 + int(s) // 60))
    assert "more threads" in problem


def test_a_life_too_short_to_be_judged_is_told() -> None:
    outcome = Outcome(lives=[life(lambda s: 150 + s, seconds=100), life(lambda s: 150.0, seconds=5)])
    assert judge_use(OPTIONS, outcome) == []
    (use,) = uses(OPTIONS, outcome)
    assert not use.judged
    assert use.slope_mb_a_day > 59.9
    assert as_json(OPTIONS, outcome)["lives"][0]["runs"] == 49
    assert "killed" in table(OPTIONS, outcome)
