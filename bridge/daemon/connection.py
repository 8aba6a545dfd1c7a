"""The connection to one device: made, watched while the device is idle, and made again when it was lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from bridge.safety.acts import Kind
from drivers.errors import DeviceLost, DeviceTimeout, LinkError, PicobridgeError, WrongDevice
from drivers.interfaces import Device, Identity, Potentiostat, Stage

from .device_topics import DeviceTopics
from .events import Events
from .guard import Guard
from .heartbeat import Heartbeat
from .observing import Observer

LOG = logging.getLogger("picobridge.devices")

#: How often an idle device is asked: its heart-beat, and what keeps `latest` live.
POLL_S = 1.0
POTENTIOSTAT_POLL_S = 5.0
#: So many questions in a row without a good answer, and the wire is closed and opened again.
POLL_FAILURES = 3
BACKOFF_S = (0.5, 30.0)
#: How long a lost device is left to the run that uses it, before it is connected again (and its source switched off).
RELEASE_S = 5.0
#: A lost device is let go by then, whatever its wire does.
LET_GO_S = 10.0
#: A gauge is read so often when it is connected, so far apart: what needs a vacuum wants several readings.
FIRST_READINGS, FIRST_READINGS_S = 3, 0.1
#: What takes longer hangs (drivers have far shorter deadlines).
CONNECT_LIMIT_S, POLL_LIMIT_S = 60.0, 30.0

#: What an idle device is asked, by interface.
_POLLS = {
    "potentiostat": "identify",
    "stage": "position",
    "manipulator": "position",
    "feedthrough": "route",
    "gauge": "pressure",
}


class Connection:
    """`state` is connecting, connected, lost (was there), failed (never was) or closed; `error` says why.

    `idle` tells whether nobody uses the device, `released` is set while no run does. `serial` is the serial number that
    must answer, if it is not empty.
    """

    def __init__(
        self,
        name: str,
        device: Device,
        serial: str,
        topics: DeviceTopics,
        events: Events,
        guard: Guard,
        observer: Observer,
        heartbeat: Heartbeat,
        idle: Callable[[], bool],
        released: asyncio.Event,
    ) -> None:
        self.state = "connecting"
        self.error: PicobridgeError | None = None
        #: set when the first attempt to connect has ended, whatever came of it
        self.tried = asyncio.Event()
        #: set when it was connected for the first time, and so made safe
        self.made = asyncio.Event()
        self._name = name
        self._device = device
        self._serial = serial
        self._topics = topics
        self._events = events
        self._guard = guard
        self._observer = observer
        self._heartbeat = heartbeat
        self._idle = idle
        self._released = released
        self._lost = asyncio.Event()
        self._listening = False

    @property
    def connected(self) -> bool:
        return self.state == "connected"

    def set(self, state: str, error: PicobridgeError | None) -> None:
        self.state = state
        self.error = error
        self._topics.state()

    async def supervise(self) -> None:
        """Keep the device connected until cancelled."""
        try:
            await self._keep_connected()
        finally:
            if _is_cancelled():  # else it broke, and the watchdog has to see that
                self._heartbeat.rest()

    async def _keep_connected(self) -> None:
        backoff_s = BACKOFF_S[0]
        while not _is_cancelled():
            self._heartbeat.expect(CONNECT_LIMIT_S, "connecting")
            try:
                if await self._connect():
                    backoff_s = BACKOFF_S[0]
                    await self._watch()
                    await self._let_go()
            except Exception as error:  # of our own making, or the disk's: the device must go on being looked after
                if _is_cancelled():
                    raise
                await self._broke(error)
            self.tried.set()
            self._heartbeat.expect(backoff_s, "waiting before connecting again")
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_S[1])

    def lose(self, error: PicobridgeError) -> None:
        """The wire is gone; said once. Called by whoever notices."""
        if not self.connected:
            return
        self.set("lost", error)
        self._lost.set()
        text = f"{self._name} is lost: {error.message}"
        self._events.publish("device", text, severity="error", device=self._name, error=error)
        acts = [act for act in self._guard.interlocks.under_way() if act.device == self._name]
        self._observer.lost(self._name, moving=any(Kind.MOVE in act.kinds for act in acts))
        self._guard.faults.must_be_read(self._name)
        if acts:
            doing = " and ".join(sorted({act.method for act in acts}))
            self._guard.latch(
                "lost",
                self._name,
                f"{self._name} was lost during {doing}: what it does is not known",
                hint="Look at the instrument. When it is back, it is made safe and read; then acknowledge.",
            )

    async def _let_go(self) -> None:
        """Close the wire of a lost device, when its run has let it go; what is wrong with it was said already."""
        self._heartbeat.expect(RELEASE_S + LET_GO_S, "letting go of a lost device")
        with suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_S):
                await self._released.wait()
        try:
            async with asyncio.timeout(LET_GO_S):
                await self._device.close()
        except (PicobridgeError, TimeoutError):
            return
        except Exception:
            LOG.exception("closing %s broke", self._name)

    async def _broke(self, error: Exception) -> None:
        """It is connected anew, as one that was lost."""
        LOG.critical("looking after %s broke", self._name, exc_info=error)
        known = error if isinstance(error, PicobridgeError) else PicobridgeError(f"internal error: {error!r}")
        try:
            if self.connected:
                self.lose(known)
            else:
                self._not_connected(known)
        except Exception:
            LOG.exception("saying that of %s broke, too", self._name)
        await self._let_go()

    async def _connect(self) -> bool:
        self._lost.clear()
        try:
            identity = await self._device.connect()
            self._check_serial(identity)
        except Exception as error:
            known = error if isinstance(error, PicobridgeError) else PicobridgeError(f"internal error: {error!r}")
            known.annotate(device=self._name, operation="connect")
            try:
                if isinstance(error, WrongDevice):
                    self._observer.lost(self._name, wrong_device=True)
                    await self._device.transport.close()
            finally:
                self._not_connected(known)
            return False
        self._observer.connected(self._name, self._device)
        await self._first_readings()
        self._guard.faults.was_read(self._name)
        await self._guard.sound(self._name)
        self.set("connected", None)
        self.made.set()
        self._topics.info()
        who = " ".join(part for part in (identity.make, identity.model, identity.serial) if part)
        self._events.publish("device", f"{self._name} is connected: {who}", device=self._name)
        if not self._listening:
            self._listening = True
            self._device.on_lost(self._noticed)
        self.tried.set()
        return True

    async def _first_readings(self) -> None:
        """What the interlocks want to know of it. A device that does not tell has an unknown state, and is told so."""
        for number in range(FIRST_READINGS if self._device.interface == "gauge" else 1):
            self._heartbeat.expect(POLL_LIMIT_S, f"asking it for its {_POLLS[self._device.interface]}")
            if number:
                await asyncio.sleep(FIRST_READINGS_S)
            try:
                await self._poll()
            except PicobridgeError as error:
                LOG.debug("%s does not tell how it is: %s", self._name, error)
            except Exception:  # of the driver's own making
                LOG.exception("asking %s how it is broke", self._name)

    def _check_serial(self, identity: Identity) -> None:
        if self._serial and identity.serial != self._serial:
            raise WrongDevice(
                f"serial number {identity.serial or '(none)'} answers where {self._serial} is configured",
                hint="Is the cable in the right instrument, or serial wrong in the configuration?",
            )

    def _not_connected(self, error: PicobridgeError) -> None:
        said = type(self.error) is type(error)
        still_gone = self.state == "lost" and isinstance(error, DeviceLost | DeviceTimeout)
        self.set("lost" if self.state == "lost" else "failed", error)
        if not said and not still_gone:
            text = f"{self._name} cannot be connected: {error}"
            self._events.publish("device", text, severity="warning", device=self._name, error=error)

    def _noticed(self, error: DeviceLost) -> None:
        self._listening = False
        self.lose(error)

    async def _watch(self) -> None:
        """Ask the idle device now and then; returns when it is lost."""
        interval_s = POTENTIOSTAT_POLL_S if self._device.interface == "potentiostat" else POLL_S
        failures = 0
        while not self._lost.is_set():
            try:
                if self._idle():
                    self._heartbeat.expect(POLL_LIMIT_S, f"asking it for its {_POLLS[self._device.interface]}")
                    await self._poll()
                failures = 0
            except DeviceLost as error:
                self.lose(error)
            except LinkError as error:
                failures += 1
                if failures >= POLL_FAILURES:
                    self.lose(error)
            except PicobridgeError:
                failures = 0  # it answered, with an error of its own
            except Exception:  # of the driver's own making; the device must go on being watched
                LOG.exception("asking %s how it is broke", self._name)
            self._heartbeat.expect(interval_s, "waiting between two questions")
            with suppress(TimeoutError):
                async with asyncio.timeout(interval_s):
                    await self._lost.wait()

    async def _poll(self) -> None:
        await self.ask(_POLLS[self._device.interface])
        if isinstance(self._device, Stage):
            await self.ask("touch_alarm")
        if isinstance(self._device, Potentiostat) and self._observer.unproven(self._name):
            # it did not answer as a run left it, and answers now; nothing that needs it off could be done until then
            await self._device.cell_off()
            if self._observer.unproven(self._name):  # still: no run has begun meanwhile
                self._observer.cell(self._name, "off")

    async def ask(self, method: str) -> None:
        """One reading, published and observed. Raises what the device raises."""
        asked_s = self._observer.now()
        value = await getattr(self._device, method)()
        self._observer.answered(self._name, method, value, asked_s)
        self._topics.reading(value)


def _is_cancelled() -> bool:
    """What was on its way to a safe state when this task was cancelled may have ended with an error of its own, and
    that error was raised instead."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
