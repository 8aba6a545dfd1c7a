"""Quantiles of the distributions that intervals are made of.

SciPy takes most of a second to import, so each asks for it when it is called; a daemon imports it before it starts
(`bridge/daemon/preloading.py`).
"""

from __future__ import annotations


def student(p: float, freedom: float) -> float:
    """t below which a share `p` of Student's distribution with `freedom` degrees lies."""
    from scipy import special

    return float(special.stdtrit(freedom, p))


def chi_squared(above: float, freedom: float) -> float:
    """Chi squared above which a share `above` of the distribution with `freedom` degrees lies."""
    from scipy import special

    return float(special.chdtri(freedom, above))


def normal(p: float) -> float:
    """z below which a share `p` of the standard normal distribution lies."""
    from scipy import special

    return float(special.ndtri(p))
