"""One holder at a time, by a number that only grows, for as long as somebody renews it."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bridge.safety.leases import Lease, Leases
from drivers.errors import Busy, InvalidValue, LeaseLost, Refused

GROUPS = {"chamber": ("stage", "tip", "relays")}


class Desk:
    """Leases with a clock and numbers of the test's."""

    def __init__(self) -> None:
        self.now = 100.0
        self.numbers: dict[str, int] = defaultdict(int)
        self.gate: asyncio.Event | None = None
        self.leases = Leases(GROUPS, self._next, lambda: self.now)

    async def _next(self, group: str) -> int:
        if self.gate is not None:
            await self.gate.wait()
        self.numbers[group] += 1
        return self.numbers[group]


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_group_has_one_holder(desk: Desk) -> None:
    lease = await desk.leases.acquire("stage", "alice")
    assert lease.group == "chamber"
    assert desk.leases.check("tip", lease.id, lease.fence) == lease
    with pytest.raises(Busy, match=r"chamber is held by alice, for 5\.0 s still"):
        await desk.leases.acquire("tip", "bob")
    await desk.leases.acquire("pstat", "bob")


async def test_exactly_one_of_many_that_race_wins(desk: Desk) -> None:
    desk.gate = asyncio.Event()
    racing = [asyncio.create_task(desk.leases.acquire("stage", f"client-{number}")) for number in range(20)]
    await asyncio.sleep(0)
    desk.gate.set()
    outcomes = await asyncio.gather(*racing, return_exceptions=True)
    assert sum(isinstance(outcome, Lease) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Busy) for outcome in outcomes) == 19


async def test_a_grant_that_could_not_be_numbered_leaves_the_group_free(desk: Desk) -> None:
    async def broken(group: str) -> int:
        raise OSError(28, "no space left")

    leases = Leases(GROUPS, broken, lambda: desk.now)
    with pytest.raises(OSError, match="no space"):
        await leases.acquire("stage", "alice")
    assert leases.holder("stage") is None
    assert not leases._granting


async def test_it_lasts_as_long_as_it_is_renewed(desk: Desk) -> None:
    lease = await desk.leases.acquire("stage", "alice")
    for _ in range(10):
        desk.now += 4.9
        lease = desk.leases.renew(lease.id)
    desk.now += 5.0
    with pytest.raises(LeaseLost, match="not renewed within 5 s"):
        desk.leases.check("stage", lease.id, lease.fence)
    with pytest.raises(LeaseLost):
        desk.leases.renew(lease.id)
    (ended,) = desk.leases.expire()
    assert ended.lease.holder == "alice"
    assert "nothing came from alice for 5 s" in ended.why
    assert desk.leases.expire() == []


async def test_a_silence_is_told_even_if_somebody_else_was_quicker(desk: Desk) -> None:
    await desk.leases.acquire("stage", "alice")
    desk.now += 5.0
    await desk.leases.acquire("stage", "bob")
    assert [ended.lease.holder for ended in desk.leases.expire()] == ["alice"]
    assert desk.leases.expire() == []


async def test_who_was_frozen_and_thaws_is_refused(desk: Desk) -> None:
    old = await desk.leases.acquire("stage", "alice")
    desk.now += 6.0
    new = await desk.leases.acquire("stage", "bob")
    assert new.fence == old.fence + 1
    with pytest.raises(LeaseLost, match="nothing came from alice"):
        desk.leases.check("stage", old.id, old.fence)


async def test_its_holder_may_acquire_again_and_the_old_one_is_over(desk: Desk) -> None:
    old = await desk.leases.acquire("stage", "alice")
    new = await desk.leases.acquire("tip", "alice")
    assert new.fence > old.fence
    with pytest.raises(LeaseLost, match="acquired chamber again"):
        desk.leases.check("stage", old.id)
    assert desk.leases.check("stage", new.id, new.fence) == new


async def test_an_older_number_is_refused(desk: Desk) -> None:
    lease = await desk.leases.acquire("stage", "alice")
    with pytest.raises(LeaseLost, match="number"):
        desk.leases.check("stage", lease.id, lease.fence - 1)


async def test_a_command_without_or_with_another_lease_is_refused_and_says_why(desk: Desk) -> None:
    with pytest.raises(Refused, match="under a lease only"):
        desk.leases.check("stage", "")
    pstat = await desk.leases.acquire("pstat", "alice")
    with pytest.raises(Refused, match="the lease is for pstat, and stage belongs to chamber"):
        desk.leases.check("stage", pstat.id)
    await desk.leases.acquire("stage", "bob")
    with pytest.raises(Busy, match="held by bob"):
        desk.leases.check("stage", "")
    with pytest.raises(LeaseLost, match="no such lease"):
        desk.leases.check("stage", "0123456789abcdef")


async def test_a_take_over_needs_a_reason_and_tells_the_old_holder(desk: Desk) -> None:
    old = await desk.leases.acquire("stage", "alice")
    with pytest.raises(InvalidValue, match="reason"):
        await desk.leases.take_over("stage", "bob", " ")
    new, ended = await desk.leases.take_over("stage", "bob", "alice went home")
    assert ended is not None
    assert ended.lease == old
    assert "alice went home" in ended.why
    assert new.fence > old.fence
    with pytest.raises(LeaseLost, match="bob took chamber over: alice went home"):
        desk.leases.check("stage", old.id)
    assert desk.leases.expire() == []


async def test_a_run_takes_all_its_groups_or_none(desk: Desk) -> None:
    await desk.leases.acquire("pstat", "bob")
    with pytest.raises(Busy, match="pstat is held by bob"):
        await desk.leases.acquire_for_run(["stage", "pstat"], "r1", by="alice")
    assert desk.leases.holder("stage") is None
    leases = await desk.leases.acquire_for_run(["stage", "tip", "pstat"], "r1", by="bob")
    assert {lease.group for lease in leases} == {"chamber", "pstat"}
    desk.now += 1e6
    assert desk.leases.expire() == []
    with pytest.raises(Busy, match="held by run r1, until it ends"):
        await desk.leases.acquire("stage", "alice")
    with pytest.raises(Busy, match="held by run r1"):
        await desk.leases.take_over("stage", "alice", "because")
    for lease in leases:
        desk.leases.release(lease.id)
    await desk.leases.acquire("stage", "alice")


async def test_a_run_that_does_not_get_all_gives_back_what_it_got() -> None:
    desk = Desk()

    async def fails_for_pstat(group: str) -> int:
        if group == "pstat":
            raise OSError(5, "input/output error")
        return 1

    leases = Leases(GROUPS, fails_for_pstat, lambda: desk.now)
    with pytest.raises(OSError, match="input/output"):
        await leases.acquire_for_run(["stage", "pstat"], "r1")
    assert leases.held() == ()


async def test_a_restart_voids_all(desk: Desk) -> None:
    lease = await desk.leases.acquire("stage", "alice")
    (ended,) = desk.leases.void_all("the computer slept for 3600 s")
    assert ended.lease == lease
    with pytest.raises(LeaseLost, match="slept"):
        desk.leases.renew(lease.id)


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, 61.0, float("nan")])
async def test_a_time_that_is_not_accepted(desk: Desk, ttl_s: float) -> None:
    with pytest.raises(InvalidValue, match="ttl_s"):
        await desk.leases.acquire("stage", "alice", ttl_s)


class AnyOrder(RuleBasedStateMachine):
    """Whatever the order: one holder, growing numbers, and nobody commands after his lease."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.granted: list[tuple[Lease, float]] = []
        self.loop = asyncio.new_event_loop()

    def teardown(self) -> None:
        self.loop.close()

    @rule(holder=st.sampled_from(["a", "b", "c"]), device=st.sampled_from(["stage", "tip", "pstat"]))
    def acquire(self, holder: str, device: str) -> None:
        before = self.desk.leases.holder(device)
        try:
            lease = self.loop.run_until_complete(self.desk.leases.acquire(device, holder))
        except Busy:
            assert before is not None
            assert before.holder != holder
        else:
            assert before is None or before.holder == holder
            self.granted.append((lease, self.desk.now))

    @rule(holder=st.sampled_from(["a", "b"]))
    def take_over(self, holder: str) -> None:
        lease, _ = self.loop.run_until_complete(self.desk.leases.take_over("stage", holder, "why not"))
        self.granted.append((lease, self.desk.now))

    @rule(seconds=st.sampled_from([0.5, 3.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.desk.now += seconds

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        if self.granted:
            index = data.draw(st.integers(0, len(self.granted) - 1))
            lease, _ = self.granted[index]
            try:
                self.desk.leases.renew(lease.id)
            except LeaseLost:
                return
            self.granted[index] = lease, self.desk.now

    @rule()
    def expire(self) -> None:
        for ended in self.desk.leases.expire():
            assert ended.lease.until_s is not None
            assert self.desk.now >= ended.lease.until_s

    @invariant()
    def only_the_newest_and_fresh_counts(self) -> None:
        counting = []
        for lease, since_s in self.granted:
            try:
                self.desk.leases.check(lease.group, lease.id, lease.fence)
            except LeaseLost:
                continue
            assert self.desk.now - since_s < 5.0
            counting.append(lease.group)
        assert len(counting) == len(set(counting))

    @invariant()
    def numbers_grow(self) -> None:
        for group in ("chamber", "pstat"):
            fences = [lease.fence for lease, _ in self.granted if lease.group == group]
            assert fences == sorted(set(fences))


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
