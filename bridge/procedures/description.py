"""What a procedure says of itself: parameters, devices, products. Its command, call and form are made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from drivers.errors import InvalidValue
from drivers.fields import parse_fields
from drivers.interfaces import Options

from .context import Context


@dataclass(frozen=True, slots=True)
class Role:
    """What kind of device plays a role, whether the procedure can do without, and whether several may play it.

    Several are cast as a list of names, `{"potentiostat": ["p1", "p2"]}`; the procedure gets them by
    `Context.every_device`.
    """

    interface: str
    required: bool = True
    several: bool = False


#: A potentiostat, and the feedthrough that gives it its route: what most electrochemistry needs.
POTENTIOSTAT_AND_ROUTES: Mapping[str, Role] = MappingProxyType(
    {"potentiostat": Role("potentiostat"), "feedthrough": Role("feedthrough", required=False)}
)


@dataclass(frozen=True, slots=True)
class Procedure:
    """An experiment: `run` takes a context and an instance of `parameters`, and returns a result of JSON values.

    `run` raises `InvalidValue` and `Refused` before anything moves or is energised. Cancelling it aborts: on leaving,
    in whatever way, the source is off and nothing moves.

    `produces` names the fields of the result that a person looks for, each with a line of help. `pausable`: `run` calls
    `Context.pause_point` where it may wait with the source off. `resumable`: `run` calls `Context.save`, and given what
    was saved (`Context.saved`) goes on from there. `approaches`: it moves a tip with the cell on, in small steps, with
    the lead watched.
    """

    name: str
    summary: str
    parameters: type[Options]
    roles: Mapping[str, Role]
    run: Callable[[Context, Any], Awaitable[dict[str, Any]]]
    produces: Mapping[str, str] = field(default_factory=dict)
    pausable: bool = False
    resumable: bool = False
    approaches: bool = False

    def parse(self, values: Mapping[str, Any]) -> Options:
        """Parameters out of plain values (text with units accepted). Raises `InvalidValue` naming the parameter."""
        try:
            return parse_fields(self.parameters, values, noun="parameter")
        except InvalidValue as error:
            error.annotate(device="", operation=self.name)
            raise
