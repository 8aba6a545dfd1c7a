"""A fault is acknowledged by a name, after its cause was gone, and once."""

from __future__ import annotations

import asyncio

import pytest

from bridge.safety.faults import Faults
from bridge.store.fault_table import Fault
from drivers.errors import FaultLatched, InvalidValue, Refused

from .faults_in_memory import (
    STAGE,
    Memory,
    acknowledged,
)
from .faults_in_memory import faults as faults
from .faults_in_memory import store as store


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
