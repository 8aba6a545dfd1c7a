"""The procedures that a daemon knows: picobridge's own, those of the user's files, and a single technique."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bridge.procedures.description import Procedure, Role
from bridge.procedures.forms import describe_fields
from bridge.procedures.registry import PROCEDURES
from drivers.errors import InvalidValue

from . import technique_run


class Catalogue:
    """`own` are the user's."""

    def __init__(self, own: Iterable[Procedure] = ()) -> None:
        self._known: dict[str, Procedure]
        self.use(own)

    def use(self, own: Iterable[Procedure]) -> None:
        """Other procedures of the user's from now on."""
        self._known = {**PROCEDURES, **{procedure.name: procedure for procedure in own}}

    def as_it_is(self) -> Catalogue:
        """For a run, which keeps the procedures that it began with."""
        kept = Catalogue()
        kept._known = self._known
        return kept

    def find(self, name: Any) -> Procedure:
        """Raises `InvalidValue` naming the procedures there are."""
        if not isinstance(name, str) or name not in self._known:
            known = ", ".join([technique_run.NAME, *self._known])
            raise InvalidValue(f"procedure is {name!r}; accepted: {known}")
        return self._known[name]

    def describe(self) -> list[dict[str, Any]]:
        """For the method `procedures`: enough to make a form of each."""
        return [_describe_technique(), *(_describe(procedure) for procedure in self._known.values())]


def describe_roles(roles: Mapping[str, Role]) -> dict[str, Any]:
    return {
        role: {"interface": wanted.interface, "required": wanted.required, "several": wanted.several}
        for role, wanted in roles.items()
    }


def _describe(procedure: Procedure) -> dict[str, Any]:
    return {
        "name": procedure.name,
        "summary": procedure.summary,
        "roles": describe_roles(procedure.roles),
        "parameters": describe_fields(procedure.parameters),
        "produces": dict(procedure.produces),
        "pausable": procedure.pausable,
        "resumable": procedure.resumable,
    }


def _describe_technique() -> dict[str, Any]:
    return {
        "name": technique_run.NAME,
        "summary": technique_run.SUMMARY,
        "roles": describe_roles(technique_run.ROLES),
        "parameters": technique_run.parameters(),
        "produces": {"end": "why it ended", "samples": "how many came"},
        "pausable": False,
        "resumable": False,
    }
