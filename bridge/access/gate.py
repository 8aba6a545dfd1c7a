"""What a request must be beside well-formed: from a known user, of a high enough role, not too often, in order.

Without [access] the broker proves nobody: requests name no user in their topic, everybody may do everything, and only
the order is checked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from bridge.transfer.messages import Request
from drivers.errors import Busy, InvalidValue, Refused

from .caller import Caller, is_of
from .options import Access
from .permissions import Role, check_role
from .rates import Bucket

#: Senders and leases whose last `seq` is kept.
ORDERS = 4096


class Gate:
    """One for each daemon. `now_s` is a monotonic clock."""

    def __init__(self, access: Access | None, now_s: Callable[[], float] | None = None) -> None:
        self._access = access
        self._clock = {} if now_s is None else {"now_s": now_s}
        self._requests: dict[str, Bucket] = {}
        self._answers: dict[str, Bucket] = {}
        self._last: OrderedDict[tuple[str, str, str], int] = OrderedDict()

    def use(self, access: Access | None) -> None:
        """Other users, roles and rates from now on."""
        self._access = access
        self._requests.clear()
        self._answers.clear()

    @property
    def proves_users(self) -> bool:
        return self._access is not None

    def admit(self, user: str, method: str) -> None:
        """Before anything of the request is decoded. `user` is as the topic has it, "" if it has none.

        Raises `Refused`, and `Busy` for one too many.
        """
        access = self._access
        if access is None:
            if user:
                raise Refused(
                    f"request/{user}/{method} names a user, and this bridge has none; it was not executed",
                    hint=f"Publish to request/{method}, or configure [access].",
                )
            return
        if not self._bucket(self._requests, user).take():
            raise Busy(
                f"more than {access.requests_per_s} requests a second; it was not executed",
                hint="Ask less often, and wait for answers. Stops are never held back.",
            )
        if not user:
            raise Refused(
                f"request/{method} does not say who asks; it was not executed",
                hint=f"This bridge has users: publish to request/USER/{method}, with your name on the broker.",
            )
        role = access.users.get(user)
        if role is None:
            raise Refused(
                f"{user} is no user of this bridge; {method} was not executed",
                hint="Users are listed in [access.users] of the daemon's configuration.",
                user=user,
            )
        check_role(user, role, method)

    def may_answer(self, user: str) -> bool:
        """Whether a refused request is to be answered: those of a flood are not."""
        return self._access is None or self._bucket(self._answers, user).take()

    def caller(self, user: str, request: Request) -> Caller:
        """Raises `InvalidValue` if the request says that it is from somebody else."""
        if self._access is None:
            return Caller("", Role.ADMINISTRATOR, request.sender, request.lease, request.fence)
        if not is_of(user, request.sender):
            raise InvalidValue(
                f"from is {request.sender!r}, and the request came as {user}'s; "
                f"accepted: {user}, or a name that begins with {user}-"
            )
        return Caller(user, self._access.users.get(user, Role.OBSERVER), request.sender, request.lease, request.fence)

    def stopper(self, user: str, request: Request) -> Caller:
        """As `caller` for a request in the safe direction, which nothing holds back."""
        if self._access is None:
            return self.caller(user, request)
        sender = request.sender if is_of(user, request.sender) else user
        return Caller(user, self._access.users.get(user, Role.OBSERVER), sender, request.lease, request.fence)

    def check_order(self, caller: Caller, seq: int | None) -> None:
        """Raises `Refused` if a request with this `seq` or a higher one of the same sender and lease came before."""
        if seq is None:
            return
        key = (caller.user, caller.sender, caller.lease)
        last = self._last.get(key)
        if last is not None and seq <= last:
            raise Refused(
                f"seq is {seq}, and {last} came before; it was not executed",
                hint="Each request of a sender and lease needs a higher seq than the one before.",
                seq=seq,
                last=last,
            )
        self._last[key] = seq
        self._last.move_to_end(key)
        while len(self._last) > ORDERS:
            self._last.popitem(last=False)

    def _bucket(self, buckets: dict[str, Bucket], user: str) -> Bucket:
        """Those who are no users share one, or they could fill the memory with names."""
        access = self._access
        assert access is not None
        name = user if user in access.users else ""
        if name not in buckets:
            buckets[name] = Bucket(access.requests_per_s, access.burst, **self._clock)
        return buckets[name]
