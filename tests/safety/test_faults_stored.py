"""Faults over restarts on the real store, and in any order of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge.safety.faults import Latched
from bridge.store.database import Database
from bridge.store.fault_table import FaultTable
from drivers.errors import FaultLatched, PicobridgeError, Refused

from .faults_in_memory import (
    STAGE,
    TIP,
    Memory,
    acknowledged,
    faults_on,
)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "state.db")
    await database.open()
    yield database
    await database.close()


async def test_it_outlives_a_restart_and_its_cause_is_doubted(database: Database) -> None:
    before = faults_on(FaultTable(database))
    await before.latch("touch", "stage", "the touch alarm tripped")
    gone = await before.cause_gone("touch", "stage")
    assert gone is not None
    after = faults_on(FaultTable(database))
    (latched,) = await after.load()
    assert (latched.text, latched.cause_gone) == ("the touch alarm tripped", False)
    assert latched.id is not None
    assert latched.fault is not None
    assert not latched.fault.cause_gone
    with pytest.raises(FaultLatched):
        after.require(TIP)
    with pytest.raises(Refused, match="its cause is still there"):
        await after.acknowledge(latched.id, gone.ticket, "alice")
    await acknowledged(after, "touch", "stage")
    assert await faults_on(FaultTable(database)).load() == ()


class AnyOrder(RuleBasedStateMachine):
    """Whatever the order: a fault that came after the last cause was gone, or was not acknowledged since, forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = Memory()
        self.faults = faults_on(self.store)
        self.forbidden = False
        self.gone = False
        self.tickets: list[str] = ["", "00000000"]

    def teardown(self) -> None:
        self.loop.close()

    def latched(self) -> Latched | None:
        return next(iter(self.faults.open()), None)

    @rule()
    def latch(self) -> None:
        self.loop.run_until_complete(self.faults.latch("touch", "stage", "touched"))
        self.forbidden, self.gone = True, False

    @rule(gone=st.booleans())
    def cause(self, gone: bool) -> None:
        latched = self.loop.run_until_complete(self.faults.cause_gone("touch", "stage", gone))
        if latched is not None:
            self.gone = gone
            self.tickets.append(latched.ticket)

    @rule(data=st.data())
    def acknowledge_with_any_ticket_that_was_ever_seen(self, data: st.DataObject) -> None:
        latched = self.latched()
        ticket = data.draw(st.sampled_from(self.tickets))
        try:
            self.loop.run_until_complete(self.faults.acknowledge(latched.id or 0 if latched else 1, ticket, "alice"))
        except PicobridgeError:
            return
        assert self.gone
        assert latched is not None
        assert ticket == latched.ticket
        self.forbidden = False

    @precondition(lambda self: self.store.rows)
    @rule()
    def restart(self) -> None:
        self.faults = faults_on(self.store)
        self.loop.run_until_complete(self.faults.load())
        self.gone = False

    @invariant()
    def it_forbids_exactly_until_it_was_acknowledged(self) -> None:
        try:
            self.faults.require(STAGE)
        except FaultLatched:
            assert self.forbidden
        else:
            assert not self.forbidden
        stored = [row for row in self.store.rows.values() if row.open]
        assert bool(stored) == self.forbidden


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
