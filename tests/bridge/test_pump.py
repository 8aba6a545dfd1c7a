"""The queue between a device and the broker, without a broker."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bridge.transfer import codec
from bridge.transfer.pump import PAYLOAD_LIMIT, Package, SamplePump
from bridge.transfer.throttle import Throttle

from .fakes import ramp


def pump(limit_bytes: int = 64_000_000) -> SamplePump:
    return SamplePump("s", lambda: None, limit_bytes)


def test_a_block_goes_out_as_it_came_while_nothing_waits() -> None:
    p = pump()
    for block in ramp(30, 10):
        taken = p.take(block)
        package = p.next()
        assert package is not None
        assert codec.decode(package.payload).first_index == taken.first_index
        assert len(package.block) == 10
        p.acknowledged(package)
    assert (p.next_index, p.published, p.pending, p.waiting_bytes, p.idle) == (30, 30, 0, 0, True)


def test_what_waits_is_merged_and_what_is_long_is_cut() -> None:
    p = pump()
    for block in ramp(10_000, 1):
        p.take(block)
    for block in ramp(10_000, 10_000):
        p.take(block)
    packages = drain(p)
    assert all(len(package.payload) <= PAYLOAD_LIMIT for package in packages)
    assert len(packages) <= 11
    assert indices(packages) == list(range(20_000))
    assert p.waiting_bytes == 0


def test_memory_stays_near_the_limit_while_single_samples_wait() -> None:
    p = pump(100_000_000)
    for block in ramp(20_000, 1):
        p.take(block)
    assert p.waiting_bytes < 20_000 * 28 * 2
    assert len(p._blocks) < 20_000 / 30


def test_different_attributes_are_not_merged() -> None:
    p = pump()
    for number, block in enumerate(ramp(6, 2)):
        p.take(type(block)(block.stream, 0, 0, block.columns, block.data, None, {"step": number}))
    packages = drain(p)
    assert [package.block.attributes["step"] for package in packages] == [0, 1, 2]


async def test_a_full_queue_says_so_and_takes_one_more_block() -> None:
    p = pump(5_000)
    blocks = ramp(1000, 100)
    p.take(blocks[0])
    assert not p.full
    p.take(blocks[1])
    assert p.full
    assert not await p.room(0.0)
    waiting = asyncio.create_task(p.room(10))
    await asyncio.sleep(0)
    package = p.next()
    assert package is not None
    assert await waiting
    p.lost([package])
    assert p.full


@given(
    sizes=st.lists(st.integers(0, 400), min_size=1, max_size=60),
    chance=st.randoms(use_true_random=False),
    limits=st.lists(st.sampled_from([1024, 3000, PAYLOAD_LIMIT]), min_size=1, max_size=5),
)
def test_whatever_is_lost_on_the_way_every_index_is_acknowledged_once(
    sizes: list[int], chance: Any, limits: list[int]
) -> None:
    p = pump()
    delivered: list[Package] = []
    in_flight: list[Package] = []
    blocks = [ramp(size, max(size, 1), end=False)[0] for size in sizes if size]
    total = sum(map(len, blocks))
    while blocks or p.waiting or in_flight:
        action = chance.random()
        if blocks and action < 0.4:
            p.take(blocks.pop(0))
        elif action < 0.7:
            package = p.next(chance.choice(limits))
            if package is not None:
                in_flight.append(package)
        elif action < 0.9 and in_flight:
            p.acknowledged(in_flight[0])
            delivered.append(in_flight.pop(0))
        elif action > 0.97:
            p.lost(in_flight)
            in_flight = []
    assert indices(delivered) == list(range(total))
    assert (p.next_index, p.published, p.pending, p.waiting_bytes, p.idle) == (total, total, 0, 0, True)


async def test_a_throttle_passes_the_first_at_once_and_the_last_always() -> None:
    seen: list[int] = []
    throttle: Throttle[int] = Throttle(0.02, seen.append)
    for value in range(10):
        throttle.offer(value)
    assert seen == [0]
    await asyncio.sleep(0.1)
    assert seen == [0, 9]
    assert throttle.dropped == 8
    throttle.offer(10)
    throttle.offer(11)
    throttle.flush()
    assert seen == [0, 9, 10, 11]
    await asyncio.sleep(0.05)
    assert seen == [0, 9, 10, 11]


def drain(p: SamplePump) -> list[Package]:
    packages = []
    while (package := p.next()) is not None:
        packages.append(package)
        p.acknowledged(package)
    return packages


def indices(packages: list[Package]) -> list[int]:
    decoded = [codec.decode(package.payload) for package in packages]
    return list(np.concatenate([np.arange(b.first_index, b.next_index) for b in decoded])) if decoded else []
