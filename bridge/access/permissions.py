"""Roles, and which one a method asks for."""

from __future__ import annotations

import enum

from drivers.errors import Refused


class Role(enum.IntEnum):
    """Each may do what the one before it may."""

    OBSERVER = 1
    """Reads."""
    OPERATOR = 2
    """Moves, energises, runs, acknowledges."""
    ADMINISTRATOR = 3
    """Overrides rules, reloads the configuration, takes over leases."""

    def __str__(self) -> str:
        return self.name.lower()


#: Methods of the safe direction: executed for everybody whom the broker lets through, however they are written.
STOPS = ("stop", "emergency_stop")

_OBSERVER = (
    *("ping", "devices", "procedures", "runs", "items", "faults", "rules", "outlook", "leases"),
    *("streams", "replay", "history", "recorded", "group_recorded"),
    *STOPS,
)
_OPERATOR = (
    *("call", "run", "abort", "pause", "continue", "answer", "resume", "state"),
    *("lease", "renew", "release", "acknowledge"),
)

LEAST_ROLE = {**dict.fromkeys(_OBSERVER, Role.OBSERVER), **dict.fromkeys(_OPERATOR, Role.OPERATOR)}
"""By method. What is not in here (override, reload, takeover, and whatever is new) is an administrator's."""


def least_role(method: str) -> Role:
    """The lowest role that may have `method` executed."""
    return LEAST_ROLE.get(method, Role.ADMINISTRATOR)


def check_role(user: str, role: Role, method: str) -> None:
    """Raises `Refused` if `role` is too low for `method`."""
    needed = least_role(method)
    if role < needed:
        raise Refused(
            f"{user} is {_with_article(role)}; {method} needs {_with_article(needed)}; it was not executed",
            hint="Roles are given in [access.users] of the daemon's configuration.",
            user=user,
            role=str(role),
            needs=str(needed),
        )


def _with_article(role: Role) -> str:
    return f"an {role}"  # each of the three begins with a vowel
