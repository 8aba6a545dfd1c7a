"""Who controls what: one holder of a group of devices at a time, with a number that only grows, for a few seconds."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from drivers.errors import Busy, InvalidValue, LeaseLost, Refused

#: How long a lease lasts that nobody renews, and the longest that may be asked for, seconds.
TTL_S = 5.0
TTL_MAX_S = 60.0
#: Leases that are over, of which it is remembered why.
_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Lease:
    """`fence` grows by one with each grant of the group, over restarts too. `until_s` is monotonic; None: a run's,
    which lasts as long as the run."""

    id: str
    group: str
    holder: str
    fence: int
    ttl_s: float | None
    until_s: float | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A lease that is over, and why, in words that its holder is told."""

    lease: Lease
    why: str


class Leases:
    """`groups` are devices by group; a device in none is its own group. `next_fence(group)` persists the number before
    it returns it. `clock` is monotonic; everything is on the daemon's clock, never on a sender's."""

    def __init__(
        self,
        groups: Mapping[str, Iterable[str]],
        next_fence: Callable[[str], Awaitable[int]],
        clock: Callable[[], float],
        ttl_s: float = TTL_S,
    ) -> None:
        self.ttl_s = ttl_s
        self._members = {group: tuple(members) for group, members in groups.items()}
        self._group_of = {device: group for group, members in self._members.items() for device in members}
        self._next_fence = next_fence
        self._clock = clock
        self._held: dict[str, Lease] = {}
        #: groups that somebody is being granted just now, with who
        self._granting: dict[str, str] = {}
        self._over: OrderedDict[str, Ended] = OrderedDict()
        #: ran out, and were followed by another lease before anybody had asked
        self._ran_out: list[Ended] = []

    # --- who -------------------------------------------------------------------------------------------------------

    def group_of(self, target: str) -> str:
        """Of a device or a group."""
        return target if target in self._members else self._group_of.get(target, target)

    def members(self, group: str) -> tuple[str, ...]:
        return self._members.get(group, (group,))

    def holder(self, target: str) -> Lease | None:
        """The lease on a device's group that counts now."""
        lease = self._held.get(self.group_of(target))
        return lease if lease is not None and not self._is_over(lease) else None

    def held(self) -> tuple[Lease, ...]:
        return tuple(lease for lease in self._held.values() if not self._is_over(lease))

    # --- other groups ------------------------------------------------------------------------------------------------

    def held_otherwise(self, groups: Mapping[str, Iterable[str]]) -> list[str]:
        """Groups that somebody holds, or is being granted, and that would have other members."""
        after = {group: tuple(members) for group, members in groups.items()}
        group_of = {device: group for group, members in after.items() for device in members}
        return [
            group
            for group in dict.fromkeys((*self._held, *self._granting))
            if set(after.get(group, (group,))) != set(self.members(group)) or group_of.get(group, group) != group
        ]

    def regroup(self, groups: Mapping[str, Iterable[str]]) -> None:
        """Other groups from now on. Raises `Busy`, and changes nothing, while one that would change is held."""
        if held := self.held_otherwise(groups):
            raise Busy(f"{' and '.join(held)} would have other members, and is held", hint="Wait until it is free.")
        self._members = {group: tuple(members) for group, members in groups.items()}
        self._group_of = {device: group for group, members in self._members.items() for device in members}

    # --- taking and giving back --------------------------------------------------------------------------------------

    async def acquire(self, target: str, holder: str, ttl_s: float | None = None) -> Lease:
        """For interactive control. Its holder may acquire again: the new lease has a new number, the old one is over.

        Raises `Busy` naming who holds it and for how long still, `InvalidValue` for a time that is not accepted.
        """
        return await self._grant(self.group_of(target), holder, self._checked_ttl(ttl_s))

    async def acquire_for_run(self, devices: Iterable[str], run: str, by: str = "") -> tuple[Lease, ...]:
        """All groups of a run's devices, or none; for as long as the run lasts. What `by`, who starts it, holds of them
        goes over to the run. Raises `Busy`."""
        groups = sorted({self.group_of(device) for device in devices})
        for group in groups:
            self._require_free(group, by)
        taken: list[Lease] = []
        try:
            for group in groups:
                taken.append(await self._grant(group, f"run {run}", None, instead_of=by))
        except BaseException:
            for lease in taken:
                self._end(lease, f"run {run} did not start")
            raise
        return tuple(taken)

    async def take_over(
        self, target: str, holder: str, reason: str, ttl_s: float | None = None
    ) -> tuple[Lease, Ended | None]:
        """A live lease from its holder, who has to be told (what is returned beside the new lease). To be audited.

        Raises `InvalidValue` without a reason, `Busy` for what a run holds.
        """
        if not reason.strip():
            raise InvalidValue("reason is empty; accepted: why the lease is taken over, for its holder and the audit")
        group = self.group_of(target)
        until = self._checked_ttl(ttl_s)
        before = self.holder(group)
        lease = await self._grant(group, holder, until, instead_of=None if before is None else before.holder)
        if before is None:
            return lease, None
        ended = Ended(before, f"{holder} took {group} over: {reason.strip()}")
        self._remember(ended)
        return lease, ended

    def renew(self, id: str) -> Lease:
        """Another `ttl_s` from now. Raises `LeaseLost`."""
        lease = self._require(id)
        if lease.ttl_s is not None:
            lease = replace(lease, until_s=self._clock() + lease.ttl_s)
            self._held[lease.group] = lease
        return lease

    def release(self, id: str) -> Lease | None:
        """None if it was over already."""
        lease = self._find(id)
        if lease is not None:
            self._end(lease, "it was released")
        return lease

    def expire(self) -> list[Ended]:
        """Those that have run out, once each: the dead-man of each holder fires."""
        ran_out = [self._end(lease, _silent(lease)) for lease in list(self._held.values()) if self._is_over(lease)]
        found, self._ran_out = [*self._ran_out, *ran_out], []
        return found

    def void_all(self, why: str) -> list[Ended]:
        """All of them, as after a start or after the computer slept."""
        return [self._end(lease, why) for lease in list(self._held.values())]

    # --- at each command ---------------------------------------------------------------------------------------------

    def check(self, device: str, id: str, fence: int | None = None) -> Lease:
        """The lease that a command names, if it counts for the device and is the newest.

        Raises `LeaseLost` (ran out, was taken over, an older number), `Busy` (none named, another holds it), `Refused`
        (none named, or one for another group).
        """
        group = self.group_of(device)
        if not id:
            current = self.holder(group)
            if current is not None:
                raise self._busy(current)
            raise Refused(f"{device} is moved or switched on under a lease only", device=device, hint=_ACQUIRE)
        lease = self._require(id)
        if lease.group != group:
            raise Refused(
                f"the lease is for {lease.group}, and {device} belongs to {group}", device=device, hint=_ACQUIRE
            )
        if fence is not None and fence != lease.fence:
            raise LeaseLost(f"the number {fence} is not that of the lease on {group}, {lease.fence}", device=device)
        return lease

    # --- how ---------------------------------------------------------------------------------------------------------

    async def _grant(self, group: str, holder: str, ttl_s: float | None, instead_of: str | None = "") -> Lease:
        if not holder:
            raise InvalidValue("holder is empty; accepted: the name of the client or the run")
        self._require_free(group, holder, instead_of)
        self._granting[group] = holder
        try:
            fence = await self._next_fence(group)
        finally:
            del self._granting[group]
        before = self._held.get(group)
        if before is not None and self._is_over(before):
            self._ran_out.append(self._end(before, _silent(before)))
        elif before is not None:
            self._end(before, f"{holder} acquired {group} again" if before.holder == holder else f"{holder} has it now")
        lease = Lease(
            secrets.token_hex(8), group, holder, fence, ttl_s, None if ttl_s is None else self._clock() + ttl_s
        )
        self._held[group] = lease
        return lease

    def _require_free(self, group: str, *holders: str | None) -> None:
        """For any of `holders`. Raises `Busy`."""
        if (other := self._granting.get(group)) is not None:
            raise Busy(f"{group} is being granted to {other} just now", hint="Ask again in a moment.")
        current = self.holder(group)
        if current is not None and (current.holder not in holders or current.until_s is None):
            raise self._busy(current)

    def _busy(self, lease: Lease) -> Busy:
        left = (
            "until it ends" if lease.until_s is None else f"for {max(0.0, lease.until_s - self._clock()):.1f} s still"
        )
        hint = "Abort the run, or wait." if lease.until_s is None else "Wait, or take the lease over with a reason."
        return Busy(f"{lease.group} is held by {lease.holder}, {left}", hint=hint, holder=lease.holder)

    def _checked_ttl(self, ttl_s: float | None) -> float:
        if ttl_s is None:
            return self.ttl_s
        if not 0 < ttl_s <= TTL_MAX_S:
            raise InvalidValue(f"ttl_s is {ttl_s:g} s; accepted: above 0, up to {TTL_MAX_S:g} s")
        return ttl_s

    def _is_over(self, lease: Lease) -> bool:
        return lease.until_s is not None and self._clock() >= lease.until_s

    def _find(self, id: str) -> Lease | None:
        return next((lease for lease in self._held.values() if lease.id == id), None)

    def _require(self, id: str) -> Lease:
        lease = self._find(id)
        if lease is not None and not self._is_over(lease):
            return lease
        if lease is not None:
            raise LeaseLost(f"the lease on {lease.group} ran out: it was not renewed within {lease.ttl_s:g} s")
        ended = self._over.get(id)
        if ended is not None:
            raise LeaseLost(f"the lease on {ended.lease.group} is over: {ended.why}")
        raise LeaseLost("there is no such lease: it is older than the daemon, or was never granted", hint=_ACQUIRE)

    def _end(self, lease: Lease, why: str) -> Ended:
        if self._held.get(lease.group) is lease:
            del self._held[lease.group]
        return self._remember(Ended(lease, why))

    def _remember(self, ended: Ended) -> Ended:
        self._over[ended.lease.id] = ended
        while len(self._over) > _REMEMBERED:
            self._over.popitem(last=False)
        return ended


_ACQUIRE = "Acquire the lease first; it is renewed every second, and lasts a few seconds longer."


def _silent(lease: Lease) -> str:
    return f"nothing came from {lease.holder} for {lease.ttl_s:g} s"
