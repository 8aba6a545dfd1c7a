"""A stop while the instrument is slow to answer goes out at once (fault 55 of the catalogue)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from drivers import registry
from drivers.errors import PicobridgeError
from drivers.techniques import Galvanostatic
from mocks.instrument import Instrument
from mocks.instruments.keithley24xx import Keithley24xxMock
from mocks.instruments.zeiss_remcon import ZeissRemconMock
from mocks.wires import serve
from mocks.world import World


class Mute:
    """Holds back what an instrument answers, and knows what it was sent."""

    def __init__(self, instrument: Instrument) -> None:
        self.heard = b""
        self.news = asyncio.Event()
        self._held: list[bytes] = []
        self._instrument = instrument
        self._receive, self._send = instrument.receive, instrument.send

    def receive(self, data: bytes) -> None:
        self.heard += data
        self.news.set()
        self._receive(data)

    async def hears(self, words: bytes) -> None:
        async with asyncio.timeout(5):
            while words not in self.heard:
                self.news.clear()
                await self.news.wait()

    def release(self) -> None:
        self._instrument.send = self._send  # type: ignore[method-assign]
        for data in self._held:
            self._send(data)


@contextmanager
def mute(instrument: Instrument) -> Iterator[Mute]:
    made = Mute(instrument)
    instrument.receive = made.receive  # type: ignore[method-assign]
    instrument.send = made._held.append  # type: ignore[method-assign, assignment]
    try:
        yield made
    finally:
        made.release()


@pytest.mark.parametrize("wire", ["tcp", "pty"])
async def test_a_2400_is_switched_off_past_a_reading(wire: str) -> None:
    world = World(speed=50.0)
    async with serve(Keithley24xxMock(world, "smu", model="2400"), wire=wire) as served:
        instrument: Any = served.instrument
        async with registry.create("keithley-24xx", served.address, {"timeout": 30.0}) as smu:
            technique = Galvanostatic(current_a=1e-6, duration_s=1e5, interval_s=0.02)
            samples = smu.run(technique)  # type: ignore[attr-defined]
            await anext(samples)
            with mute(instrument) as wire_:
                await wire_.hears(b":READ?")  # and no answer comes
                stopping = asyncio.ensure_future(smu.make_safe())
                await wire_.hears(b":OUTP OFF")
            await stopping
            assert not instrument.source.output
            with suppress(PicobridgeError):
                async for _ in samples:
                    pass


async def test_a_stage_is_stopped_past_a_question() -> None:
    world = World(speed=1.0, flows=True)
    async with serve(ZeissRemconMock(world, "stage")) as served:
        instrument: Any = served.instrument
        async with registry.create("zeiss-remcon", served.address, {"poll_s": 0.02}) as stage:
            moves = asyncio.Event()
            world.happenings.told = lambda happening: moves.set()
            move = asyncio.ensure_future(stage.move_to(x_m=0.1))  # type: ignore[attr-defined]
            await asyncio.wait_for(moves.wait(), 10)
            with mute(instrument) as wire:
                await wire.hears(b"C95?")
                stopping = asyncio.ensure_future(stage.make_safe())
                await wire.hears(b"ABO")
            await stopping
            assert not instrument.moving
            with pytest.raises(PicobridgeError, match="stopped"):
                await move
