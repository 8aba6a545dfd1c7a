"""Nearly equal, at any size.

`pytest.approx(1e-12, rel=1e-3)` also allows its default absolute tolerance of 1e-12: at picoamperes it accepts zero.
All comparisons of the tests go through here; test_house_rules.py sees to it.
"""

from __future__ import annotations

from typing import Any

import pytest


def near(value: Any, rel: float | None = None, *, abs: float = 0.0) -> Any:
    """Equal within a share `rel` of `value`, however small that is, or within `abs` in the value's own unit.

    Without either, within a millionth. The wider one decides where both are given.
    """
    if rel is None:
        rel = 0.0 if abs else 1e-6
    return pytest.approx(value, rel=rel, abs=abs)
