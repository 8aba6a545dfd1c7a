"""The feedthrough's relays, and which route they make."""

from __future__ import annotations

from collections.abc import Callable

FEEDTHROUGH, STAGE_GROUND, MANIPULATOR_GROUND, CELL = range(4)

#: Route that each coil makes when it alone is closed. 0 to 2 are the loops of the noise test, 3 the full circuit.
ROUTES = {
    FEEDTHROUGH: "feedthrough",
    STAGE_GROUND: "stage-ground",
    MANIPULATOR_GROUND: "manipulator-ground",
    CELL: "cell",
}


class Wiring:
    """Relays 0 to 3. `before_change` is called first, so that the time before is lived with the circuit as it was."""

    def __init__(self, before_change: Callable[[], None]) -> None:
        self._before_change = before_change
        self._closed = dict.fromkeys(ROUTES, False)

    @property
    def relays(self) -> dict[int, bool]:
        """A copy of the relays' states by coil number."""
        return dict(self._closed)

    def set_relay(self, index: int, closed: bool) -> None:
        """Close or open one relay. Coils without a route (a board often has more) are kept but change nothing."""
        if self._closed.get(index, False) == closed:
            return
        self._before_change()
        self._closed[index] = closed

    @property
    def closed_routes(self) -> tuple[str, ...]:
        """Names of all routes that are closed now, by coil number."""
        return tuple(name for coil, name in ROUTES.items() if self._closed[coil])

    @property
    def route(self) -> str:
        """ "open", the name of the only closed route, or "conflict" if there are two or more."""
        closed = self.closed_routes
        if not closed:
            return "open"
        return closed[0] if len(closed) == 1 else "conflict"
