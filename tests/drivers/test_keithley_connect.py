"""Connecting to a source that somebody left on: off it goes, whatever the wire does to the answers."""

from __future__ import annotations

import pytest

from drivers.errors import CellNotOff, LinkError

from .keithley_bench import CELL_RELAY, Bench, bench


async def left_on(b: Bench) -> None:
    """1 V on the terminals in the NORMal off state, as a crashed program leaves it."""
    b.mock.receive(b":SOUR:FUNC VOLT\n:SOUR:VOLT 1\n:OUTP ON\n")
    assert not b.mock.cell_is_open


async def position_of(model: str, query: str) -> int:
    """The how-manieth reply at connecting is the answer to `query`."""
    async with bench(mock={"model": model}, route=CELL_RELAY) as b:
        asked = [command for command in b.mock.record if command.endswith("?")]
        return asked.index(query) + 1


@pytest.mark.parametrize(("model", "query"), [("6430", ":OUTP?"), ("2450", ":OUTP?"), ("2450", "*LANG?")])
@pytest.mark.parametrize("fault", ["drop", "late"])
async def test_one_answer_lost_at_connecting_does_not_leave_the_source_on(model: str, query: str, fault: str) -> None:
    nth = await position_of(model, query)
    async with bench(mock={"model": model}, route=CELL_RELAY, connect=False, timeout=0.3) as b:
        await left_on(b)
        rule = getattr(b.served.faults, fault)(nth=nth, times=1)
        await b.smu.connect()
        assert rule.hits == 1
        assert b.mock.cell_is_open


@pytest.mark.parametrize("model", ["6430", "2450"])
async def test_a_wire_that_goes_silent_after_the_identity_still_carries_off(model: str) -> None:
    async with bench(mock={"model": model}, route=CELL_RELAY, connect=False, timeout=0.2) as b:
        await left_on(b)
        nth = await position_of(model, ":OUTP?" if model == "6430" else "*LANG?")
        b.served.faults.silence(nth=nth)
        with pytest.raises((CellNotOff, LinkError)):
            await b.smu.connect()
        assert b.mock.cell_is_open
