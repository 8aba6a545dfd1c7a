"""Who asked for what is being executed."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from .permissions import Role


@dataclass(frozen=True, slots=True)
class Caller:
    """`user` is whom the broker has proven, "" where it proves nobody; `sender` is the program, as it names itself.
    `lease` and `fence` are as they came ("" and None if not): whoever gives leases judges them."""

    user: str = ""
    role: Role = Role.ADMINISTRATOR
    sender: str = ""
    lease: str = ""
    fence: int | None = None

    @property
    def name(self) -> str:
        """As the events and the audit name whoever asks."""
        return self.sender or self.user


def is_of(user: str, name: str) -> bool:
    """Whether a program, or a recorder, of this name is `user`'s: hers have names that begin with hers."""
    return name == user or name.startswith(f"{user}-")


_DAEMON = Caller()

#: Of the request that this task executes. Outside of requests it is the daemon itself, which may do everything.
CALLER: ContextVar[Caller] = ContextVar("caller", default=_DAEMON)
