"""The TDstat driver on a bad wire: what is lost, late or doubled never becomes a sample, and the cell ends off."""

from __future__ import annotations

import asyncio
import errno
from contextlib import aclosing, suppress

import numpy as np
import pytest

from drivers.errors import CellNotOff, DeviceError, DeviceLost, DeviceTimeout, LinkError
from drivers.samples import EndReason, Flag
from drivers.techniques import Galvanostatic
from drivers.transports import open_transport
from mocks.instruments.tdstat import TdstatMock
from mocks.wires import serve
from mocks.world import World
from tests.near import near

from .tdstat_rig import CELL, rig

LOOP_OHM = 1e9


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.potentiostats.tdstat.protocol.REPLY_TIMEOUT_S", 0.1)
    monkeypatch.setattr("drivers.potentiostats.tdstat.protocol.QUIET_S", 0.02)


FAULTS = {
    "split": {"fault": "split"},
    "merge": {"fault": "merge", "times": 2},
    "drop": {"fault": "drop"},
    "short": {"fault": "drop", "offset": 1, "count": 20},
    "duplicate": {"fault": "duplicate"},
    "late": {"fault": "late"},
    "garbage": {"fault": "garbage"},
    "garbage after": {"fault": "garbage", "after": True},
    "deaf": {"fault": "deaf"},
}


@pytest.mark.parametrize(
    ("fault", "calibrated"), [*((fault, True) for fault in FAULTS), ("late", False), ("duplicate", False)]
)
async def test_no_fault_ever_makes_a_sample(fault: str, calibrated: bool) -> None:
    """The first hit the set up, a command's reply and the proof after it; the last a sample."""
    async with rig(calibrated=calibrated) as pstat:
        for nth in (1, 6, 27):
            pstat.mock.record.clear()
            pstat.served.faults.script([{"times": 1, **FAULTS[fault], "nth": nth}])
            with suppress(LinkError, DeviceError, CellNotOff):
                block = await pstat.device.galvanostatic(1e-9, 1.0)
                assert block.end is EndReason.DURATION
                assert block["current_a"] == near(np.full(len(block), 1e-9), abs=4e-12)
                assert block["voltage_v"][5:] == near(np.full(len(block) - 5, 1.0), abs=0.02)
                assert len(set(block["time_s"].tolist())) == len(block)
            pstat.served.faults.clear()
            assert not pstat.mock.cell_on
            assert pstat.mock.record.count("CELL ON") <= 1


async def test_a_spoiled_sample_is_asked_for_again_and_the_run_goes_on() -> None:
    async with rig() as pstat:
        async with aclosing(pstat.device.run(Galvanostatic(current_a=1e-9, duration_s=2.0))) as blocks:
            seen = [await anext(blocks)]
            pstat.served.faults.duplicate()
            pstat.served.faults.drop(nth=9)
            seen += [block async for block in blocks]
        assert seen[-1].end is EndReason.DURATION
        flags = np.concatenate([block["flags"] for block in seen])
        assert (flags & Flag.TIMING).any()
        current = np.concatenate([block["current_a"] for block in seen])
        assert current == near(np.full(len(current), 1e-9), abs=4e-12)


@pytest.mark.parametrize("question", [5, 25, 30])
async def test_a_copy_that_comes_after_the_next_question_is_no_sample(question: int) -> None:
    class Echoes(TdstatMock):
        """Sends a sample of 4 V before the true answer, as a copy would come that was under way for long."""

        def _interpret(self, packet: bytes) -> None:
            if packet == b"ADCREAD" and self.record.count("ADCREAD") == question:
                self.send(bytes.fromhex("100000 000000"))
            super()._interpret(packet)

    async with rig(mock_class=Echoes) as pstat:
        block = await pstat.device.galvanostatic(1e-9, 2.0)
        assert pstat.mock.record.count("ADCREAD") > 20
        assert block["voltage_v"].max() < 1.1


async def test_silence_ends_a_run_soon_and_says_that_the_cell_may_be_on() -> None:
    async with rig() as pstat:
        loop = asyncio.get_running_loop()
        started = loop.time()

        async def run() -> None:
            async for _ in pstat.device.run(Galvanostatic(current_a=1e-9, duration_s=1e6)):
                pstat.served.faults.silence()

        with pytest.raises(CellNotOff, match="could not be proven disconnected") as caught:
            await run()
        assert loop.time() - started < 4
        assert "by hand" in caught.value.hint
        assert isinstance(caught.value.__cause__, DeviceTimeout)
        assert not pstat.mock.cell_on, "only its answers were lost"
        pstat.served.faults.clear()
        await pstat.device.cell_off()


async def test_unplugged_in_a_run_and_back() -> None:
    async with rig() as pstat:

        async def run() -> None:
            async for _ in pstat.device.run(Galvanostatic(current_a=1e-9, duration_s=1e6)):
                await pstat.served.unplug()

        with pytest.raises(CellNotOff) as caught:
            await run()
        assert isinstance(caught.value.__cause__, DeviceLost)
        assert pstat.mock.cell_on, "this one has a supply of its own"
        with pytest.raises(DeviceLost):
            await pstat.device.connect()
        await pstat.served.replug()
        await pstat.device.connect()
        assert not pstat.mock.cell_on
        assert (await pstat.device.galvanostatic(1e-9, 0.3)).end is EndReason.DURATION


async def test_unplugged_at_rest_it_forgets_everything() -> None:
    async with rig(relay=CELL) as pstat:
        await pstat.device.galvanostatic(1e-9, 0.3)
        await pstat.served.unplug()
        pstat.mock.power_cycle()
        await pstat.served.replug()
        with pytest.raises(DeviceLost):
            await pstat.device.identify()
        await pstat.device.connect()
        block = await pstat.device.galvanostatic(1e-9, 0.3)
        assert block["current_a"] == near(np.full(len(block), 1e-9), abs=4e-12)


async def test_an_instrument_that_restarts_unnoticed_is_flagged() -> None:
    async with rig() as pstat:
        last = None
        async for block in pstat.device.run(Galvanostatic(current_a=1e-9, duration_s=1.0)):
            if last is None:
                pstat.mock.power_cycle()
            last = block
        assert last is not None
        assert last["flags"][-1] & Flag.COMPLIANCE
        assert abs(last["current_a"][-1]) < 1e-11


@pytest.mark.parametrize("endpoint", [0x01, 0x81])
async def test_a_stalled_endpoint_is_cleared(endpoint: int) -> None:
    async with rig() as pstat:
        pstat.served.wire.stall(endpoint)  # type: ignore[attr-defined]
        with suppress(LinkError):  # what meets the stall may fail, nothing after it
            await pstat.device.identify()
        assert (await pstat.device.galvanostatic(1e-9, 0.3)).end is EndReason.DURATION


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ETIMEDOUT, errno.EOVERFLOW])
async def test_a_passing_error_of_the_usb_library_costs_no_run(number: int) -> None:
    async with rig() as pstat:
        async with aclosing(pstat.device.run(Galvanostatic(current_a=1e-9, duration_s=1.0))) as blocks:
            seen = [await anext(blocks)]
            pstat.served.wire.fail_next("read", number)  # type: ignore[attr-defined]
            seen += [block async for block in blocks]
        assert seen[-1].end is EndReason.DURATION


async def test_an_answer_that_a_dead_program_never_read_is_drained() -> None:
    async with rig(connect=False) as pstat:
        # the instrument spins until somebody reads this, and takes nothing meanwhile
        pstat.mock.receive(b"ADCREAD")
        pstat.mock.receive(b"ADCREAD")
        assert pstat.mock.record == ["ADCREAD"]
        await pstat.device.connect()
        assert (await pstat.device.open_circuit(0.2)).end is EndReason.DURATION


async def test_the_mock_matches_by_exact_length_and_says_wait() -> None:
    world = World()
    mock = TdstatMock(world, "pstat", model="mystat")
    async with serve(mock) as served:
        wire = open_transport(served.address)
        await wire.open()
        clock = world.host_clock("pstat")

        async def ask(packet: bytes) -> bytes:
            await wire.write(packet)
            return await wire.read(2.0)

        assert await ask(b"CELL ON\n") == b"?"
        assert await ask(b"RANGE 5") == b"?"
        assert await ask(b"RANGE 4") == b"OK"
        assert clock.monotonic() == near(0.01)
        assert await ask(b"DACCAL") == b"OK"
        assert clock.monotonic() == near(0.51)
        assert len(await ask(b"ADCREAD")) == 6
        await clock.sleep(0.079)
        assert await ask(b"ADCREAD") == b"WAIT"
        await clock.sleep(0.002)
        assert len(await ask(b"ADCREAD")) == 6
        assert await ask(b"OFFSETSAVE abcdef") == b"OK"
        assert await ask(b"OFFSETREAD") == b"abcdef"
        assert len(await ask(b"SHUNTCALREAD")) == 8
        assert await ask(b"SHUNTCALSAVE abcdef") == b"?"
        assert not mock.cell_on
        await wire.close()
