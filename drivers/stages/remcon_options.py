"""What can be set of a RemCon32 stage: axes, soft limits, tolerances, line end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..errors import InvalidValue
from ..interfaces import Options, option
from ..quantities import quantity

#: Widest ranges that public clients of these tools use; the tool itself answers 603 or 613 where it is narrower.
DEFAULT_LIMITS: dict[str, tuple[float, float]] = {
    "x_m": (0.0, 0.152),
    "y_m": (0.0, 0.152),
    "z_m": (0.0, 0.040),
    "tilt_deg": (0.0, 90.0),
    "rotation_deg": (0.0, 360.0),
}
AXES = tuple(DEFAULT_LIMITS)
ROTATION = AXES.index("rotation_deg")
M = 5

TERMINATORS = {"auto": None, "CR": b"\r", "\r": b"\r", "CR LF": b"\r\n", "\r\n": b"\r\n"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeissRemconOptions(Options):
    """`limits` after construction: the limits in force, by names such as `x_m`, in metres and degrees."""

    terminator: str = option("auto", help='end of a command: "CR", "CR LF", or "auto" to find out')
    limits: Mapping[str, Any] = option(
        help='soft limits by axis (x, y, z, tilt, rotation), such as {z = ["5 mm", "30 mm"], tilt = [0, 54]}',
        default_factory=dict,
    )
    tolerance_m: float = option(2e-6, unit="m", help="how near to its target a linear axis must come to rest")
    tolerance_deg: float = option(0.05, unit="deg", help="how near to its target tilt and rotation must come to rest")
    move_timeout_s: float = option(90.0, unit="s", help="a move that takes longer is aborted")
    poll_s: float = option(0.1, unit="s", help="wait between two looks at a moving stage")
    monitor_off: bool = option(
        True, help="switch the specimen current monitor off for moves, because the touch alarm is blind while it is on"
    )

    def __post_init__(self) -> None:
        if self.terminator not in TERMINATORS:
            raise InvalidValue(f'terminator is {self.terminator!r}; accepted: "auto", "CR", "CR LF"')
        for name, unit in (("tolerance_m", "m"), ("tolerance_deg", "deg"), ("move_timeout_s", "s"), ("poll_s", "s")):
            value = quantity(getattr(self, name), unit, field=name)
            if value <= 0:
                raise InvalidValue(f"{name} is {value!r}; accepted: more than 0 {unit}")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "limits", DEFAULT_LIMITS | _limits(self.limits))

    def near(self, values: tuple[Decimal, ...], others: tuple[Decimal, ...]) -> bool:
        """Whether two positions, in mm and degrees, are the same within the tolerances."""
        return all(self.axis_near(axis, *pair) for axis, pair in enumerate(zip(values, others, strict=True)))

    def axis_near(self, axis: int, value: Decimal, other: Decimal) -> bool:
        difference = abs(value - other)
        if axis == ROTATION:
            difference %= 360
            difference = min(difference, 360 - difference)
        if axis == M or AXES[axis].endswith("_m"):
            return float(difference) <= self.tolerance_m * 1e3
        return float(difference) <= self.tolerance_deg


def _limits(table: Any) -> dict[str, tuple[float, float]]:
    if not isinstance(table, Mapping):
        raise InvalidValue(f'limits is {table!r}; a table is accepted, such as {{x = ["5 mm", "100 mm"]}}')
    names = {axis.rpartition("_")[0]: axis for axis in AXES} | {axis: axis for axis in AXES}
    limits: dict[str, tuple[float, float]] = {}
    for key, pair in table.items():
        axis = names.get(key)
        if axis is None:
            raise InvalidValue(f"limits: {key!r} is no axis; accepted: {', '.join(names)}")
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise InvalidValue(f"limits: {key} is {pair!r}; a pair is accepted, the lowest and the highest")
        low, high = (quantity(end, axis.rpartition("_")[2], field=f"limits: {key}") for end in pair)
        if low > high:
            raise InvalidValue(f"limits: {key} is {pair!r}; the lowest comes first")
        limits[axis] = (low, high)
    return limits


def to_tool(axis: str, value: float) -> Decimal:
    """Metres or degrees to the tool's mm or degrees, exactly. Raises `InvalidValue` for infinities and NaN."""
    number = quantity(value, axis.rpartition("_")[2], field=axis)
    return Decimal(repr(number)).scaleb(3 if axis.endswith("_m") else 0)


def to_si(axis: int, value: Decimal) -> float:
    """Correctly rounded: the decimal number is scaled before it becomes a float."""
    return float(value.scaleb(-3)) if AXES[axis].endswith("_m") else float(value)


def check_limit(
    limits: Mapping[str, tuple[float, float]], axis: int, value: Decimal, *, device: str, operation: str
) -> None:
    """`value` in the tool's unit; rotation counts modulo a turn. Raises `InvalidValue`."""
    name = AXES[axis]
    unit = name.rpartition("_")[2]
    number = to_si(axis, value)
    if axis == ROTATION:
        number %= 360.0
    low, high = limits[name]
    if not low <= number <= high:
        raise InvalidValue(
            f"{name} would be {number:.9g} {unit}; the soft limits accept {low:.9g} to {high:.9g} {unit}",
            device=device,
            operation=operation,
            hint="Nothing was moved. The option limits sets other soft limits.",
        )
