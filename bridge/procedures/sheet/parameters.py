"""Parameters of `sheet-map`."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.analysis.sheet import bins as bin_tables
from bridge.analysis.sheet import limits as limit_tables
from bridge.analysis.sheet.bins import Bins
from bridge.analysis.sheet.limits import Limits
from drivers import toml_text
from drivers.errors import InvalidValue
from drivers.interfaces import Options, option
from drivers.paths import expanded
from drivers.techniques import OpenCircuit

_FILE = "a TOML file (on the command line), its text or a table"


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetMap(Options):
    """`sheet`, `bins` and `limits` are described in docs/sheet.md."""

    sheet: Mapping[str, Any] | str = option(
        help=f"where the cells are, heads, sites, skip list, marks: {_FILE}", file=True
    )
    bins: Mapping[str, Any] | str = option(
        help=f"rules of the bins, the first that matches decides: {_FILE}", file=True
    )
    limits: Mapping[str, Any] | str = option(
        help=f"limits that the rules name, or how to make them from the sheet: {_FILE}"
    )
    frozen_limits: str = option(
        "", help="file of the lot's limits: read if it is there, written (once) if the limits are made from this sheet"
    )
    pilot_cells: int = option(
        30, help="cells measured first, all over the sheet, that limits are made from", at_least=8
    )
    settle_s: float = option(0.2, unit="s", help="wait after landing, before measuring", at_least=0)
    ocv_s: float = option(2.0, unit="s", help="how long the open-circuit voltage is recorded", above=0)
    ocv_interval_s: float = option(0.1, unit="s", help="sampling interval of that record", above=0)
    impedance: str = option(
        "where needed",
        help="impedance of all cells, of none, or in full only where the voltage does not tell already",
        choices=("where needed", "always", "never"),
    )
    frequency_max_hz: float = option(100e3, unit="Hz", help="highest frequency", above=0)
    frequency_needed_hz: float | None = option(
        None,
        unit="Hz",
        help="how far down every good cell is measured (default: the lowest that the bins name)",
        above=0,
    )
    frequency_min_hz: float | None = option(
        None,
        unit="Hz",
        help="how far down cells near a limit are measured (default: no farther than the others)",
        above=0,
    )
    points_per_decade: int = option(6, help="frequencies a decade", at_least=1, at_most=50)
    amplitude_v: float = option(0.010, unit="V", help="amplitude of the excitation, rms", above=0)
    margin: float = option(
        0.1, help="a value this near to a limit, as a share of the limits' distance, is near", at_least=0
    )
    fit_circuit: str = option(
        "", help="equivalent circuit fitted to each spectrum, such as R0-p(R1,C1)-p(R2,C2); bins may use fit_r0, fit_r1"
    )
    fit_guess: str = option("", help="first guesses of its parameters, in order, such as '5, 750, 1e-9, 600, 2e-7'")
    retests: int = option(1, help="new landings that a cell gets in a bin that asks for it", at_least=0, at_most=5)
    retries: int = option(1, help="how often a record that the link spoilt is made again", at_least=0, at_most=5)
    shared_terminal: str = option(
        "floating",
        help="the sheet is a terminal of all channels: they float, or their impedances are staggered, one at a time",
        choices=("floating", "staggered"),
    )
    check_crosstalk: bool = option(True, help="excite one channel on the first landing and look at the others")
    crosstalk_limit_v: float = option(
        0.5e-3, unit="V", help="more than this, rms, in a neighbour's voltage: the impedances are staggered", above=0
    )
    stop_site_after: int = option(6, help="stop when a site has failed so often in a row (0: never)", at_least=0)
    stop_streak_after: int = option(
        20, help="stop when so many cells in a row have failed along the web (0: never)", at_least=0
    )
    on_stop: str = option("end", help="what a stop rule does: end the run, or ask the operator", choices=("end", "ask"))
    stack_layers: int = option(6, help="cells of a parallel stack, for its predicted yield and matching", at_least=1)
    operator: str = option("", help="who, for the exchange file")

    def __post_init__(self) -> None:
        if self.ocv_s < 4 * self.ocv_interval_s:
            raise InvalidValue(
                f"ocv_s is {self.ocv_s:g} s; at least four intervals of ocv_interval_s are accepted, "
                f"{4 * self.ocv_interval_s:g} s"
            )
        for name in ("frequency_needed_hz", "frequency_min_hz"):
            value = getattr(self, name)
            if value is not None and value > self.frequency_max_hz:
                raise InvalidValue(f"{name} is {value:g} Hz, above frequency_max_hz, {self.frequency_max_hz:g} Hz")
        if bool(self.fit_circuit) != bool(self.fit_guess):
            raise InvalidValue("fit_circuit and fit_guess go together; give both, or neither")
        if (
            self.frequency_min_hz is not None
            and self.frequency_needed_hz is not None
            and self.frequency_min_hz > self.frequency_needed_hz
        ):
            raise InvalidValue(
                f"frequency_min_hz is {self.frequency_min_hz:g} Hz, above frequency_needed_hz, "
                f"{self.frequency_needed_hz:g} Hz"
            )

    @property
    def record(self) -> OpenCircuit:
        return OpenCircuit(duration_s=self.ocv_s, interval_s=self.ocv_interval_s)

    def points(self, high_hz: float, low_hz: float) -> int:
        """Points of a sweep between two frequencies, both included."""
        return max(2, round(math.log10(high_hz / low_hz) * self.points_per_decade) + 1) if high_hz > low_hz else 1


def content_of(value: Any, name: str) -> tuple[Mapping[str, Any], Path]:
    """What a parameter that may be a file, a text or a table says, and the folder that its file names are relative to.

    Reads the file: call it in a thread. Raises `InvalidValue`.
    """
    if isinstance(value, Mapping):
        return value, Path.cwd()
    if not isinstance(value, str) or not value.strip():
        raise InvalidValue(f"{name} is {value!r}; accepted: {_FILE}")
    if "\n" in value or "=" in value:
        return _toml(value, name), Path.cwd()
    path = expanded(value, Path())
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidValue(
            f"{name}: {path.absolute()} cannot be read: {reason}",
            hint="The daemon reads it, on its own machine; a path from the root is the same for everybody.",
        ) from error
    return _toml(text, f"{name}: {path}"), path.absolute().parent


def _toml(text: str, name: str) -> Mapping[str, Any]:
    try:
        return toml_text.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidValue(f"{name} is not TOML: {error}") from error


def read_tables(parameters: SheetMap, lot: str) -> tuple[Bins, Limits]:
    """The bins and the limits, a lot's frozen ones if there are. Reads files. Raises `InvalidValue`."""
    table = bin_tables.parse_bins(content_of(parameters.bins, "bins")[0])
    limits = limit_tables.parse_limits(content_of(parameters.limits, "limits")[0])
    frozen = expanded(parameters.frozen_limits, Path()) if parameters.frozen_limits else None
    if frozen is not None and frozen.exists():
        limits = limit_tables.parse_limits(content_of(str(frozen), "frozen_limits")[0], "frozen_limits")
        if limits.provenance.get("lot") != lot:
            raise InvalidValue(
                f"frozen_limits: {frozen} is of the lot {limits.provenance.get('lot')!r}; this sheet is of {lot!r}",
                hint="Give another file for this lot; it is written from its first sheet.",
            )
    return table, limits


def write_frozen(path: str, limits: Limits) -> None:
    """Once: a file that is there stays as it is. Raises `InvalidValue` if it cannot be written."""
    target = expanded(path, Path())
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(limit_tables.dumps(limits))
    except OSError as error:
        raise InvalidValue(f"frozen_limits: {target.absolute()} cannot be written: {error.strerror}") from error
