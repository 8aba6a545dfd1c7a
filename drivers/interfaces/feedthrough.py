"""Electrical feedthroughs: which lead goes where."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from .device import Device

#: The route that every feedthrough has: nothing connected.
OPEN = "open"


@dataclass(frozen=True, slots=True)
class FeedthroughCapabilities:
    """`routes` are the names that `select` accepts, `open` among them."""

    routes: tuple[str, ...]
    switching_s: float


class Feedthrough(Device):
    """Named routes, switched break before make and read back. Switching at zero current is the caller's to ensure."""

    interface: ClassVar[str] = "feedthrough"

    @property
    @abstractmethod
    def capabilities(self) -> FeedthroughCapabilities: ...

    @abstractmethod
    async def route(self) -> str:
        """The route that is closed, read from the device. Raises `DeviceError` if the relays form no route."""

    @abstractmethod
    async def select(self, route: str) -> str:
        """Open everything, read back, wait, close `route`, read back. Returns the route.

        Raises `InvalidValue` for an unknown one, `DeviceError` if the read-back disagrees (relays are then opened).
        """

    async def make_safe(self) -> None:
        """Hold: opening a relay under current can be the harmful act."""
