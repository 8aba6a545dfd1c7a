"""What the procedures share: the devices of a run, the route, and the source that is off whatever happens."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, cast

from bridge.analysis.formatting import si
from drivers.errors import CellNotOff, InvalidValue, PicobridgeError, Refused
from drivers.interfaces import Device, Feedthrough, Manipulator, Potentiostat
from drivers.uninterrupted import to_the_end

from .context import Context

#: Real seconds between two reports of progress within a step: enough for a bar, no flood when a simulation runs fast.
_PROGRESS_S = 0.1

#: From a sample's arrival to the source switched off: host, wire and relay. Keithleys' relay alone takes 15 ms.
DEFAULT_LATENCY_S = 0.05


def potentiostat_of(context: Context) -> Potentiostat:
    return cast(Potentiostat, _device(context, "potentiostat"))


def manipulator_of(context: Context) -> Manipulator:
    return cast(Manipulator, _device(context, "manipulator"))


def _device(context: Context, role: str) -> Device:
    """The device that plays a role, by what it says it is: the daemon may hand out its own stand-in for a driver.

    Raises `InvalidValue` if there is none or it is of another interface.
    """
    found = context.device(role)
    if found.interface != role:
        raise InvalidValue(f"role {role!r} is played by {found.name}, a {found.interface}; a {role} is accepted")
    return found


def check_route(context: Context, route: str) -> Feedthrough | None:
    """The feedthrough that a route needs, without touching it. Raises `InvalidValue` before anything is switched."""
    if not route:
        return None
    feedthrough = cast(Feedthrough, _device(context, "feedthrough"))
    routes = feedthrough.capabilities.routes
    if route not in routes:
        raise InvalidValue(f"route {route!r} is not known to {feedthrough.name}; accepted: {', '.join(routes)}")
    return feedthrough


async def select_route(
    context: Context, potentiostat: Potentiostat, feedthrough: Feedthrough | None, route: str
) -> None:
    """Switch with the source off and proven so: relays are not made to break a current."""
    if feedthrough is None:
        return
    context.progress(f"route {route}", None, route=route)
    await potentiostat.cell_off()
    await feedthrough.select(route)


async def require_closed_route(context: Context, route: str) -> None:
    """Raises `Refused` where nothing was said of the route and the feedthrough of the run has none closed: the current
    would charge nothing but the lead."""
    if route or not context.has("feedthrough"):
        return
    feedthrough = cast(Feedthrough, _device(context, "feedthrough"))
    if await feedthrough.route() == "open":
        known = ", ".join(name for name in feedthrough.capabilities.routes if name != "open")
        raise Refused(
            f"every route of {feedthrough.name} is open: the current would charge nothing but the lead",
            hint=f"Say which route the cell is on (--route): {known}.",
        )


@asynccontextmanager
async def source_off_afterwards(context: Context, potentiostat: Potentiostat) -> AsyncGenerator[None, None]:
    """However the block is left, the cell is disconnected and that verified, even while the run is being aborted.

    If the link is what failed, the cell cannot be proven off from here: the first error is raised, with what follows
    from it said in its hint, and the daemon switches the source off before anything else when the device is back.
    """
    try:
        yield
    except BaseException as error:
        try:
            await to_the_end(potentiostat.cell_off())
        except PicobridgeError as second:
            context.note(f"the source of {potentiostat.name} could not be proven off: {second}", cause=second.to_dict())
            if not isinstance(error, PicobridgeError):
                raise
            if not isinstance(error, CellNotOff):  # which says so itself
                error.hint = f"The cell could not be proven off: disconnect it by hand. {error.hint}".strip()
        raise
    await to_the_end(potentiostat.cell_off())


class Reporter:
    """Progress within a step, at a pace that people read."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._last = -float("inf")

    def now(self, step: str, fraction: float | None = None, **values: Any) -> None:
        self._last = time.monotonic()
        self._context.progress(step, fraction, **values)

    def show(self, header: Mapping[str, Any] | None = None, items: Iterable[Mapping[str, Any]] = ()) -> None:
        """See `Context`."""
        self._context.show(header, items)

    def maybe(self, step: str, fraction: float | None = None, **values: Any) -> None:
        if time.monotonic() - self._last >= _PROGRESS_S:
            self.now(step, fraction, **values)


def instrument(potentiostat: Potentiostat) -> dict[str, Any]:
    """Who measured, for the result."""
    identity = potentiostat.identity
    return {"device": potentiostat.name} | (asdict(identity) if identity is not None else {})


def range_label(attributes: Mapping[str, Any]) -> str | None:
    """The current range that a block was measured on, by whichever name its driver has for it; None if not told."""
    for key in ("range", "current_range"):
        if attributes.get(key):
            return str(attributes[key])
    full_scale = attributes.get("current_range_a")
    return si(float(full_scale), "A") if full_scale else None


def choose(name: str, value: str, accepted: tuple[str, ...]) -> None:
    """Raises `InvalidValue` for text that is none of `accepted`."""
    if value not in accepted:
        raise InvalidValue(f"{name} is {value!r}; accepted: {', '.join(accepted)}")


def positive(**values: float | None) -> None:
    """Raises `InvalidValue` for a number that is not greater than zero; None is none."""
    for name, value in values.items():
        if value is not None and not value > 0:
            raise InvalidValue(f"{name} is {value:g}; it must be greater than zero")


def not_negative(**values: float) -> None:
    for name, value in values.items():
        if value < 0:
            raise InvalidValue(f"{name} is {value:g}; it must not be negative")
