"""A potentiostat whose blocks are kept, published, and recorded, as they pass."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

from bridge.record import Recording
from bridge.safety.acts import act_of_technique
from bridge.transfer.pump import SamplePump
from drivers.errors import CellNotOff, DeviceLost, HealthStop, LinkError, RunFailed
from drivers.interfaces import Device, Potentiostat, PotentiostatCapabilities
from drivers.samples import SampleBlock
from drivers.techniques import Technique

from .guarded import guarded
from .stand_in import StandIn
from .supervisor import DeviceSupervisor
from .watch import RunWatch, now_s

#: While the queue to the broker is full, the run waits, and no limit is checked. It may for this long, or three
#: intervals if that is longer; then the source is switched off.
BLOCKED_S = 1.0


class PublishedPotentiostat(StandIn, Potentiostat):
    """What a procedure gets in place of the driver. `attributes` says what to add to each block's, `is_to_stop` whether
    a technique is to be ended because the run will pause."""

    def __init__(
        self,
        supervisor: DeviceSupervisor,
        pump: SamplePump,
        attributes: Callable[[], Mapping[str, Any]],
        recording: Callable[[], Recording | None],
        is_to_stop: Callable[[], bool],
        run: str,
        by: str,
        watch: RunWatch | None = None,
    ) -> None:
        super().__init__(supervisor, run, by)
        assert isinstance(supervisor.device, Potentiostat)
        self._device = supervisor.device
        self._pump = pump
        self._attributes = attributes
        self._recording = recording
        self._is_to_stop = is_to_stop
        self.watch = watch

    @property
    def capabilities(self) -> PotentiostatCapabilities:
        return self._device.capabilities

    async def run(self, technique: Technique) -> AsyncGenerator[SampleBlock, None]:
        """As the driver's. Raises, with the cell off, `RunFailed` if the samples cannot be got rid of, `HealthStop` if
        the health watch says so."""
        patience_s = max(BLOCKED_S, 3 * getattr(technique, "interval_s", 0.0))
        watch, spool = self.watch, self._supervisor.spool
        came_s = command_s = 0.0
        stopped = False
        if watch is not None:
            watch.begin(self.name, technique, self._device.capabilities)
        async with self._acting(technique):
            try:
                async with aclosing(self._device.run(technique)) as blocks:
                    async for block in blocks:
                        came_s = now_s()
                        taken = self._publish(block, technique)
                        stop = None if watch is None else watch.add(self.name, block)
                        recording = self._recording()
                        if stop is not None:
                            if recording is not None:
                                recording.add(self.name, taken)
                            command_s = now_s()
                            raise stop
                        if recording is not None:
                            await self._record(recording, taken, technique, patience_s)
                        if spool.exhausted or (spool.full and not await spool.room(patience_s)):
                            raise self._no_room(technique, patience_s)
                        if self._pump.full and not await self._pump.room(patience_s):
                            raise RunFailed(
                                f"no sample could be published for {patience_s:g} s and the queue is full "
                                f"({self._pump.waiting_bytes} bytes): the source was switched off before a sample is "
                                "lost",
                                device=self.name,
                                operation=technique.name,
                                hint="Is the broker running? The samples taken so far are sent when it is back.",
                            )
                        if self._is_to_stop() and not stopped:  # a pause was asked for between two techniques
                            stopped = True
                            await self._device.stop()
                        yield block
            except HealthStop as stop:  # leaving the driver's iterator has switched the source off and proven it
                assert watch is not None
                watch.stopped(stop, command_s - came_s, now_s() - came_s)
                raise
            except DeviceLost as error:
                error.annotate(device=self.name, operation=technique.name)
                self._supervisor.connection.lose(error)
                raise

    @asynccontextmanager
    async def _acting(self, technique: Technique) -> AsyncIterator[None]:
        """Past the guard; what the source does is observed."""
        act = act_of_technique(self.name, technique, by=self._by, run=self._run_id)
        observer, stops = self._supervisor.observer, self._supervisor.stops
        async with self._supervisor.guard.acting(act):
            self._supervisor.require_not_stopped(stops)
            observer.begins(self.name, technique)
            cell = "unknown"
            try:
                yield
                cell = "off"
            except (CellNotOff, LinkError):
                raise
            except BaseException:
                cell = "off"  # the driver's iterator was left, which has switched the source off and proven it
                raise
            finally:
                if self._supervisor.connected:
                    observer.cell(self.name, cell)

    def _no_room(self, technique: Technique, patience_s: float) -> RunFailed:
        why = self._supervisor.spool.lacking or f"the disk took none for {patience_s:g} s"
        return RunFailed(
            f"no more samples can be kept, {why}: the source was switched off before a sample is lost",
            device=self.name,
            operation=technique.name,
            hint="Make room on the disk of the state directory, or look at [spool] in the configuration.",
        )

    async def _record(self, recording: Recording, block: SampleBlock, technique: Technique, patience_s: float) -> None:
        """Raises `RunFailed` if the record can take no more: the source goes off before a sample is lost."""
        recording.add(self.name, block)
        if recording.error is not None:
            raise recording.error
        if recording.full and not await recording.room(patience_s):
            raise RunFailed(
                f"the disk took no sample for {patience_s:g} s and the queue is full: the source was switched off "
                "before a sample is lost",
                device=self.name,
                operation=technique.name,
                hint=f"Is the disk of {recording.folder} in order, and fast enough?",
            )

    def _publish(self, block: SampleBlock, technique: Technique) -> SampleBlock:
        attributes = {**block.attributes, "technique": technique.name, **self._attributes()}
        taken = self._pump.take(block, attributes)
        self._supervisor.observer.block(self.name, block, technique)
        self._supervisor.topics.latest.offer(taken)
        self._supervisor.topics.count()
        return taken

    async def stop(self) -> None:
        await self._device.stop()

    async def cell_off(self) -> None:
        await self._device.cell_off()


def for_run(
    supervisor: DeviceSupervisor,
    attributes: Callable[[], Mapping[str, Any]],
    recording: Callable[[], Recording | None],
    is_to_stop: Callable[[], bool],
    run: str,
    by: str,
    mode: Callable[[], str],
    watch: RunWatch | None = None,
) -> Device:
    """The device as a procedure gets it."""
    if supervisor.pump is None:
        return guarded(supervisor, run, by, mode)
    return PublishedPotentiostat(supervisor, supervisor.pump, attributes, recording, is_to_stop, run, by, watch)
