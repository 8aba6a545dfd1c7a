"""Nearly equal, at any size.

`pytest.approx(1e-12, rel=1e-3)` also allows its default absolute tolerance of 1e-12: at picoamperes it accepts zero.
"""

from __future__ import annotations

from typing import Any

import pytest


def near(value: Any, rel: float = 1e-6) -> Any:
    """Equal within a share of `value`, however small that is."""
    return pytest.approx(value, rel=rel, abs=0.0)
