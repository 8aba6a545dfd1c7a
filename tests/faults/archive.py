"""What the spool has, as a recorder gets it that asks for everything: held against what was heard live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from bridge.client import CompleteStream
from drivers.samples import SampleBlock

from .recording import Recorder, Stream
from .rig import Rig


class Archive:
    """Keeps the blocks of a `CompleteStream`."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}

    def add(self, block: SampleBlock) -> None:
        stream = self.streams.setdefault(block.stream, Stream(block.stream.rpartition("-")[0]))
        columns = {column.name: block[column.name].tolist() for column in block.columns}
        for offset in range(len(block)):
            index = block.first_index + offset
            assert index not in stream.rows, f"sample {index} of {block.stream} was handed on twice"
            stream.indices.append(index)
            stream.rows[index] = {name: values[offset] for name, values in columns.items()}

    def next_of(self, stream: str) -> int:
        """The index of the sample that comes next."""
        return len(self.streams[stream].indices) if stream in self.streams else 0

    async def fill(self, blocks: CompleteStream, timeout_s: float = 20.0) -> None:
        """Until everything is there that the daemon has now."""
        async with asyncio.timeout(timeout_s):
            await blocks.check()
            while not blocks.complete:
                if (block := blocks.take()) is None:
                    await blocks.arrived()
                else:
                    self.add(block)

    def takes_the_place_of(self, recorder: Recorder) -> None:
        """From now on `recorder` has what is here, with what it alone heard behind it; what both have must be equal."""
        for name, kept in self.streams.items():
            heard = recorder.streams.get(name, Stream(kept.device)).rows
            for index in heard.keys() & kept.rows.keys():
                assert repr(heard[index]) == repr(kept.rows[index]), f"sample {index} of {name} differs on disk"
            after = max(kept.rows, default=-1)
            for index in sorted(heard):
                if index > after:
                    kept.rows[index] = heard[index]
                    kept.indices.append(index)
            recorder.streams[name] = kept


async def archived(rig: Rig, name: str = "archive") -> CompleteStream:
    """A recorder comes, takes everything, tells the daemon, and takes the live one's place."""
    async with rig.lab.complete_samples(recorder=name) as blocks:
        archive = Archive()
        await archive.fill(blocks)
        await blocks.recorded(blocks.handed_on())
    archive.takes_the_place_of(rig.recorder)
    return blocks


async def on_disk(rig: Rig, device: str = "pstat") -> Any:
    """The device's state once all that was taken is durable."""
    return await rig.recorder.now(f"devices/{device}/state", lambda s: s["durable"] == s["next_index"] > 0)


async def latched(rig: Rig, kind: str, where: Callable[[Any], bool] = lambda _: True) -> Mapping[str, Any]:
    """The open fault of a kind; waits for one for which `where` holds."""
    async with asyncio.timeout(15):
        while True:
            for fault in (await rig.lab.faults())["open"]:
                if fault["kind"] == kind and where(fault):
                    return dict(fault)
            await asyncio.sleep(0.02)


async def fault_told(rig: Rig, kind: str, *, gone: bool = True) -> Mapping[str, Any]:
    """The latched fault of the disk once it is stored, and its cause over (or not): with text, hint, and an event."""
    fault = await latched(rig, kind, lambda fault: fault["id"] is not None and fault["cause_gone"] == gone)
    assert fault["device"] == "spool"
    assert len(fault["text"]) > 10, f"says nothing: {fault}"
    assert len(fault["hint"]) > 10, f"has no hint: {fault}"
    event = await rig.recorder.newest("events", lambda event: event["values"].get("fault") == kind)
    assert event["severity"] == "error"
    rig.judged += 1
    return fault


async def acknowledged(rig: Rig, kind: str) -> None:
    """The user has looked; nothing is open any more."""
    fault = await fault_told(rig, kind)
    await rig.lab.acknowledge(fault["id"])
    assert kind not in [one["kind"] for one in (await rig.lab.faults())["open"]]
