"""Which devices play which roles in a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.procedures.description import Role
from drivers.errors import InvalidValue

from .supervisor import DeviceSupervisor

#: Supervisors by role, in the order in which they were named.
Cast = Mapping[str, tuple[DeviceSupervisor, ...]]


def cast_roles(roles: Mapping[str, Role], devices: Mapping[str, Any], known: Mapping[str, DeviceSupervisor]) -> Cast:
    """`devices` has a name, or a list of names, for each role. Raises `InvalidValue`, `DeviceLost`."""
    cast: dict[str, tuple[DeviceSupervisor, ...]] = {}
    taken: set[str] = set()
    for role, named in devices.items():
        if role not in roles:
            raise InvalidValue(f"role {role!r} is not known; accepted: {', '.join(roles) or 'none'}")
        names = named if isinstance(named, list) else [named]
        if len(names) > 1 and not roles[role].several:
            raise InvalidValue(f"{role} is {named!r}; one device plays this role")
        players = tuple(_player(role, roles[role], name, known) for name in names)
        for supervisor in players:
            if supervisor.name in taken:
                raise InvalidValue(f"{role} is {supervisor.name!r}, which plays another role already")
            taken.add(supervisor.name)
        if players:
            cast[role] = players
    for role, wanted in roles.items():
        if wanted.required and role not in cast:
            raise InvalidValue(f"role {role} is not cast; accepted: {_fitting(wanted, known)}")
    return cast


def names_of(cast: Cast, roles: Mapping[str, Role] | None = None) -> dict[str, Any]:
    """Device names by role, as a client gave them: a list where several may play the role."""
    return {
        role: [s.name for s in players] if roles and role in roles and roles[role].several else players[0].name
        for role, players in cast.items()
    }


def flat(devices: Mapping[str, Any]) -> list[str]:
    """The names in such a mapping."""
    return [name for named in devices.values() for name in (named if isinstance(named, list) else [named])]


def _player(role: str, wanted: Role, name: Any, known: Mapping[str, DeviceSupervisor]) -> DeviceSupervisor:
    supervisor = known.get(name) if isinstance(name, str) else None
    if supervisor is None:
        raise InvalidValue(f"{role} is {name!r}; accepted: {_fitting(wanted, known)}")
    if supervisor.device.interface != wanted.interface:
        raise InvalidValue(f"{role} is {name!r}, a {supervisor.device.interface}; accepted: {_fitting(wanted, known)}")
    supervisor.require_connected()
    return supervisor


def _fitting(wanted: Role, known: Mapping[str, DeviceSupervisor]) -> str:
    return ", ".join(name for name, s in known.items() if s.device.interface == wanted.interface) or "none"
