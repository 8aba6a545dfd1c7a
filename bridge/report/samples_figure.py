"""Pictures of samples as they are, whatever procedure took them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from drivers.samples import SampleBlock

from .health_marks import mark_findings
from .style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, new_figure, plain_log, scale, thinned, time_scale

#: More points than this in one curve are thinned out, extremes kept.
_POINTS = 4000
_COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)


def _techniques(blocks: Sequence[SampleBlock], column: str) -> Iterator[list[SampleBlock]]:
    """Blocks with samples that have a column, technique by technique."""
    having = [block for block in blocks if len(block) and column in block.data]
    for _, group in groupby(having, key=lambda block: block.start_time_ns):
        yield list(group)


def time_figure(
    device: str, blocks: Sequence[SampleBlock], findings: Sequence[Mapping[str, Any]] = ()
) -> Figure | None:
    """Voltage and current of a device against time since its first sample; None if it has none. What the health watch
    has found (`findings`) is marked."""
    techniques = list(_techniques(blocks, "voltage_v"))
    if not techniques:
        return None
    origin = techniques[0][0].start_time_ns
    curves = []
    for own in techniques:
        time, voltage, current = (
            np.concatenate([b[name] for b in own]) for name in ("time_s", "voltage_v", "current_a")
        )
        keep = np.union1d(thinned(voltage, _POINTS), thinned(current, _POINTS))
        curves.append(((time + (own[0].start_time_ns - origin) / 1e9)[keep], voltage[keep], current[keep]))
    factor, unit = time_scale(max(float(time[-1]) for time, _, _ in curves))
    amperes, prefix = scale(np.concatenate([current for _, _, current in curves]))
    with new_figure(10.5, 4.8) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for time, voltage, current in curves:
            upper.plot(time * factor, voltage, color=BLUE, lw=1.1)
            lower.plot(time * factor, current * amperes, color=ORANGE, lw=1.1)
        lower.axhline(0.0, color=GREY, lw=0.8)
        upper.set_title(f"Samples of {device}")
        upper.set_ylabel("voltage / V")
        lower.set_ylabel(f"current / {prefix}A")
        lower.set_xlabel(f"time / {unit}")
        lower.margins(x=0.01)
        mark_findings(upper, findings, origin, factor, device=device)
        mark_findings(lower, findings, origin, factor, device=device, named=False)
    return figure


def spectra_figure(device: str, blocks: Sequence[SampleBlock]) -> Figure | None:
    """Impedance spectra of a device, as Nyquist and Bode plots; None if it measured none."""
    spectra = list(_techniques(blocks, "z_real_ohm"))
    if not spectra:
        return None
    data = [
        tuple(np.concatenate([b[name] for b in own]) for name in ("frequency_hz", "z_real_ohm", "z_imag_ohm"))
        for own in spectra
    ]
    factor, prefix = scale(np.concatenate([np.hypot(real, imag) for _, real, imag in data]))
    with new_figure(10.5, 4.8) as figure:
        grid = figure.add_gridspec(2, 2)
        nyquist, modulus = figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[0, 1])
        phase = figure.add_subplot(grid[1, 1], sharex=modulus)
        for number, (frequency, real, imag) in enumerate(data):
            style: Any = {"color": _COLOURS[number % len(_COLOURS)], "lw": 0.9, "marker": "o", "ms": 3}
            nyquist.plot(real * factor, -imag * factor, **style)
            modulus.loglog(frequency, np.hypot(real, imag), **style)
            phase.semilogx(frequency, np.degrees(np.arctan2(imag, real)), **style)
        nyquist.set_aspect("equal", adjustable="datalim")
        nyquist.set_title(f"Impedance measured by {device}")
        nyquist.set_xlabel(f"Re Z / {prefix}Ω")
        nyquist.set_ylabel(f"-Im Z / {prefix}Ω")
        modulus.set_ylabel("|Z| / Ω")
        phase.set_ylabel("phase / °")
        phase.set_xlabel("frequency / Hz")
        plain_log(phase.xaxis)
    return figure
