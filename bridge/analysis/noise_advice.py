"""What to do about a noisy path: the cause, told by its own mark in spectrum, drift and steps of the record.

Each cause has a measurable signature and a share of what was found; a cause without its signature is not named, and a
record that shows none is said to show none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .formatting import si
from .noise import NoiseResult
from .spectrum import Spectrum, integrator_suppression_db
from .statistics import Floats, detrended, drift

#: A cause is named when it makes at least this share of the scatter, or of the tolerance.
_SHARE = 0.25

#: The last third of a record that settles drifts less than this share of the first.
_FLATTENED = 0.5

#: A step is a change of the median over this many averages to either side ...
_STEP_WINDOW = 8
#: ... by this many standard deviations of the averages' differences.
_STEP_SIGMAS = 9.0

#: Lines on several routes are of one origin if they are that alike.
_ALIKE = 3.0

#: Harmonics of one mains, as a share of its fundamental, from which it counts as distorted.
_DISTORTED = 0.2


@dataclass(frozen=True, slots=True)
class Advice:
    """`share` is how much of the scatter or the tolerance the cause explains (may exceed 1)."""

    cause: str
    evidence: str
    action: str
    share: float


@dataclass(frozen=True, slots=True)
class Burst:
    """A short, fast record of the same path: what mains there is before the slow record's integration takes it off.

    `integration_s` is the fast record's own; `slow_integration_s` that of the record which was judged. `overloaded`:
    the instrument went over range as soon as it did not average over mains cycles; then there is no spectrum.
    """

    spectrum: Spectrum
    integration_s: float | None
    slow_integration_s: float | None
    overloaded: bool = False


def advise(result: NoiseResult, burst: Burst | None = None) -> list[Advice]:
    """Causes with their evidence, the one that explains most first."""
    if len(result.averages.current_a) < 3 * _STEP_WINDOW:
        return []
    found = [
        *_mains(result, burst),
        *_beyond_range(burst),
        *_aliased(result),
        *_drift(result),
        *_steps(result),
        *_offset(result),
    ]
    return sorted((advice for advice in found if advice.share >= _SHARE), key=lambda advice: -advice.share)


def _mains(result: NoiseResult, burst: Burst | None) -> list[Advice]:
    """Lines of one mains and its harmonics: as they are in the record itself, or as a burst shows them."""
    advices = []
    for mains in (50.0, 60.0):
        seen = _lines(result.spectrum, mains)
        left, where = dict(seen), "in the record"
        if burst is not None and (fast := _lines(burst.spectrum, mains)):
            left = {f: a * _left(f, burst) for f, a in fast.items()} | left
            seen, where = fast, f"at {burst.spectrum.rate_hz:.4g} samples/s"
        if mains not in seen:  # a harmonic alone may be the other mains' line, folded to the same place
            continue
        rest = float(np.sqrt(sum(amplitude**2 for amplitude in left.values())))
        names = ", ".join(f"{si(a, 'A')} at {f:g} Hz" for f, a in seen.items())
        evidence = f"{names} (rms) {where}, of which {si(rest, 'A')} is left in the readings"
        share = rest / result.spec.tolerance_a
        if max((a for f, a in seen.items() if f != mains), default=0.0) > _DISTORTED * seen.get(mains, 0.0):
            advices.append(
                Advice(
                    "ground loop",
                    f"{evidence}; the harmonics show a distorted current, which comes by a conductor",
                    "Join all shields at one point; power potentiostat, microscope and manipulator from one outlet; "
                    "unplug chargers and monitors one by one.",
                    share,
                )
            )
        else:
            advices.append(
                Advice(
                    "mains pick-up",
                    f"{evidence}; hardly any harmonics: it comes through the air",
                    "Shield the tip's lead, close the chamber, keep mains cables away; sample over whole mains cycles "
                    "(100 ms fits 50 Hz and 60 Hz).",
                    share,
                )
            )
    return advices


def _beyond_range(burst: Burst | None) -> list[Advice]:
    """Alternating current that only the integration keeps within the range: the amplifier before it may clip."""
    if burst is None or not burst.overloaded:
        return []
    return [
        Advice(
            "pick-up beyond the range",
            "a fast record goes over range at once: more alternating current than the range holds flows, and only the "
            "averaging over mains cycles hides it",
            "Shield the lead; until then the mean may be false by what the amplifier clips. A larger range shows how "
            "much it is.",
            1.0,
        )
    ]


def _lines(spectrum: Spectrum, mains_hz: float) -> dict[float, float]:
    """Amplitudes (A rms) of what was found of one mains, by frequency."""
    return {
        line.frequency_hz: line.amplitude_a_rms
        for line in spectrum.lines
        if line.found and line.amplitude_a_rms is not None and line.frequency_hz % mains_hz == 0
    }


def _left(frequency_hz: float, burst: Burst) -> float:
    """What the slow record's integration leaves of a line, as a share of what the burst shows of it."""
    if burst.slow_integration_s is None:
        return 1.0
    own = 0.0 if burst.integration_s is None else integrator_suppression_db(frequency_hz, burst.integration_s)
    slow = integrator_suppression_db(frequency_hz, burst.slow_integration_s)
    return float(10 ** ((own - slow) / 20))


def _aliased(result: NoiseResult) -> list[Advice]:
    """A line that sampling folds onto the mean cannot be told from an offset: then an offset proves nothing."""
    off = abs(result.mean_a - result.spec.current_a)
    share = off / result.spec.tolerance_a
    hidden = [
        line
        for line in result.spectrum.lines
        if line.frequency_hz in (50.0, 60.0)
        and line.seen_at_hz == 0
        and (line.suppression_db is None or line.suppression_db < 30)
    ]
    if not hidden:
        return []
    names = " and ".join(f"{line.frequency_hz:g} Hz" for line in hidden)
    return [
        Advice(
            "mains folded onto the mean",
            f"at {result.spectrum.rate_hz:.4g} samples/s, {names} appears as a steady offset; {si(off, 'A')} are there",
            "Repeat at a rate that does not divide the mains, such as 7 samples/s: an offset stays, the mains moves.",
            share,
        )
    ]


def _drift(result: NoiseResult) -> list[Advice]:
    """A drift that goes on, or one that dies away: two different things to wait for."""
    over = abs(result.drift_over_test_a)
    share = over / (result.spec.tolerance_a / 2)
    if over < 2 * result.drift_half_width_a:
        return []
    time, values = result.averages.time_s, result.averages.current_a
    third = len(values) // 3
    first = drift(time[:third], values[:third])
    last = drift(time[-third:], values[-third:])
    dies = abs(first.slope_per_s) > 2 * first.half_width_per_s and (
        abs(last.slope_per_s) + last.half_width_per_s < _FLATTENED * abs(first.slope_per_s)
    )
    slopes = f"{si(first.slope_per_s, 'A/s')} in the first third, {si(last.slope_per_s, 'A/s')} in the last"
    if dies:
        return [
            Advice(
                "not settled",
                f"the drift dies away: {slopes}",
                "Wait longer before judging: dielectric absorption or charge on insulators after a voltage step or a "
                "touch of the cable.",
                share,
            )
        ]
    return [
        Advice(
            "drift",
            f"{si(result.drift.slope_per_s, 'A/s')} throughout ({slopes})",
            "Let the instrument warm up for an hour, keep draughts and lamps off; zero the offset just before cycling.",
            share,
        )
    ]


def _steps(result: NoiseResult) -> list[Advice]:
    """Steps and bursts that decay: a moving cable, a vibration, someone at the door."""
    values = detrended(result.averages.time_s, result.averages.current_a)
    noise = float(np.median(np.abs(np.diff(values)))) / 0.954  # of a difference of two normal values: 0.674 sqrt 2
    if not noise:
        return []
    window = np.lib.stride_tricks.sliding_window_view(values, _STEP_WINDOW)
    medians = np.median(window, axis=1)
    jumps = np.abs(medians[_STEP_WINDOW:] - medians[:-_STEP_WINDOW])
    limit = _STEP_SIGMAS * noise / np.sqrt(_STEP_WINDOW) * 1.25  # 1.25: a median's error over a mean's
    places = _peaks(jumps, limit)
    bursts = [i for i in _peaks(np.abs(values - np.median(values)), 6.0 * noise) if not _near(i, places)]
    count = len(places) + len(bursts)
    if not count:
        return []
    largest = max([float(jumps[i]) for i in places] + [float(np.abs(values[i])) for i in bursts])
    return [
        Advice(
            "cable movement",
            f"{len(places)} steps and {len(bursts)} bursts, the largest {si(largest, 'A')}, in "
            f"{result.evaluated_s:.4g} s",
            "Tie the cable down (triboelectric charge decays over seconds), use low-noise graphite cable; stop stage, "
            "pumps and people during the test.",
            largest / result.spec.tolerance_a,
        )
    ]


def _offset(result: NoiseResult) -> list[Advice]:
    """A steady error of the mean that neither drift nor folded mains explains."""
    off = result.mean_a - result.spec.current_a
    if abs(off) < result.mean_half_width_a or abs(result.drift_over_test_a) > abs(off):
        return []
    return [
        Advice(
            "leakage or offset",
            f"the mean is steadily {si(off, 'A')} off, {si(result.mean_half_width_a, 'A')} known",
            "Zero the instrument with the lead open. What is left is leakage: clean and dry the insulators, guard the "
            "lead. `picobridge current-check` tells offset from leakage.",
            abs(off) / result.spec.tolerance_a,
        )
    ]


def compare(lines: Mapping[str, Mapping[float, float]]) -> list[Advice]:
    """What several routes together show that one alone does not: mains in all of them at the same strength comes by
    the ground that they share. `lines` has what was found on each route: A rms by frequency."""
    advices = []
    for mains in (50.0, 60.0):
        strengths = {route: found[mains] for route, found in lines.items() if mains in found}
        values = list(strengths.values())
        if len(strengths) < max(2, len(lines)) or max(values) > _ALIKE * min(values):
            continue
        names = ", ".join(f"{si(a, 'A')} through {route}" for route, a in strengths.items())
        advices.append(
            Advice(
                "ground loop",
                f"{mains:g} Hz is about as strong on every route: {names}",
                "What they share is the ground: join the shields at one point, and use one outlet.",
                1.0,
            )
        )
    return advices


def _peaks(values: Floats, limit: float) -> list[int]:
    """The highest place of each stretch above `limit`."""
    above = np.concatenate(([False], values > limit, [False]))
    edges = np.flatnonzero(above[1:] != above[:-1])
    return [int(a + np.argmax(values[a:b])) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _near(place: int, steps: Sequence[int]) -> bool:
    return any(step - _STEP_WINDOW <= place <= step + 3 * _STEP_WINDOW for step in steps)
