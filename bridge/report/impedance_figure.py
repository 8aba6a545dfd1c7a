"""The picture of an impedance spectrum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from .style import BLUE, GREEN, GREY, INK, ORANGE, PALE, PURPLE, RED, new_figure, plain_log, scale

_COLOURS = {"cell": BLUE, "shared": ORANGE, "cable": GREY}
_LABELS = {"cell": "measured: the cell's", "shared": "measured: shared with the lead", "cable": "measured: the cable's"}


def impedance_figure(result: Mapping[str, Any]) -> Figure:
    """Nyquist with equal axes; modulus, phase and Kramers-Kronig residuals over frequency. What is the cable's is grey.

    `result` is what the procedure `impedance` returns, with at least one point.
    """
    frequency = _numbers(result["frequency_hz"])
    with new_figure(11.0, 7.2) as figure:
        grid = figure.add_gridspec(2, 3, height_ratios=(1.35, 1.0))
        _nyquist(figure.add_subplot(grid[0, :]), result)
        modulus = figure.add_subplot(grid[1, 0])
        phase = figure.add_subplot(grid[1, 1], sharex=modulus)
        residuals = figure.add_subplot(grid[1, 2], sharex=modulus)
        _bode(modulus, phase, result)
        _residuals(residuals, result)
        for axes in (modulus, phase, residuals):
            _shade(axes, result)
            axes.set_xlabel("frequency / Hz")
            axes.set_xlim(frequency.min() / 1.3, frequency.max() * 1.3)
            plain_log(axes.xaxis)
            axes.xaxis.set_major_formatter(FuncFormatter(_hertz))
        verdict = str(result["verdict"]).upper()
        figure.suptitle(
            f"Impedance by the {result['mode']}, {result['amplitude_v'] * 1e3:g} mV rms: {verdict}",
            x=0.01,
            ha="left",
            fontsize=13,
            fontweight="bold",
            color={"PASS": GREEN, "DOUBTFUL": ORANGE}.get(verdict, RED),
        )
    return figure


def spectra_of(result: Mapping[str, Any]) -> list[tuple[str, str, str, Any, Any]]:
    """(label, colour, marker, frequency, impedance) of what is drawn as points: measured by owner, then the cell."""
    frequency, z = _numbers(result["frequency_hz"]), _complex(result, "z_real_ohm", "z_imag_ohm")
    owners = np.array(result["belongs_to"])
    drawn = [
        (_LABELS[name], colour, "o", frequency[owners == name], z[owners == name])
        for name, colour in _COLOURS.items()
        if (owners == name).any()
    ]
    if result.get("cell_z_real_ohm") is not None:
        keep = owners != "cable"
        cell = _complex(result, "cell_z_real_ohm", "cell_z_imag_ohm")
        if keep.any():
            drawn.append(("the cell, lead taken off", PURPLE, "s", frequency[keep], cell[keep]))
    return drawn


def _nyquist(axes: Axes, result: Mapping[str, Any]) -> None:
    drawn = spectra_of(result)
    factor, prefix = scale(np.concatenate([np.concatenate([z.real, z.imag]) for *_, z in drawn]))
    for label, colour, marker, _, z in drawn:
        axes.plot(z.real * factor, -z.imag * factor, marker, color=colour, ms=4.5, mew=0, label=label)
    fit = result.get("fit")
    if fit:
        curve = _complex(fit, "predicted_real_ohm", "predicted_imag_ohm")
        axes.plot(curve.real * factor, -curve.imag * factor, color=INK, lw=1.1, label=fit["circuit"])
    _decades(axes, drawn, factor)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08)
    axes.set_xlabel(f"Z' / {prefix}Ω")
    axes.set_ylabel(f"-Z'' / {prefix}Ω")
    axes.set_title("Nyquist, equal axes")
    axes.legend(loc="best")


def _hertz(value: float, _: Any = None) -> str:
    """A frequency on an axis: 0.1, 100, 10 k, 1 M."""
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value / 1e3:g} k" if value >= 1e3 else f"{value:g}"


def _decades(axes: Axes, drawn: list[tuple[str, str, str, Any, Any]], factor: float) -> None:
    """Names the points nearest to whole decades, those of the last spectrum drawn."""
    *_, frequency, z = drawn[-1]
    room = 0.05 * max(np.ptp(z.real), np.ptp(z.imag), 1e-300)
    named: list[complex] = []
    for power in range(-6, 8):
        at = int(np.argmin(np.abs(np.log10(frequency) - power)))
        if abs(np.log10(frequency[at]) - power) < 0.03 and all(abs(z[at] - other) > room for other in named):
            named.append(complex(z[at]))
            name = f"{_hertz(10.0**power)}Hz" if power >= 3 else f"{10.0**power:g} Hz"
            axes.annotate(
                name,
                (z[at].real * factor, -z[at].imag * factor),
                xytext=(0, 9),
                ha="center",
                textcoords="offset points",
                fontsize=7.5,
                color=GREY,
            )


def _bode(modulus: Axes, phase: Axes, result: Mapping[str, Any]) -> None:
    drawn = spectra_of(result)
    factor, prefix = scale(np.concatenate([np.abs(z) for *_, z in drawn]))
    for _, colour, marker, frequency, z in drawn:
        modulus.loglog(frequency, np.abs(z) * factor, marker, color=colour, ms=4, mew=0)
        phase.semilogx(frequency, np.degrees(np.angle(z)), marker, color=colour, ms=4, mew=0)
    fit = result.get("fit")
    if fit:
        curve, frequency = _complex(fit, "predicted_real_ohm", "predicted_imag_ohm"), _numbers(fit["frequency_hz"])
        modulus.loglog(frequency, np.abs(curve) * factor, color=INK, lw=1.1)
        phase.semilogx(frequency, np.degrees(np.angle(curve)), color=INK, lw=1.1)
    modulus.set_ylabel(f"|Z| / {prefix}Ω")
    modulus.set_title("Modulus")
    phase.set_title("Phase")
    plain_log(modulus.yaxis)
    phase.set_ylabel("phase / degrees")
    low, high = phase.get_ylim()
    phase.set_ylim(min(low, -5.0), max(high, 5.0))


def _residuals(axes: Axes, result: Mapping[str, Any]) -> None:
    kk = result["kramers_kronig"]
    axes.set_title(f"Kramers-Kronig residuals: {kk['verdict']}")
    axes.set_ylabel("of |Z| / %")
    frequency = _numbers(result["frequency_hz"])
    if len(kk["residual_real"]) != len(frequency):
        axes.text(0.5, 0.5, "too few points", transform=axes.transAxes, ha="center", color=GREY)
        return
    real, imaginary = 100 * _numbers(kk["residual_real"]), 100 * _numbers(kk["residual_imag"])
    axes.semilogx(frequency, real, "-o", color=BLUE, ms=3, lw=0.8, mew=0, label="Z'")
    axes.semilogx(frequency, imaginary, "-s", color=RED, ms=3, lw=0.8, mew=0, label="Z''")
    axes.axhline(0, color=INK, lw=0.8)
    largest = max(float(np.abs([real, imaginary]).max()), 0.1)
    if largest > 1.0:
        for limit in (-3.0, 3.0):
            axes.axhline(limit, color=GREY, lw=0.8, ls="--")
    axes.set_ylim(-1.25 * largest, 1.25 * largest)
    axes.legend(loc="upper right", ncols=2)


def _shade(axes: Axes, result: Mapping[str, Any]) -> None:
    """The frequencies at which the lead takes more than half of the current."""
    above = result["cable"]["above_hz"]
    if above is None:
        return
    axes.axvspan(above, 1e9, color=PALE, alpha=0.55, lw=0, zorder=0)
    if axes.get_title().startswith("Modulus"):
        axes.text(
            0.98, 0.94, "the cable", transform=axes.transAxes, ha="right", va="top", fontsize=8.5, color=GREY, zorder=5
        )


def _numbers(values: Any) -> Any:
    return np.asarray([np.nan if value is None else value for value in values], dtype=float)


def _complex(source: Mapping[str, Any], real: str, imaginary: str) -> Any:
    return _numbers(source[real]) + 1j * _numbers(source[imaginary])
