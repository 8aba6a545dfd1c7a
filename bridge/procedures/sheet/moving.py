"""A head's motion: up, across, down; the same for a stage and a manipulator."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.analysis.formatting import si
from bridge.analysis.sheet.alignment import Point
from drivers.errors import InvalidValue, Refused
from drivers.interfaces import Device, Manipulator, Stage
from drivers.uninterrupted import to_the_end

from .layout import Head

#: a head that has no z steps aside by this much when it is to land again where it is
_ASIDE_M = 1e-3


class Mover:
    """`device` None: the probes are fixed, nothing moves."""

    def __init__(self, head: Head, device: Device | None) -> None:
        assert device is None or device.interface in ("stage", "manipulator")
        self._head = head
        self._device = device
        self._at: Point | None = None

    def check(self, targets: Iterable[Point]) -> None:
        """Raises `Refused` for a target beyond the device's limits, before anything moves."""
        if self._device is None:
            return
        limits = self._device.capabilities.limits  # type: ignore[attr-defined]  # both interfaces have them
        wanted = [("x_m", x) for x, _ in targets_of(targets)] + [("y_m", y) for _, y in targets_of(targets)]
        wanted += [("z_m", z) for z in (self._head.contact_z_m, self._head.travel_z_m) if z is not None]
        for axis, value in wanted:
            low, high = limits.get(axis, (float("-inf"), float("inf")))
            if not low <= value <= high:
                raise Refused(
                    f"the sheet needs {axis} = {si(value, 'm', 6)}, and the soft limits of {self._device.name} accept "
                    f"{si(low, 'm')} to {si(high, 'm')}",
                    device=self._device.name,
                    hint="Nothing was moved. Check origin, pitch and marks, or the limits in the configuration.",
                )

    def reaches(self, target_m: Point) -> bool:
        """Whether the device's limits allow it."""
        if self._device is None:
            return True
        limits = self._device.capabilities.limits  # type: ignore[attr-defined]  # both interfaces have them
        return all(
            low <= value <= high
            for axis, value in zip(("x_m", "y_m"), target_m, strict=True)
            for low, high in [limits.get(axis, (float("-inf"), float("inf")))]
        )

    async def land(self, target_m: Point) -> None:
        """A new landing, also where the head is already."""
        if self._device is None:
            return
        if self._head.travel_z_m is not None:
            await self._move(z_m=self._head.travel_z_m)
        elif self._at == target_m:
            await self._move(x_m=target_m[0] - _ASIDE_M)
        self._at = None
        await self._move(x_m=target_m[0], y_m=target_m[1])
        if self._head.contact_z_m is not None:
            await self._move(z_m=self._head.contact_z_m)
        self._at = target_m

    async def lift(self) -> None:
        """Off the sheet, where the head can."""
        if self._device is not None and self._head.travel_z_m is not None:
            await self._move(z_m=self._head.travel_z_m)

    async def position(self) -> Point:
        if not isinstance(self._device, Stage | Manipulator):
            raise InvalidValue("the head has no stage or manipulator whose position could be read")
        position = await self._device.position()
        return position.x_m, position.y_m

    async def _move(self, **axes: float) -> None:
        """One move; one that is aborted half-way is stopped before the abort goes on."""
        assert self._device is not None
        try:
            await self._device.move_to(**axes)  # type: ignore[attr-defined]  # both interfaces have it
        except BaseException:
            await to_the_end(self._device.stop())  # type: ignore[attr-defined]
            raise


def targets_of(targets: Iterable[Point]) -> list[Point]:
    """The corners of what the targets span: the limits are a box."""
    points = list(targets)
    if not points:
        return []
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return [(min(xs), min(ys)), (max(xs), max(ys))]
