"""The one table of procedures. A new experiment is one entry here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from drivers.errors import InvalidValue
from drivers.fields import parse_fields
from drivers.interfaces import Options

from . import contact, cycle, noise_test
from .context import Context


@dataclass(frozen=True, slots=True)
class Role:
    """What kind of device plays a role, and whether the procedure can do without."""

    interface: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Procedure:
    """An experiment: `run` takes a context and an instance of `parameters`, and returns a result of JSON values.

    `run` raises `InvalidValue` and `Refused` before anything moves or is energised. Cancelling it aborts: on leaving,
    in whatever way, the source is off and nothing moves.
    """

    name: str
    summary: str
    parameters: type[Options]
    roles: Mapping[str, Role]
    run: Callable[[Context, Any], Awaitable[dict[str, Any]]]

    def parse(self, values: Mapping[str, Any]) -> Options:
        """Parameters out of plain values (text with units accepted). Raises `InvalidValue` naming the parameter."""
        try:
            return parse_fields(self.parameters, values, noun="parameter")
        except InvalidValue as error:
            error.annotate(device="", operation=self.name)
            raise


_POTENTIOSTAT_AND_ROUTES = {"potentiostat": Role("potentiostat"), "feedthrough": Role("feedthrough", required=False)}

PROCEDURES: Mapping[str, Procedure] = MappingProxyType(
    {
        procedure.name: procedure
        for procedure in (
            Procedure(
                name="noise-test",
                summary="constant current through a route: is it quiet and true enough for cycling at that current?",
                parameters=noise_test.NoiseTest,
                roles=_POTENTIOSTAT_AND_ROUTES,
                run=noise_test.run,
            ),
            Procedure(
                name="cycle",
                summary="galvanostatic charge, rest and discharge between two voltages",
                parameters=cycle.Cycle,
                roles=_POTENTIOSTAT_AND_ROUTES,
                run=cycle.run,
            ),
            Procedure(
                name="make-contact",
                summary="approach the pad in steps until the potentiostat, at zero current, sees the cell's voltage",
                parameters=contact.MakeContact,
                roles={"manipulator": Role("manipulator"), **_POTENTIOSTAT_AND_ROUTES},
                run=contact.run,
            ),
        )
    }
)


def find(name: str) -> Procedure:
    """Raises `InvalidValue` naming the procedures there are."""
    if name not in PROCEDURES:
        raise InvalidValue(f"procedure {name!r} is not known; accepted: {', '.join(PROCEDURES)}")
    return PROCEDURES[name]
