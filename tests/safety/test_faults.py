"""A fault forbids until a person has looked after its cause was gone; a device that was not read is not moved."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge.safety.acts import Act, act_of_call
from bridge.safety.faults import EMERGENCY_STOP, Faults, Latched
from bridge.store.database import Database
from bridge.store.fault_table import Fault, FaultTable
from drivers.errors import CellNotOff, FaultLatched, InvalidValue, PicobridgeError, Refused

DEVICES = {"pstat": "potentiostat", "stage": "stage", "tip": "manipulator", "gauge": "gauge"}
CHAMBER = ("stage", "tip")


def members(device: str) -> tuple[str, ...]:
    return CHAMBER if device in CHAMBER else (device,)


class Memory:
    """A store that can be made to wait, or to fail."""

    def __init__(self) -> None:
        self.rows: dict[int, Fault] = {}
        self.failing = False
        self.gate: asyncio.Event | None = None
        self.log: list[str] = []

    async def _io(self) -> None:
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if self.failing:
            raise OSError(28, "no space left on device")

    async def raise_fault(
        self, kind: str, device: str, text: str, *, hint: str = "", detail: Any = None, at_ns: int
    ) -> Fault:
        await self._io()
        self.log.append(f"stored {kind}")
        found = next((row for row in self.rows.values() if row.open and (row.kind, row.device) == (kind, device)), None)
        if found is None:
            found = Fault(
                id=len(self.rows) + 1, kind=kind, device=device, text=text, raised_ns=at_ns, last_ns=at_ns, count=0
            )
        row = dataclasses.replace(found, text=text, hint=hint, last_ns=at_ns, count=found.count + 1, cause_gone=False)
        self.rows[row.id] = row
        return row

    async def set_cause_gone(self, number: int, gone: bool) -> Fault:
        await self._io()
        self.rows[number] = dataclasses.replace(self.rows[number], cause_gone=gone)
        return self.rows[number]

    async def doubt_causes(self) -> int:
        for number, row in self.rows.items():
            self.rows[number] = dataclasses.replace(row, cause_gone=False)
        return len(self.rows)

    async def acknowledge(self, number: int, by: str, *, at_ns: int) -> Fault:
        await self._io()
        if not self.rows[number].cause_gone:
            raise Refused("its cause is still there")
        self.rows[number] = dataclasses.replace(self.rows[number], acknowledged_ns=at_ns, acknowledged_by=by)
        return self.rows[number]

    async def open_faults(self) -> list[Fault]:
        return [row for row in self.rows.values() if row.open]


def faults_on(store: Any) -> Faults:
    ticks = itertools.count(1)
    faults = Faults(store, DEVICES, members, lambda: next(ticks))
    for device in DEVICES:
        faults.was_read(device)
    return faults


@pytest.fixture
def store() -> Memory:
    return Memory()


@pytest.fixture
def faults(store: Memory) -> Faults:
    return faults_on(store)


def act(device: str, method: str, **arguments: Any) -> Act:
    return act_of_call(device, DEVICES[device], method, arguments)


CHARGE = act("pstat", "galvanostatic", current_a=1e-12)
TIP = act("tip", "move_by", z_m=1e-6)
STAGE = act("stage", "move_to", x_m=0.0)


async def acknowledged(faults: Faults, kind: str, device: str) -> None:
    latched = await faults.cause_gone(kind, device)
    assert latched is not None
    assert latched.id is not None
    await faults.acknowledge(latched.id, latched.ticket, "alice")


# --- starting --------------------------------------------------------------------------------------------------------


async def test_until_a_device_was_read_it_neither_moves_nor_energises(store: Memory) -> None:
    faults = Faults(store, DEVICES, members, lambda: 1)
    with pytest.raises(FaultLatched, match="the state of tip was not read yet"):
        faults.require(TIP)
    faults.require(act("tip", "stop"))
    faults.require(act("tip", "position"))
    faults.require(act("pstat", "cell_off"))
    faults.was_read("tip")
    faults.require(TIP)
    with pytest.raises(FaultLatched):
        faults.require(CHARGE)
    faults.must_be_read("tip")
    with pytest.raises(FaultLatched):
        faults.require(TIP)
    assert store.rows == {}


# --- what is forbidden -----------------------------------------------------------------------------------------------


async def test_a_fault_forbids_in_its_group_only_and_never_the_safe_direction(faults: Faults) -> None:
    await faults.latch("device_lost", "stage", "the stage was unplugged during a move")
    with pytest.raises(FaultLatched, match=r"unplugged during a move \(fault 1, the cause is still there\)") as caught:
        faults.require(TIP)
    assert caught.value.detail["faults"][0]["kind"] == "device_lost"
    faults.require(CHARGE)
    faults.require(act("tip", "set_speed", speed_m_per_s=1e-6))
    for method in ("stop", "position", "make_safe", "identify"):
        faults.require(act("stage", method))


async def test_an_emergency_stop_forbids_everything_but_the_safe_direction(faults: Faults) -> None:
    await faults.latch(EMERGENCY_STOP, "", "emergency stop by alice")
    for forbidden in (TIP, CHARGE, STAGE, act("tip", "set_speed", speed_m_per_s=1e-6)):
        with pytest.raises(FaultLatched, match="emergency stop by alice"):
            faults.require(forbidden)
    faults.require(act("pstat", "cell_off"))


async def test_it_forbids_before_it_is_on_disk(store: Memory, faults: Faults) -> None:
    store.gate = asyncio.Event()
    latching = asyncio.create_task(faults.latch("cell_not_off", "pstat", "the cell could not be proven off"))
    await asyncio.sleep(0)
    with pytest.raises(FaultLatched, match="not yet stored"):
        faults.require(CHARGE)
    store.gate.set()
    assert (await latching).id == 1


async def test_it_forbids_although_it_could_not_be_stored_and_is_stored_later(store: Memory, faults: Faults) -> None:
    store.failing = True
    with pytest.raises(OSError, match="no space"):
        await faults.latch("cell_not_off", "pstat", "the cell could not be proven off")
    await faults.cause_gone("cell_not_off", "pstat")
    with pytest.raises(FaultLatched):
        faults.require(CHARGE)
    store.failing = False
    assert await faults.store_again() == 1
    assert await faults.store_again() == 0
    (latched,) = faults.open()
    assert latched.id is not None
    await faults.acknowledge(latched.id, latched.ticket, "alice")
    faults.require(CHARGE)


# --- persisted before reported ---------------------------------------------------------------------------------------


async def test_the_safe_state_waits_for_nothing_and_is_reported_when_the_fault_is_stored(
    store: Memory, faults: Faults
) -> None:
    store.gate = asyncio.Event()

    made_safe = asyncio.Event()

    async def make_safe() -> str:
        store.log.append("safe")
        made_safe.set()
        return "done"

    task = asyncio.create_task(faults.latch_and_make_safe("deadman", "stage", "nothing came for 5 s", make_safe))
    await made_safe.wait()
    await asyncio.sleep(0)
    assert not task.done()
    store.gate.set()
    assert await task == "done"
    assert store.log == ["safe", "stored deadman"]


async def test_a_safe_state_that_fails_says_so_and_the_fault_is_stored_all_the_same(
    store: Memory, faults: Faults
) -> None:
    async def make_safe() -> None:
        raise CellNotOff("the cell could not be proven off", device="pstat")

    with pytest.raises(CellNotOff):
        await faults.latch_and_make_safe("deadman", "pstat", "nothing came for 5 s", make_safe)
    assert store.log == ["stored deadman"]


async def test_a_full_disk_does_not_keep_it_from_being_made_safe(store: Memory, faults: Faults) -> None:
    store.failing = True

    async def make_safe() -> None:
        store.log.append("safe")

    with pytest.raises(OSError, match="no space"):
        await faults.latch_and_make_safe("deadman", "pstat", "nothing came for 5 s", make_safe)
    assert store.log == ["safe"]


async def test_a_cancellation_waits_for_both(store: Memory, faults: Faults) -> None:
    store.gate = asyncio.Event()
    done = asyncio.Event()

    async def make_safe() -> None:
        await done.wait()
        store.log.append("safe")

    task = asyncio.create_task(faults.latch_and_make_safe("deadman", "stage", "silence", make_safe))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    done.set()
    store.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(store.log) == ["safe", "stored deadman"]


# --- acknowledging ---------------------------------------------------------------------------------------------------


async def test_it_is_acknowledged_only_when_its_cause_is_gone(faults: Faults) -> None:
    latched = await faults.latch("touch", "stage", "the touch alarm tripped", hint="Find out what touches.")
    assert latched.id is not None
    with pytest.raises(Refused, match="its cause is still there") as caught:
        await faults.acknowledge(latched.id, "", "alice")
    assert caught.value.hint == "Find out what touches."
    await acknowledged(faults, "touch", "stage")
    faults.require(STAGE)
    assert faults.open() == ()


async def test_an_acknowledgement_sent_before_the_cause_was_gone_never_counts(faults: Faults) -> None:
    latched = await faults.latch("touch", "stage", "the touch alarm tripped")
    assert latched.id is not None
    early = latched.ticket
    with pytest.raises(Refused):
        await faults.acknowledge(latched.id, early, "alice")
    await faults.cause_gone("touch", "stage")
    with pytest.raises(Refused, match="has changed since"):
        await faults.acknowledge(latched.id, early, "alice")
    assert len(faults.open()) == 1


async def test_one_that_is_held_down_does_not_acknowledge_what_comes_back(faults: Faults) -> None:
    await faults.latch("touch", "stage", "the touch alarm tripped")
    before = await faults.cause_gone("touch", "stage")
    assert before is not None
    assert before.id is not None
    await faults.cause_gone("touch", "stage", gone=False)
    after = await faults.cause_gone("touch", "stage")
    assert after is not None
    with pytest.raises(Refused, match="has changed since"):
        await faults.acknowledge(before.id, before.ticket, "alice")
    await faults.acknowledge(before.id, after.ticket, "alice")
    with pytest.raises(InvalidValue, match="is not open"):
        await faults.acknowledge(before.id, after.ticket, "alice")


async def test_one_that_comes_back_while_it_is_acknowledged_stays(store: Memory, faults: Faults) -> None:
    await faults.latch("touch", "stage", "the touch alarm tripped")
    latched = await faults.cause_gone("touch", "stage")
    assert latched is not None
    assert latched.id is not None
    store.gate = asyncio.Event()
    acknowledging = asyncio.create_task(faults.acknowledge(latched.id, latched.ticket, "alice"))
    await asyncio.sleep(0)
    again = asyncio.create_task(faults.latch("touch", "stage", "the touch alarm tripped again"))
    await asyncio.sleep(0)
    store.gate.set()
    await acknowledging
    await again
    (left,) = faults.open()
    assert left.text == "the touch alarm tripped again"
    assert left.id != latched.id
    with pytest.raises(FaultLatched):
        faults.require(STAGE)


async def test_one_that_is_acknowledged_while_it_is_written_that_its_cause_is_gone(
    store: Memory, faults: Faults
) -> None:
    await faults.latch("touch", "stage", "the touch alarm tripped")
    store.gate = asyncio.Event()
    going = asyncio.create_task(faults.cause_gone("touch", "stage"))
    await asyncio.sleep(0)
    (shown,) = faults.open()
    assert shown.cause_gone
    assert shown.id is not None
    acknowledging = asyncio.create_task(faults.acknowledge(shown.id, shown.ticket, "alice"))
    await asyncio.sleep(0)
    store.gate.set()
    await going
    assert not (await acknowledging).open
    assert faults.open() == ()
    faults.require(STAGE)


@pytest.mark.parametrize("later", ["the disk is tried again", "somebody acknowledges"])
async def test_a_cause_that_could_not_be_stored_as_gone_is_stored_later(
    store: Memory, faults: Faults, later: str
) -> None:
    await faults.latch("touch", "stage", "the touch alarm tripped")
    store.failing = True
    with pytest.raises(OSError, match="no space"):
        await faults.cause_gone("touch", "stage")
    (shown,) = faults.open()
    assert shown.cause_gone
    assert not shown.stored
    assert shown.id is not None
    await faults.cause_gone("touch", "stage")  # nothing new
    store.failing = False
    if later == "the disk is tried again":
        assert await faults.store_again() == 1
        assert await faults.store_again() == 0
        assert store.rows[shown.id].cause_gone
    await faults.acknowledge(shown.id, shown.ticket, "alice")
    faults.require(STAGE)


async def test_what_the_disk_missed_between_two_failures_is_stored(store: Memory, faults: Faults) -> None:
    store.failing = True
    with pytest.raises(OSError, match="no space"):
        await faults.latch("touch", "stage", "first")
    await faults.cause_gone("touch", "stage")
    store.failing = False
    stores = store.set_cause_gone

    async def fails(number: int, gone: bool) -> Fault:
        raise OSError(28, "no space left on device")

    store.set_cause_gone = fails  # type: ignore[method-assign]
    with pytest.raises(OSError, match="no space"):
        await faults.store_again()
    store.set_cause_gone = stores  # type: ignore[method-assign]
    assert await faults.store_again() == 1
    (shown,) = faults.open()
    assert shown.stored
    assert store.rows[1].cause_gone


async def test_one_that_came_back_while_it_was_acknowledged_and_could_not_be_stored_is_stored_later(
    store: Memory, faults: Faults
) -> None:
    await faults.latch("touch", "stage", "the touch alarm tripped")
    latched = await faults.cause_gone("touch", "stage")
    assert latched is not None
    assert latched.id is not None
    store.gate = asyncio.Event()
    acknowledging = asyncio.create_task(faults.acknowledge(latched.id, latched.ticket, "alice"))
    await asyncio.sleep(0)
    again = asyncio.create_task(faults.latch("touch", "stage", "the touch alarm tripped"))
    await asyncio.sleep(0)
    again.cancel()  # before it was its turn to write
    store.gate.set()
    await acknowledging
    await faults.cause_gone("touch", "stage")
    assert await faults.store_again() == 1
    (left,) = faults.open()
    assert left.id == 2
    await faults.acknowledge(left.id, left.ticket, "alice")
    assert faults.open() == ()


async def test_the_same_fault_again_is_one_fault_that_counts_up(faults: Faults) -> None:
    await faults.latch("touch", "stage", "first")
    again = await faults.latch("touch", "stage", "second")
    assert (again.id, again.text, len(faults.open())) == (1, "second", 1)
    assert again.to_dict()["count"] == 2


async def test_nobody_acknowledges_nameless_or_what_is_not_there(faults: Faults) -> None:
    await faults.latch("touch", "stage", "the touch alarm tripped")
    with pytest.raises(InvalidValue, match="by is empty"):
        await faults.acknowledge(1, "", "")
    with pytest.raises(InvalidValue, match="fault 7 is not open; accepted: 1"):
        await faults.acknowledge(7, "", "alice")


# --- over a restart, on the real store -------------------------------------------------------------------------------


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
