"""A subscriber of sample blocks in a process of its own: starts a run, takes its samples as arrays, checks them."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import numpy as np

from bridge.client import BlockStream, connect
from bridge.client.connection import Connection as ClientConnection
from bridge.client.connection import Listener
from bridge.transfer.codec import encode
from bridge.transfer.mqtt import BrokerAddress
from bridge.transfer.topics import Topics
from drivers.samples import SampleBlock

from .daemon_process import BRIDGE
from .machine import cpu_s, rss_bytes
from .processes import heard
from .sessions import SESSIONS
from .stream_instrument import CURRENT_A

DEVICE = "pstat"
#: So many payloads are kept, for the bare loop to send the same.
_KEPT_PAYLOADS = 64


@dataclass(frozen=True, slots=True)
class Task:
    """`meters` are the processes whose use of the machine is noted, at the first block, every `mark_every` samples and
    at the last block. `values` says whether the values are those of an unpaced stream, to be checked. Without `takes`
    the run is only started and awaited."""

    url: str
    samples: int
    interval_s: float
    meters: dict[str, int] = field(default_factory=dict)
    session: str = "aiomqtt"
    mark_every: int = 1_000_000
    values: bool = True
    takes: bool = True


@dataclass(frozen=True, slots=True)
class Mark:
    """`samples` had arrived at `time_s` (monotonic), by when each process had used this much."""

    samples: int
    time_s: float
    cpu_s: dict[str, float]
    rss_bytes: dict[str, int]


@dataclass(slots=True)
class Outcome:
    received: int = 0
    missing: int = 0
    duplicated: int = 0
    malformed: int = 0
    wrong: int = 0
    blocks: int = 0
    marks: list[Mark] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)


def run(pipe: Connection, task: Task) -> None:
    """Sends "ready", then the `Outcome` of one run after the other, each when the pipe says True."""
    asyncio.run(_run(pipe, task))


async def _run(pipe: Connection, task: Task) -> None:
    topic = Topics.of(BRIDGE).samples(DEVICE)
    async with AsyncExitStack() as stack:
        lab = await stack.enter_async_context(connect(task.url, bridge=BRIDGE, name="bench"))
        listener: Listener | None = None
        if task.takes:
            connection = ClientConnection(BrokerAddress.parse(task.url), "bench-subscriber", SESSIONS[task.session])
            await stack.enter_async_context(connection)
            listener = await stack.enter_async_context(connection.listen(topic))
        pipe.send("ready")
        while await heard(pipe):
            technique = {
                "technique": "galvanostatic",
                "current_a": CURRENT_A,
                "duration_s": task.samples * task.interval_s,
                "interval_s": task.interval_s,
            }
            run = await lab.start("technique", technique, {"potentiostat": DEVICE})
            outcome = Outcome() if listener is None else await _take(BlockStream(listener), task)
            await run.result()
            pipe.send(outcome)


async def _take(blocks: BlockStream, task: Task) -> Outcome:
    outcome = Outcome()
    base, due = -1, 0
    async for block in blocks:
        now_s = time.monotonic()
        if base < 0:
            base = block.first_index
        if task.values:
            outcome.wrong += _wrong(block, base)
        else:
            outcome.latencies_s.extend((now_s - block["voltage_v"]).tolist())
        if len(outcome.payloads) < _KEPT_PAYLOADS:
            outcome.payloads.append(encode(block))
        outcome.blocks += 1
        if blocks.received >= due or block.end is not None:
            outcome.marks.append(_mark(blocks.received, now_s, task))
            due = blocks.received + task.mark_every
        if block.end is not None:
            break
    outcome.received, outcome.missing = blocks.received, blocks.missing
    outcome.duplicated, outcome.malformed = blocks.duplicated, blocks.malformed
    return outcome


def _wrong(block: SampleBlock, base: int) -> int:
    """Samples whose voltage is not their number."""
    number = np.arange(block.first_index - base, block.next_index - base, dtype=np.float64)
    return int(np.count_nonzero(block["voltage_v"] != number))


def _mark(samples: int, now_s: float, task: Task) -> Mark:
    return Mark(
        samples,
        now_s,
        {name: cpu_s(pid) for name, pid in task.meters.items()},
        {name: rss_bytes(pid) for name, pid in task.meters.items()},
    )
