"""Which device plays which role: the one named, else the only one of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.client import Lab
from drivers.errors import InvalidValue


def assign_roles(
    lab: Lab, procedure: str, roles: Mapping[str, Mapping[str, Any]], named: Mapping[str, str | None]
) -> dict[str, str | list[str]]:
    """`roles` as the method `procedures` describes them; `named` has a device for a role, or several with commas.

    Where several may play a role and none is named, all that fit do. Raises `InvalidValue` if a required role has no
    candidate, or there are several and none was named.
    """
    for role in named:
        if role not in roles:
            raise InvalidValue(f"role {role!r} is not known; accepted: {', '.join(roles) or 'none'}")
    devices: dict[str, str | list[str]] = {}
    for role, wanted in roles.items():
        candidates = [name for name, device in lab.devices.items() if device.interface == wanted["interface"]]
        text = named.get(role)
        if text is not None:
            names = [name.strip() for name in text.split(",")] if wanted["several"] else [text]
            for name in names:
                if name not in candidates:
                    raise InvalidValue(f"{role} is {name!r}; accepted: {', '.join(candidates) or 'none is there'}")
            devices[role] = names if wanted["several"] else text
        elif wanted["several"] and candidates:
            devices[role] = candidates
        elif len(candidates) == 1:
            devices[role] = candidates[0]
        elif wanted["required"]:
            if not candidates:
                raise InvalidValue(f"{procedure} needs a {wanted['interface']}, and the bridge has none")
            raise InvalidValue(f"{procedure}: say which --{role}: {', '.join(candidates)}")
    return devices
