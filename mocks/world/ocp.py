"""Open-circuit potentials against Li, tabulated.

Sources (domain note, section 7.1): LiCoO2 sampled from PyBaMM's parameter set Ai2020 (`lico2_ocp_Ai2020`, an
interpolant of measured data, valid for a lithium fraction of 0.40 to 0.9989); silicon from PyBaMM's Chen2020_composite
(fits of Mark, Verbrugge et al.), both branches of the hysteresis, the ends extended so that the voltage runs into a
cycler's limits. Beyond the tables the potentials go on steeply instead of stopping, so that an emptied or overfilled
cell still has a voltage.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise


class Table:
    """A piecewise linear function that goes on beyond its ends with slopes of its own."""

    def __init__(self, points: Sequence[tuple[float, float]], slope_below: float, slope_above: float) -> None:
        self._x = [x for x, _ in points]
        self._y = [points[0][1], *(y for _, y in points), points[-1][1]]
        inner = [(y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in pairwise(points)]
        self._slope = [slope_below, *inner, slope_above]
        self._origin = [self._x[0], *self._x]

    def at(self, x: float) -> tuple[float, float]:
        """Value and slope at `x`."""
        i = bisect_right(self._x, x)
        slope = self._slope[i]
        return self._y[i] + slope * (x - self._origin[i]), slope


#: V against Li by lithium fraction y of LixCoO2.
LICOO2 = Table(
    [
        (0.40, 4.3908),
        (0.435, 4.2849),
        (0.45, 4.2524),
        (0.50, 4.1615),
        (0.55, 4.0808),
        (0.60, 4.0173),
        (0.65, 3.9672),
        (0.70, 3.9303),
        (0.75, 3.9060),
        (0.80, 3.8952),
        (0.85, 3.8890),
        (0.90, 3.8750),
        (0.93, 3.8535),
        (0.95, 3.8207),
        (0.97, 3.7542),
        (0.98, 3.7135),
        (0.99, 3.6569),
        (0.995, 3.5939),
        (0.9989, 3.4092),
    ],
    slope_below=-3.0,
    slope_above=-100.0,
)

_SILICON_X = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_SILICON_CHARGE_V = (
    *(1.20, 0.786, 0.706, 0.532, 0.376, 0.310, 0.282, 0.252),
    *(0.2205, 0.191, 0.1615, 0.123, 0.0825, 0.0643, 0.0591, 0.0),
)
_SILICON_DISCHARGE_V = (
    *(2.20, 1.20, 0.924, 0.840, 0.737, 0.663, 0.608, 0.530),
    *(0.475, 0.426, 0.372, 0.316, 0.278, 0.250, 0.205, 0.10),
)

#: V against Li by fraction x of the silicon's capacity, taking lithium up. Full, it goes on as plated lithium, 0 V.
SILICON_CHARGE = Table(list(zip(_SILICON_X, _SILICON_CHARGE_V, strict=True)), slope_below=-100.0, slope_above=0.0)

#: The same while it gives lithium off. Plated lithium goes first, at 0 V.
SILICON_DISCHARGE = Table(
    [*zip(_SILICON_X, _SILICON_DISCHARGE_V, strict=True), (1.02, 0.0)], slope_below=-100.0, slope_above=0.0
)

#: A lithium anode (or one plated by the first charge): 0 V until the lithium is used up.
LITHIUM = Table([(0.0, 0.0), (1.0, 0.0)], slope_below=-1000.0, slope_above=0.0)
