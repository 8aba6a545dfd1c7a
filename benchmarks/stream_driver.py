"""The driver of `stream_instrument`: it reads in bulk, and does with every sample what any driver must do."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import numpy as np

from drivers.errors import CellNotOff, InvalidValue, ProtocolError
from drivers.interfaces import Identity, Options, Potentiostat, PotentiostatCapabilities, option
from drivers.potentiostats.limits import LimitWatch
from drivers.samples import SAMPLE_COLUMNS, EndReason, SampleBlock
from drivers.techniques import Galvanostatic, Technique
from drivers.uninterrupted import to_the_end

_TIMEOUT_S = 10.0
_ROW_BYTES = 24
_FLOAT64 = np.dtype("<f8")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions(Options):
    paced: bool = option(False, help="each sample at its time; otherwise as fast as they are taken")


class StreamPotentiostat(Potentiostat):
    options_type = StreamOptions
    options: StreamOptions

    @property
    def capabilities(self) -> PotentiostatCapabilities:
        return PotentiostatCapabilities(frozenset({Galvanostatic.name}), (), -10.0, 10.0)

    async def _connect(self) -> Identity:
        await self.transport.close()
        await self.transport.open()
        identity = await self.identify()
        await self.cell_off()
        return identity

    async def identify(self) -> Identity:
        make, model, serial, firmware = (await self._ask("*IDN?")).split(",")
        return Identity(make, model, serial, firmware)

    async def stop(self) -> None:
        await self.cell_off()

    async def cell_off(self) -> None:
        if (answer := await self._ask("OFF")) != "OFF":
            raise CellNotOff(f"OFF is answered by {answer!r}", device=self.name)

    async def _ask(self, command: str) -> str:
        await self.transport.write(f"{command}\n".encode())
        answer = b""
        while not answer.endswith(b"\n"):
            answer += await self.transport.read(_TIMEOUT_S)
        return answer.decode("ascii").strip()

    async def run(self, technique: Technique) -> AsyncGenerator[SampleBlock, None]:
        if not isinstance(technique, Galvanostatic):
            raise InvalidValue(f"{technique.name} is not known; accepted: {Galvanostatic.name}")
        count = round(technique.duration_s / technique.interval_s)
        command = f"STREAM {count} {technique.interval_s!r} {int(self.options.paced)}\n"
        start_time_ns = self.clock.time_ns()
        watch = LimitWatch(technique)
        await self.transport.write(command.encode())
        first, tail, end = 0, b"", None
        try:
            while end is None:
                data = await self.transport.read(_TIMEOUT_S)
                data = tail + data if tail else data
                whole = len(data) // _ROW_BYTES
                tail = data[whole * _ROW_BYTES :]
                if not whole:
                    continue
                block, end = self._block(data, whole, watch, first, start_time_ns)
                if end is not None and (first + whole != count or tail):
                    raise ProtocolError(f"the stream ended at sample {first + whole} of {count}")
                yield block
                first += whole
        finally:
            await to_the_end(self._end(drain=end is None))

    def _block(
        self, data: bytes, count: int, watch: LimitWatch, first: int, start_time_ns: int
    ) -> tuple[SampleBlock, EndReason | None]:
        columns = np.frombuffer(data, _FLOAT64, 3 * count).reshape(-1, 3).T.copy()
        flags = np.zeros(count, np.uint32)
        end = watch.check_samples(columns[0], columns[1], columns[2], flags)
        values = {"time_s": columns[0], "voltage_v": columns[1], "current_a": columns[2], "flags": flags}
        return SampleBlock("", first, start_time_ns, SAMPLE_COLUMNS, values, end, {"current_range_a": 1e-9}), end

    async def _end(self, *, drain: bool) -> None:
        if drain:  # what is on its way ends some time after the command
            await self.transport.write(b"OFF\n")
            await self.transport.drain(0.2)
        await self.cell_off()
