"""Who may do what on a bridge: the table [access] of the configuration.

    [access]
    daemon = "daemon"           # the daemon's own account on the broker, which may do nothing else (the default)
    requests_per_s = 50         # what a user may ask for; stops are never held back (the default)
    burst = 200                 # at once (the default)

    [access.users.alice]        # the common name of her certificate, or her user name with a password
    role = "operator"           # observer, operator, administrator

With this table requests come on `request/<user>/<method>`, where the broker proves the user.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .permissions import Role

#: A user's programs have names that begin with hers, of 32 characters at most.
USER_PATTERN = r"[a-z0-9_-]{1,24}"
#: What a name and a number may be, in words.
NAME_ACCEPTED = "1 to 24 characters out of a-z, 0-9, _ and -"
COUNT_ACCEPTED = "a whole number from 1 to 100000"

_ROLES = tuple(str(role) for role in Role)
_KEYS = ("daemon", "users", "requests_per_s", "burst")


@dataclass(frozen=True, slots=True)
class Access:
    """`users` are names with their roles, `daemon` the daemon's own account on the broker."""

    users: Mapping[str, Role] = field(default_factory=dict)
    daemon: str = "daemon"
    requests_per_s: int = 50
    burst: int = 200


def parse_access(values: Any, report: Callable[[str, str], None]) -> Access | None:
    """The table as it came out of TOML; None if anything is wrong with it.

    `report` gets each problem: the key below `access` ("" for the table itself), and a text such as
    "is 7; accepted: ...".
    """
    problems: list[tuple[str, str]] = []

    def problem(key: str, text: str) -> None:
        problems.append((key, text))

    if not isinstance(values, dict):
        report("", f"is {values!r:.100}; accepted: a table [access]")
        return None
    _known(values, _KEYS, "", problem)
    access = Access(
        users=_users(values.get("users", {}), problem),
        daemon=_name(values.get("daemon", "daemon"), "daemon", problem),
        requests_per_s=_count(values, "requests_per_s", 50, problem),
        burst=_count(values, "burst", 200, problem),
    )
    if access.daemon in access.users:
        problem("daemon", f"is {access.daemon!r}, which is a user's name; accepted: an account of the daemon's own")
    for key, text in problems:
        report(key, text)
    return None if problems else access


def _users(values: Any, problem: Callable[[str, str], None]) -> dict[str, Role]:
    if not isinstance(values, dict):
        problem("users", f"is {values!r:.100}; accepted: a table [access.users.NAME] for each user")
        return {}
    if not values:
        problem("users", "has nobody: no request would be executed; accepted: a table [access.users.NAME] for each")
    users: dict[str, Role] = {}
    for name, user in values.items():
        key = f"users.{name}"
        _name(name, key, problem, "has a name that no topic can have")
        if not isinstance(user, dict):
            problem(key, f"is {user!r:.100}; accepted: a table [access.{key}]")
            continue
        _known(user, ("role",), f"{key}.", problem)
        role = user.get("role")
        if role not in _ROLES:
            said = "is missing" if role is None else f"is {role!r:.100}"
            problem(f"{key}.role", f"{said}; accepted: {', '.join(_ROLES)}")
            continue
        users[name] = Role[role.upper()]
    for name in users:
        for other in users:
            if name.startswith(f"{other}-"):
                problem(f"users.{name}", f"begins with '{other}-', which names the programs of {other}")
    return users


def _known(
    values: Mapping[str, Any], accepted: tuple[str, ...], path: str, problem: Callable[[str, str], None]
) -> None:
    for key in values:
        if key not in accepted:
            problem(f"{path}{key}", f"is not known; accepted: {', '.join(accepted)}")


def _name(value: Any, key: str, problem: Callable[[str, str], None], said: str = "") -> str:
    if not isinstance(value, str) or not re.fullmatch(USER_PATTERN, value):
        problem(key, f"{said or f'is {value!r:.100}'}; accepted: {NAME_ACCEPTED}")
        return ""
    return value


def _count(values: Mapping[str, Any], key: str, default: int, problem: Callable[[str, str], None]) -> int:
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100_000:
        problem(key, f"is {value!r:.100}; accepted: {COUNT_ACCEPTED}")
        return default
    return value
