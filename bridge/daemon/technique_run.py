"""The procedure `technique`: one technique of a potentiostat, started by a client from afar."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from bridge.procedures.context import Context
from bridge.procedures.description import Role
from bridge.procedures.forms import kind_of
from drivers.calls import assigned, fields, split_unit
from drivers.errors import InvalidValue
from drivers.interfaces import Potentiostat
from drivers.techniques import (
    CyclicVoltammetry,
    Galvanostatic,
    Impedance,
    OpenCircuit,
    Potentiostatic,
    Technique,
)

NAME = "technique"
ROLE = "potentiostat"
ROLES: Mapping[str, Role] = {ROLE: Role("potentiostat")}
SUMMARY = "one technique of a potentiostat; its samples are published as they come"
TECHNIQUES: Mapping[str, type[Technique]] = {
    cls.name: cls for cls in (OpenCircuit, Galvanostatic, Potentiostatic, CyclicVoltammetry, Impedance)
}


def parse(values: Mapping[str, Any]) -> Technique:
    """A technique out of `{"technique": name, field: value, ...}`; text with units accepted, null is "not given".

    Raises `InvalidValue` naming the field, its value and what is accepted.
    """
    name = values.get("technique")
    cls = TECHNIQUES.get(name) if isinstance(name, str) else None
    if cls is None:
        raise InvalidValue(f"technique is {name!r}; accepted: {', '.join(TECHNIQUES)}")
    return cls(**assigned(cls.name, fields(cls), {key: value for key, value in values.items() if key != "technique"}))


def parameters() -> list[dict[str, Any]]:
    """For the list of procedures: each field once, with the techniques that have it."""
    users: dict[str, list[str]] = {}
    known: dict[str, dataclasses.Field[Any]] = {}
    for name, cls in TECHNIQUES.items():
        for field in dataclasses.fields(cls):
            needed = " (which needs it)" if field.default is dataclasses.MISSING else ""
            users.setdefault(field.name, []).append(name + needed)
            known.setdefault(field.name, field)
    choice = {
        "name": "technique",
        "help": "which one",
        "unit": "",
        "type": "text",
        "required": True,
        "default": None,
        "choices": list(TECHNIQUES),
    }
    return [
        choice,
        *(
            {
                "name": name,
                "help": f"of {', '.join(users[name])}",
                "unit": split_unit(name)[1],
                "type": kind_of(field),
                "required": False,
                "default": None if field.default is dataclasses.MISSING else field.default,
            }
            for name, field in known.items()
        ),
    ]


async def run(context: Context, technique: Technique) -> dict[str, Any]:
    """Returns why it ended and how many samples came."""
    potentiostat = context.device(ROLE)
    assert isinstance(potentiostat, Potentiostat)
    duration_s: float | None = getattr(technique, "duration_s", None)
    count, end = 0, None
    context.progress(technique.name, 0.0)
    async with aclosing(potentiostat.run(technique)) as blocks:
        async for block in blocks:
            count += len(block)
            end = block.end
            if len(block) and duration_s:
                time_s = float(block["time_s"][-1])
                context.progress(technique.name, min(1.0, time_s / duration_s), time_s=time_s)
    return {"technique": technique.name, "end": end, "samples": count}
