"""The devices of a run in their parts: heads that move, channels that measure, the multiplexer between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from bridge.procedures import feasibility
from bridge.procedures.context import Context
from drivers.errors import InvalidValue
from drivers.interfaces import Feedthrough, Potentiostat
from drivers.techniques import Impedance, OpenCircuit

from .layout import Head, Layout
from .moving import Mover
from .parameters import SheetMap
from .timekeeping import Resource, Timekeeper, Turnstile


@dataclass(eq=False)
class Channel:
    """A potentiostat; `turn` is whose it is where several heads share it."""

    name: str
    potentiostat: Potentiostat
    resource: Resource
    turn: Turnstile


@dataclass(eq=False)
class Carrier:
    """A head with what moves it."""

    head: Head
    mover: Mover
    resource: Resource


@dataclass(eq=False)
class Multiplexer:
    """The relay board; `turn` is for its routes."""

    feedthrough: Feedthrough
    resource: Resource
    turn: Turnstile


@dataclass
class Rig:
    """`terminal` is whose turn it is to excite the shared sheet."""

    keeper: Timekeeper
    carriers: list[Carrier]
    channels: dict[str, Channel]
    multiplexer: Multiplexer | None
    terminal: Turnstile

    @property
    def resources(self) -> list[Resource]:
        board = [] if self.multiplexer is None else [self.multiplexer.resource]
        return [*(c.resource for c in self.carriers), *(c.resource for c in self.channels.values()), *board]

    def reaches(self, head: str, target_m: tuple[float, float]) -> bool:
        """Whether a head can go there."""
        return next(c for c in self.carriers if c.head.name == head).mover.reaches(target_m)

    @property
    def elapsed_s(self) -> float:
        """The sheet's time: the clock that is farthest ahead."""
        return max(resource.now_s for resource in self.resources)


def assemble(context: Context, layout: Layout, parameters: SheetMap) -> Rig:
    """Nothing is touched. Raises `InvalidValue` where the sheet names what the run does not have, `Unsupported`."""
    keeper = Timekeeper()
    potentiostats = {d.name: cast(Potentiostat, d) for d in context.every_device("potentiostat")}
    movers = {d.name: d for role in ("stage", "manipulator") for d in context.every_device(role)}
    channels: dict[str, Channel] = {}
    for site in (site for head in layout.heads for site in head.sites):
        if site.channel not in potentiostats:
            raise _absent(f"site {site.number} is measured by {site.channel!r}", "potentiostat", potentiostats)
        if site.channel not in channels:
            potentiostat = potentiostats[site.channel]
            _check(potentiostat, parameters)
            resource = Resource(site.channel, potentiostat.clock)
            channels[site.channel] = Channel(site.channel, potentiostat, resource, Turnstile(keeper))
    carriers = []
    for head in layout.heads:
        if head.device and head.device not in movers:
            raise _absent(f"a head is moved by {head.device!r}", "stage or manipulator", movers)
        device = movers[head.device] if head.device else None
        clock = device.clock if device is not None else channels[head.sites[0].channel].potentiostat.clock
        carriers.append(Carrier(head, Mover(head, device), Resource(head.name, clock)))
    return Rig(keeper, carriers, channels, _multiplexer(context, layout, keeper), Turnstile(keeper))


def _multiplexer(context: Context, layout: Layout, keeper: Timekeeper) -> Multiplexer | None:
    routes = {site.route for head in layout.heads for site in head.sites if site.route}
    if not routes:
        return None
    if not context.has("feedthrough"):
        raise InvalidValue(
            f"the sheet's sites have routes ({', '.join(sorted(routes))}), and the run has no feedthrough for them"
        )
    feedthrough = cast(Feedthrough, context.device("feedthrough"))
    for route in sorted(routes):
        if route not in feedthrough.capabilities.routes:
            known = ", ".join(feedthrough.capabilities.routes)
            raise InvalidValue(f"route {route!r} is not known to {feedthrough.name}; accepted: {known}")
    return Multiplexer(feedthrough, Resource(feedthrough.name, feedthrough.clock), Turnstile(keeper))


def _check(potentiostat: Potentiostat, parameters: SheetMap) -> None:
    feasibility.require_technique(potentiostat, OpenCircuit.name)
    feasibility.require_interval(potentiostat, parameters.ocv_interval_s)
    if parameters.impedance != "never":
        feasibility.require_technique(potentiostat, Impedance.name)


def _absent(what: str, kind: str, there: Iterable[str]) -> InvalidValue:
    return InvalidValue(
        f"sheet: {what}, which is no {kind} of this run; accepted: {', '.join(there) or 'none'}",
        hint="Several devices play one role as a list: potentiostat = [p1, p2].",
    )
