"""Latched faults over repetitions, restarts and acknowledgements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.store.database import Database
from bridge.store.fault_table import KEPT, Fault, FaultTable
from drivers.errors import InvalidValue, Refused

from .conftest import opened


async def raised(faults: FaultTable, kind: str = "disk", device: str = "", text: str = "full", **more: Any) -> Fault:
    return await faults.raise_fault(kind, device, text, **{"at_ns": 1, **more})


async def test_a_repetition_counts_up_and_says_the_new_text(database: Database) -> None:
    faults = FaultTable(database)
    first = await raised(faults, hint="free it", detail={"free_bytes": 5}, at_ns=10)
    assert first == Fault(
        id=1, kind="disk", device="", text="full", hint="free it", detail={"free_bytes": 5}, raised_ns=10, last_ns=10
    )
    await faults.set_cause_gone(first.id, True)
    again = await raised(faults, text="fuller", detail={"free_bytes": 2}, at_ns=20)
    assert again == Fault(
        id=1, kind="disk", device="", text="fuller", detail={"free_bytes": 2}, raised_ns=10, last_ns=20, count=2
    )
    assert await faults.open_faults() == [again]


async def test_kinds_and_devices_have_faults_of_their_own(database: Database) -> None:
    faults = FaultTable(database)
    for kind, device in [("limit", "a"), ("limit", "b"), ("lost", "a")]:
        await raised(faults, kind, device)
    assert [(f.id, f.kind, f.device) for f in await faults.open_faults()] == [
        (1, "limit", "a"),
        (2, "limit", "b"),
        (3, "lost", "a"),
    ]


async def test_open_faults_survive_a_restart(path: Path) -> None:
    async with opened(path) as database:
        fault = await raised(FaultTable(database), "lost", "stage", text="Ä \udc80 \0 gone")
        gone = await FaultTable(database).set_cause_gone(fault.id, True)
        await raised(FaultTable(database), "limit", "pstat")
    async with opened(path) as database:
        faults = FaultTable(database)
        kept, _ = await faults.open_faults()
        assert kept == gone
        assert kept.cause_gone
        assert await faults.doubt_causes() == 2
        assert [fault.cause_gone for fault in await faults.open_faults()] == [False, False]


async def test_only_a_person_clears_a_fault_and_only_once_its_cause_is_gone(path: Path) -> None:
    async with opened(path) as database:
        faults = FaultTable(database)
        fault = await raised(faults, "limit", "pstat", text="5.1 V", hint="Look at the cell.")
        with pytest.raises(Refused, match=r"its cause is still there: 5\.1 V") as caught:
            await faults.acknowledge(fault.id, "ana", at_ns=2)
        assert (caught.value.device, caught.value.hint) == ("pstat", "Look at the cell.")
        await faults.set_cause_gone(fault.id, True)
        await faults.set_cause_gone(fault.id, False)
        with pytest.raises(Refused):
            await faults.acknowledge(fault.id, "ana", at_ns=3)
        await faults.set_cause_gone(fault.id, True)
        assert fault.open
        cleared = await faults.acknowledge(fault.id, "ana", at_ns=4)
        assert (cleared.open, cleared.acknowledged_ns, cleared.acknowledged_by) == (False, 4, "ana")
    async with opened(path) as database:
        faults = FaultTable(database)
        assert await faults.open_faults() == []
        assert await faults.get(fault.id) == cleared
        new = await raised(faults, "limit", "pstat")  # the next one is another one
        assert (new.id, new.count) == (2, 1)
        assert [known.id for known in await faults.newest()] == [2, 1]
        assert [known.id for known in await faults.newest(1)] == [2]


@pytest.mark.parametrize("number", [0, -1, 2, 2**64])
async def test_a_fault_that_is_not_open(database: Database, number: int) -> None:
    faults = FaultTable(database)
    with pytest.raises(InvalidValue, match="is not open; accepted: none"):
        await faults.set_cause_gone(1, True)
    await raised(faults)
    with pytest.raises(InvalidValue, match=f"fault {number} is not open; accepted: 1"):
        await faults.acknowledge(number, "ana", at_ns=1)
    await faults.set_cause_gone(1, True)
    await faults.acknowledge(1, "ana", at_ns=1)
    with pytest.raises(InvalidValue, match="fault 1 is not open"):
        await faults.acknowledge(1, "ben", at_ns=2)


async def test_old_ones_are_forgotten_and_numbers_never_used_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEPT == 1000
    monkeypatch.setattr("bridge.store.fault_table.KEPT", 2)
    for restart in range(3):
        async with opened(path) as database:
            faults = FaultTable(database)
            stays = await raised(faults, "stays")
            for _ in range(3):
                fault = await raised(faults)
                await faults.set_cause_gone(fault.id, True)
                await faults.acknowledge(fault.id, "ana", at_ns=2)
            assert stays.id == 1
            assert [known.id for known in await faults.newest()] == [4 + 3 * restart, 3 + 3 * restart, 1]
