"""Samples as text like EC-Lab's export (.mpt): for programs that read that of BioLogic's potentiostats.

Facts about the format are from files that EC-Lab wrote and from what reads them (galvani, yadg, PyProBE): the first
line, the number of header lines in the second, `Acquisition started on`, CRLF, Latin-1, columns apart by tabs.

Current is in mA and charge in mA.h there, so they are not exact: a current read back as mA / 1000 may differ from the
sample's in its last bit. Charge is ours (trapezoids between samples, none over a break between techniques).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drivers.samples import Array, SampleBlock

from . import lines

if TYPE_CHECKING:
    import pyarrow as pa

SERIES = (
    *("mode", "ox/red", "error", "control changes", "Ns changes", "counter inc.", "Ns", "time/s", "Ewe/V", "<I>/mA"),
    *("(Q-Qo)/mA.h", "Q charge/mA.h", "Q discharge/mA.h", "cycle number"),
)
SPECTRUM = ("freq/Hz", "Re(Z)/Ohm", "-Im(Z)/Ohm", "|Z|/Ohm", "Phase(Z)/deg")
#: What EC-Lab calls the control of a technique: 1 is of the current, 2 of the voltage, 3 is at rest.
_MODES = {
    "galvanostatic": 1,
    "current_sequence": 1,
    "open_circuit": 3,
    "potentiostatic": 2,
    "voltage_sequence": 2,
    "cyclic_voltammetry": 2,
}
_SERIES_NAME = "Modulo Bat"
_SPECTRUM_NAME = "Potentio Electrochemical Impedance Spectroscopy"


class EcLabWriter:
    """One new file of time series. Raises `FileExistsError`, `OSError`."""

    def __init__(self, path: Path, about: Mapping[str, str], start_time_ns: int) -> None:
        self._file = path.open("xb")
        self._file.write(_header(_SERIES_NAME, SERIES, about, start_time_ns))
        self._step = 0
        self._last: tuple[float, float] | None = None
        self._charged = self._discharged = 0.0

    def write(self, table: pa.RecordBatch, block: SampleBlock) -> None:
        import pyarrow as pa

        mode = _MODES.get(str(block.attributes.get("technique")), 1)
        names = table.schema.names
        for start in range(0, table.num_rows, lines.ROWS):
            some = {name: table.column(name).slice(start, lines.ROWS) for name in names}
            time, current, step = (np.asarray(some[n]) for n in ("Test Time / s", "Current / A", "Step Count / 1"))
            charged, discharged = self._charge(time, current, int(step[0]))
            fresh = np.zeros(len(step), np.int64)
            fresh[0] = int(step[0]) != self._step
            self._step = int(step[-1])
            zero = np.zeros(len(step), np.int64)
            columns: list[Any] = [
                zero + mode,
                (current > 0).astype(np.int64),
                (np.asarray(some["Flags / 1"]) != 0).astype(np.int64),
                *(zero, fresh, zero, step - 1),
                *(time, np.asarray(some["Voltage / V"]), current * 1e3),
                *((charged - discharged) * 1e3, charged * 1e3, discharged * 1e3),
                _cycles(some, len(step)),
            ]
            _rows(self._file, [pa.array(column) for column in columns])

    def _charge(self, time: Array, current: Array, step: int) -> tuple[Array, Array]:
        """Charged and discharged up to each sample, in Ah."""
        if step != self._step:
            self._last = None
        before_time, before_current = self._last if self._last is not None else (float(time[0]), float(current[0]))
        all_time, all_current = np.r_[before_time, time], np.r_[before_current, current]
        passed = np.diff(all_time) * (all_current[1:] + all_current[:-1]) / 2 / 3600
        passed[~np.isfinite(passed)] = 0.0
        charged = self._charged + np.cumsum(np.maximum(passed, 0.0))
        discharged = self._discharged - np.cumsum(np.minimum(passed, 0.0))
        self._last = float(time[-1]), float(current[-1])
        self._charged, self._discharged = float(charged[-1]), float(discharged[-1])
        return charged, discharged

    def close(self) -> None:
        self._file.close()


def write_spectrum(path: Path, points: pa.RecordBatch, about: Mapping[str, str], start_time_ns: int) -> None:
    """One new file of one sweep; `points` has its frequency, real part and the imaginary part with its sign turned.

    Raises `FileExistsError`, `OSError`.
    """
    import pyarrow as pa

    frequency, real, minus = (np.asarray(column) for column in points.columns)
    columns = (frequency, real, minus, np.hypot(real, minus), np.degrees(np.arctan2(-minus, real)))
    with path.open("xb") as file:
        file.write(_header(_SPECTRUM_NAME, SPECTRUM, about, start_time_ns))
        _rows(file, [pa.array(column) for column in columns])


def _header(name: str, columns: tuple[str, ...], about: Mapping[str, str], start_time_ns: int) -> bytes:
    told = [f"{key} : {value}" for key, value in about.items()]
    body = [
        *("", name, ""),
        "Comments : written by picobridge like an export of EC-Lab, which had no part in it",
        f"Acquisition started on : {_when(start_time_ns)}",
        *(f"Comments : {' '.join(line.split())}" for line in told),
        "",
    ]
    # the first two lines and that of the columns count too
    text = ["EC-Lab ASCII FILE", f"Nb header lines : {len(body) + 3}", *body, "\t".join(columns)]
    return "".join(f"{line}\r\n" for line in text).encode("latin-1", errors="replace")


def _when(time_ns: int) -> str:
    """UTC as EC-Lab writes a local time. A time that no calendar has, of a damaged file, becomes the first of all."""
    try:
        moment = datetime.fromtimestamp(time_ns // 10**9, UTC)
    except (OverflowError, ValueError, OSError):
        return _when(0)
    return f"{moment:%m/%d/%Y %H:%M:%S}.{time_ns % 10**9 // 1000:06d}"


def _rows(file: Any, columns: list[pa.Array]) -> None:
    parts: list[Any] = []
    for column in columns:
        parts += [lines.texts(column, nan="nan", infinities=("-inf", "inf")), "\t"]
    lines.write(file, [*parts[:-1], "\r\n"])


def _cycles(some: Mapping[str, Any], count: int) -> Array:
    cycles = some.get("Cycle Count / 1")
    return np.zeros(count, np.int64) if cycles is None else np.asarray(cycles.fill_null(0))
