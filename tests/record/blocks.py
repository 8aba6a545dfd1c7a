"""Blocks to record."""

from __future__ import annotations

from typing import Any

import numpy as np

from drivers.samples import IMPEDANCE_COLUMNS, SAMPLE_COLUMNS, EndReason, SampleBlock

START_NS = 1_767_225_600 * 10**9


def block(
    first_index: int,
    n: int,
    *,
    start_ns: int = START_NS,
    end: EndReason | None = None,
    stream: str = "pstat-1",
    time: float = 0.0,
    **attributes: Any,
) -> SampleBlock:
    """Samples whose values tell their index, in picoamperes that no decimal writes exactly."""
    index = np.arange(first_index, first_index + n)
    return SampleBlock.of(
        SAMPLE_COLUMNS,
        {
            "time_s": time + np.arange(n) * 0.1,
            "voltage_v": 3.6 + index * 1e-3,
            "current_a": 1e-12 * (1 + index / 7),
            "flags": np.zeros(n),
        },
        stream=stream,
        first_index=first_index,
        start_time_ns=start_ns,
        end=end,
        attributes=attributes,
    )


def sweep(first_index: int, *, start_ns: int = START_NS) -> SampleBlock:
    """Three points of an impedance."""
    return SampleBlock.of(
        IMPEDANCE_COLUMNS,
        {
            "time_s": [0.1, 0.2, 0.3],
            "frequency_hz": [1000.0, 10.0, 0.1],
            "z_real_ohm": [5.0, 1181.5, 1860.25],
            "z_imag_ohm": [-1e-3, -200.0, -505.0],
            "flags": [0, 0, 1],
        },
        stream="pstat-1",
        first_index=first_index,
        start_time_ns=start_ns,
    )
