"""The host's loop for slow instruments, with a clock and an instrument made up in the test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from drivers.errors import CellNotOff, DeviceTimeout, RunFailed
from drivers.potentiostats.limits import OVERLOAD_SAMPLES
from drivers.potentiostats.polling import BLOCK_MAX, Reading, empty_block, poll
from drivers.samples import EndReason, Flag, SampleBlock
from drivers.techniques import Galvanostatic, Potentiostatic
from drivers.uninterrupted import to_the_end

LONG = Galvanostatic(current_a=1e-12, duration_s=1e6, voltage_max_v=4.2)


class Source:
    """Hands out readings a second apart and remembers when it was switched off."""

    def __init__(self, *voltages: float, fail_at: int | None = None, off_fails: bool = False) -> None:
        self.voltages = voltages
        self.fail_at = fail_at
        self.off_fails = off_fails
        self.read = 0
        self.log: list[str] = []

    async def read_one(self) -> Reading | None:
        await asyncio.sleep(0)
        if self.fail_at == self.read:
            raise DeviceTimeout("no reading")
        if self.read >= len(self.voltages):
            return None
        self.read += 1
        self.log.append("read")
        return Reading(float(self.read), self.voltages[self.read - 1], 1e-12)

    async def switch_off(self) -> None:
        self.log.append("off")
        if self.off_fails:
            raise CellNotOff("still on")


async def gather(
    source: Source,
    technique: Galvanostatic | Potentiostatic = LONG,
    stop: asyncio.Event | None = None,
    wait: Callable[[], Awaitable[None]] | None = None,
) -> list[SampleBlock]:
    blocks = []
    stop = stop or asyncio.Event()
    async for block in poll(technique, source.read_one, switch_off=source.switch_off, stop=stop, wait=wait):
        source.log.append("block")
        blocks.append(block)
    return blocks


async def test_samples_come_in_order_and_the_end_is_told_last() -> None:
    source = Source(*[3.0] * 5)
    whole = SampleBlock.concatenate(await gather(source))
    assert whole["time_s"].tolist() == [1, 2, 3, 4, 5]
    assert (whole.first_index, whole.next_index, whole.end) == (0, 5, EndReason.FINISHED)


async def test_a_limit_switches_off_before_anybody_is_told() -> None:
    source = Source(3.0, 4.1, 4.2, 4.3)
    blocks = await gather(source)
    assert blocks[-1].end is EndReason.VOLTAGE_MAX
    assert source.read == 3
    last_read = len(source.log) - 1 - source.log[::-1].index("read")
    assert source.log[last_read + 1 :] == ["off", "block"]


async def test_limits_see_every_sample_not_every_block() -> None:
    technique = Potentiostatic(voltage_v=4.2, duration_s=1e6, taper_current_a=2e-12)
    source = Source(*[4.2] * 10)
    blocks = await gather(source, technique)
    assert (blocks[-1].end, source.read) == (EndReason.TAPER, 3)


async def test_blocks_grow_when_samples_are_fast() -> None:
    source = Source(*[3.0] * (3 * BLOCK_MAX))
    blocks = await gather(source)
    assert len(blocks[0]) == 1
    assert max(len(block) for block in blocks) > 1
    assert all(len(block) <= BLOCK_MAX for block in blocks)
    assert SampleBlock.concatenate(blocks).next_index == 3 * BLOCK_MAX


async def test_stop_ends_a_run_between_readings() -> None:
    stop = asyncio.Event()
    source = Source(*[3.0] * 10)
    blocks: list[SampleBlock] = []
    async for block in poll(LONG, source.read_one, switch_off=source.switch_off, stop=stop):
        blocks.append(block)
        stop.set()
    assert blocks[-1].end is EndReason.STOPPED
    assert source.read < 5
    assert source.log.count("off") == 1


async def test_limits_hold_while_the_consumer_is_elsewhere() -> None:
    """A script that plots for a minute between two blocks does not leave the cell under current with nobody looking."""
    source = Source(*[3.0] * 1500, 4.2, 4.3)
    off = asyncio.Event()

    async def switch_off() -> None:
        await source.switch_off()
        off.set()

    blocks: list[SampleBlock] = []
    async for block in poll(LONG, source.read_one, switch_off=switch_off, stop=asyncio.Event()):
        await off.wait()
        blocks.append(block)
    assert source.read == 1501
    whole = SampleBlock.concatenate(blocks)
    assert (whole.next_index, whole.end) == (1501, EndReason.VOLTAGE_MAX)
    assert all(len(block) <= BLOCK_MAX for block in blocks)


async def test_samples_that_nobody_takes_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.potentiostats.polling.BACKLOG_MAX", 100)
    source = Source(*[3.0] * 1000)
    samples = poll(LONG, source.read_one, switch_off=source.switch_off, stop=asyncio.Event())
    count = len(await anext(samples))
    await asyncio.wait([task for task in asyncio.all_tasks() if task.get_name() == "poll"])
    assert source.log[-1] == "off"
    blocks: list[SampleBlock] = []

    async def take() -> None:
        async for block in samples:
            blocks.append(block)

    with pytest.raises(RunFailed, match="nobody has taken the last 100 samples"):
        await take()
    assert count + sum(map(len, blocks)) == source.read


async def test_leaving_finishes_the_reading_and_switches_off() -> None:
    source = Source(*[3.0] * 1000)
    async with aclosing(poll(LONG, source.read_one, switch_off=source.switch_off, stop=asyncio.Event())) as samples:
        async for _ in samples:
            break
    assert source.log[-1] == "off"
    assert source.read < 1000


async def test_stop_cuts_a_long_wait_short() -> None:
    stop = asyncio.Event()
    waiting = asyncio.Event()

    async def wait() -> None:
        waiting.set()
        await asyncio.sleep(3600)

    async def stop_when_waiting() -> None:
        await waiting.wait()
        stop.set()

    task = asyncio.create_task(stop_when_waiting())
    source = Source(3.0)
    blocks = await gather(source, stop=stop, wait=wait)
    await task
    assert (blocks[-1].end, source.read) == (EndReason.STOPPED, 0)


async def test_a_failing_wait_is_a_failing_run() -> None:
    async def wait() -> None:
        raise DeviceTimeout("no level")

    source = Source(3.0)
    with pytest.raises(DeviceTimeout, match="no level"):
        await gather(source, wait=wait)
    assert source.log == ["off"]


async def test_samples_before_an_error_are_handed_on_and_the_source_is_off_first() -> None:
    source = Source(*[3.0] * 5, fail_at=3)
    blocks: list[SampleBlock] = []
    samples = poll(LONG, source.read_one, switch_off=source.switch_off, stop=asyncio.Event())

    async def take() -> None:
        async for block in samples:
            blocks.append(block)
            source.log.append("block")

    with pytest.raises(DeviceTimeout):
        await take()
    assert SampleBlock.concatenate(blocks)["time_s"].tolist() == [1, 2, 3]
    assert "read" not in source.log[source.log.index("off") :]
    assert all(block.end is None for block in blocks)


async def test_a_source_that_does_not_go_off_is_the_error_that_is_raised() -> None:
    source = Source(*[3.0] * 5, fail_at=2, off_fails=True)
    with pytest.raises(CellNotOff) as raised:
        await gather(source)
    assert isinstance(raised.value.__cause__, DeviceTimeout)


async def test_overloads_end_a_run_and_nan_crosses_nothing() -> None:
    over = [Reading(2.0 + n, 3.0, float("nan"), Flag.OVERLOAD) for n in range(OVERLOAD_SAMPLES)]
    readings = iter([Reading(0.5, float("nan"), 1e-12, Flag.INVALID), Reading(1.0, 3.0, 1e-12), *over])

    async def read_one() -> Reading | None:
        return next(readings)

    source = Source()
    blocks = [b async for b in poll(LONG, read_one, switch_off=source.switch_off, stop=asyncio.Event())]
    whole = SampleBlock.concatenate(blocks)
    assert whole.end is EndReason.OVERLOAD
    assert whole["flags"].tolist() == [Flag.INVALID, Flag.NONE, *[Flag.OVERLOAD] * OVERLOAD_SAMPLES]


def test_the_empty_block_of_a_run_that_never_began() -> None:
    block = empty_block(EndReason.STOPPED, 5)
    assert (len(block), block.end, block.start_time_ns) == (0, EndReason.STOPPED, 5)


async def test_work_goes_to_its_end_through_cancellations() -> None:
    gate = asyncio.Event()
    done: list[str] = []

    async def work() -> str:
        await gate.wait()
        done.append("off")
        return "off"

    task = asyncio.create_task(to_the_end(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["off"]


async def test_work_that_fails_raises_its_own_error() -> None:
    async def work() -> None:
        raise CellNotOff("still on")

    with pytest.raises(CellNotOff):
        await to_the_end(work())
