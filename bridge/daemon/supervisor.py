"""One device of the daemon: connected, watched, reconnected, asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from bridge.access.caller import CALLER
from bridge.safety.acts import Act, Kind, act_of_call
from bridge.transfer.plain import to_plain
from bridge.transfer.pump import SamplePump
from bridge.transfer.spool import Spool
from bridge.transfer.topics import Topics
from bridge.transfer.uplink import Uplink
from drivers import calls
from drivers.errors import (
    Busy,
    CellNotOff,
    DeviceLost,
    DeviceTimeout,
    InvalidValue,
    LinkError,
    PicobridgeError,
    Refused,
    Unsupported,
    WrongDevice,
)
from drivers.interfaces import Device, Identity, Stage

from .config import DeviceConfig
from .device_topics import DeviceTopics
from .events import Events
from .guard import Guard
from .heartbeat import Heartbeat
from .observing import Observer

LOG = logging.getLogger("picobridge.devices")

T = TypeVar("T")

#: Kind of the fault of a device that could not be brought to its safe state.
UNSAFE = "unsafe"

#: How often an idle device is asked: its heart-beat, and what keeps `latest` live.
POLL_S = 1.0
POTENTIOSTAT_POLL_S = 5.0
#: So many questions in a row without a good answer, and the wire is closed and opened again.
POLL_FAILURES = 3
BACKOFF_S = (0.5, 30.0)
#: A device must be in its safe state by then, or it is reported not to be.
SAFE_TIMEOUT_S = 10.0
#: How long a lost device is left to the run that uses it, before it is connected again (and its source switched off).
RELEASE_S = 5.0
#: A gauge is read so often when it is connected, so far apart: what needs a vacuum wants several readings.
FIRST_READINGS, FIRST_READINGS_S = 3, 0.1
#: What takes longer hangs (drivers have far shorter deadlines).
CONNECT_LIMIT_S, POLL_LIMIT_S = 60.0, 30.0

#: So long counts what a person has seen at the start of a run.
STATED_S = 1800.0

#: Calls that a remote client makes as runs.
_TECHNIQUES = frozenset({"open_circuit", "galvanostatic", "potentiostatic", "impedance"})

#: What an idle device is asked, by interface.
_POLLS = {
    "potentiostat": "identify",
    "stage": "position",
    "manipulator": "position",
    "feedthrough": "route",
    "gauge": "pressure",
}


class DeviceSupervisor:
    """`connection` is connecting, connected, lost (was there), failed (never was) or closed. `run` is who uses it."""

    def __init__(
        self,
        config: DeviceConfig,
        device: Device,
        uplink: Uplink,
        topics: Topics,
        events: Events,
        guard: Guard,
        observer: Observer,
        *,
        stream: str,
        queue_bytes: int,
        spool: Spool,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        #: what of the samples is on disk
        self.spool = spool
        self.guard = guard
        self.observer = observer
        self.name = config.name
        self.device = device
        self.connection = "connecting"
        self.error: PicobridgeError | None = None
        self.run = ""
        #: how often it was told to stop, to be off, or to be safe
        self.stops = 0
        #: set when the first attempt to connect has ended, whatever came of it
        self.tried = asyncio.Event()
        #: set when it was connected for the first time, and so made safe
        self.was_connected = asyncio.Event()
        #: set when it is taken out of the configuration: nothing is begun with it any more
        self.retired = False
        #: closing it did not prove that it is safe
        self.unproven = False
        self.pump: SamplePump | None = None
        self._config = config
        self._events = events
        self._heartbeat = heartbeat or Heartbeat(config.name)
        self._lock = asyncio.Lock()
        self._lost = asyncio.Event()
        self._listening = False
        self._released = asyncio.Event()
        self._released.set()
        #: what of it is published
        self.topics = DeviceTopics(self, uplink, topics)
        if device.interface == "potentiostat":
            self.pump = SamplePump(stream, uplink.wake, queue_bytes, spool)
            self.pump.changed = self.topics.count
            uplink.attach(self.pump, topics.samples(self.name))
        self.topics.info()
        self.topics.state()

    @property
    def connected(self) -> bool:
        return self.connection == "connected"

    @property
    def busy(self) -> bool:
        """Whether a call that moves or energises is under way."""
        return self._lock.locked()

    # --- life --------------------------------------------------------------------------------------------------

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

    async def close(self) -> None:
        """Make safe and let go. Reports what goes wrong as an event; never raises."""
        self.topics.latest.flush()
        try:
            async with asyncio.timeout(SAFE_TIMEOUT_S):
                await self.device.close()
        except Exception as error:
            self.unproven = True
            self._unsafe(error)
        self.topics.counters.flush()
        self._set("closed", None)
        self.topics.counters.flush()

    def retire(self) -> None:
        """It is no device of this rig any more: nothing is begun with it, and nobody waits for it. Close it then."""
        self.retired = True
        self.was_connected.set()
        self.tried.set()

    def lost(self, error: PicobridgeError) -> None:
        """The wire is gone; said once. Called by whoever notices."""
        if not self.connected:
            return
        self._set("lost", error)
        self._lost.set()
        text = f"{self.name} is lost: {error.message}"
        self._events.publish("device", text, severity="error", device=self.name, error=error)
        acts = [act for act in self.guard.interlocks.under_way() if act.device == self.name]
        self.observer.lost(self.name, moving=any(Kind.MOVE in act.kinds for act in acts))
        self.guard.faults.must_be_read(self.name)
        if acts:
            doing = " and ".join(sorted({act.method for act in acts}))
            self.guard.latch(
                "lost",
                self.name,
                f"{self.name} was lost during {doing}: what it does is not known",
                hint="Look at the instrument. When it is back, it is made safe and read; then acknowledge.",
            )

    async def _let_go(self) -> None:
        """Close the wire of a lost device, when its run has let it go; what is wrong with it was said already."""
        self._heartbeat.expect(RELEASE_S + SAFE_TIMEOUT_S, "letting go of a lost device")
        with suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_S):
                await self._released.wait()
        try:
            async with asyncio.timeout(SAFE_TIMEOUT_S):
                await self.device.close()
        except (PicobridgeError, TimeoutError):
            return
        except Exception:
            LOG.exception("closing %s broke", self.name)

    async def _broke(self, error: Exception) -> None:
        """It is connected anew, as one that was lost."""
        LOG.critical("looking after %s broke", self.name, exc_info=error)
        known = error if isinstance(error, PicobridgeError) else PicobridgeError(f"internal error: {error!r}")
        try:
            if self.connected:
                self.lost(known)
            else:
                self._not_connected(known)
        except Exception:
            LOG.exception("saying that of %s broke, too", self.name)
        await self._let_go()

    async def _connect(self) -> bool:
        self._lost.clear()
        try:
            identity = await self.device.connect()
            self._check_serial(identity)
        except Exception as error:
            known = error if isinstance(error, PicobridgeError) else PicobridgeError(f"internal error: {error!r}")
            known.annotate(device=self.name, operation="connect")
            try:
                if isinstance(error, WrongDevice):
                    self.observer.lost(self.name, wrong_device=True)
                    await self.device.transport.close()
            finally:
                self._not_connected(known)
            return False
        self.observer.connected(self.name, self.device)
        await self._first_readings()
        self.guard.faults.was_read(self.name)
        await self.guard.sound(self.name)
        self._set("connected", None)
        self.was_connected.set()
        self.topics.info()
        who = " ".join(part for part in (identity.make, identity.model, identity.serial) if part)
        self._events.publish("device", f"{self.name} is connected: {who}", device=self.name)
        if not self._listening:
            self._listening = True
            self.device.on_lost(self._noticed)
        self.tried.set()
        return True

    async def _first_readings(self) -> None:
        """What the interlocks want to know of it. A device that does not tell has an unknown state, and is told so."""
        for number in range(FIRST_READINGS if self.device.interface == "gauge" else 1):
            self._heartbeat.expect(POLL_LIMIT_S, f"asking it for its {_POLLS[self.device.interface]}")
            if number:
                await asyncio.sleep(FIRST_READINGS_S)
            try:
                await self._poll()
            except PicobridgeError as error:
                LOG.debug("%s does not tell how it is: %s", self.name, error)
            except Exception:  # of the driver's own making
                LOG.exception("asking %s how it is broke", self.name)

    def _check_serial(self, identity: Identity) -> None:
        wanted = self._config.serial
        if wanted and identity.serial != wanted:
            raise WrongDevice(
                f"serial number {identity.serial or '(none)'} answers where {wanted} is configured",
                hint="Is the cable in the right instrument, or serial wrong in the configuration?",
            )

    def _not_connected(self, error: PicobridgeError) -> None:
        said = type(self.error) is type(error)
        still_gone = self.connection == "lost" and isinstance(error, DeviceLost | DeviceTimeout)
        self._set("lost" if self.connection == "lost" else "failed", error)
        if not said and not still_gone:
            text = f"{self.name} cannot be connected: {error}"
            self._events.publish("device", text, severity="warning", device=self.name, error=error)

    def _noticed(self, error: DeviceLost) -> None:
        self._listening = False
        self.lost(error)

    async def _watch(self) -> None:
        """Ask the idle device now and then; returns when it is lost."""
        interval_s = POTENTIOSTAT_POLL_S if self.device.interface == "potentiostat" else POLL_S
        failures = 0
        while not self._lost.is_set():
            try:
                if not self.run and not self.busy:
                    self._heartbeat.expect(POLL_LIMIT_S, f"asking it for its {_POLLS[self.device.interface]}")
                    await self._poll()
                failures = 0
            except DeviceLost as error:
                self.lost(error)
            except LinkError as error:
                failures += 1
                if failures >= POLL_FAILURES:
                    self.lost(error)
            except PicobridgeError:
                failures = 0  # it answered, with an error of its own
            except Exception:  # of the driver's own making; the device must go on being watched
                LOG.exception("asking %s how it is broke", self.name)
            self._heartbeat.expect(interval_s, "waiting between two questions")
            with suppress(TimeoutError):
                async with asyncio.timeout(interval_s):
                    await self._lost.wait()

    async def _poll(self) -> None:
        await self.ask(_POLLS[self.device.interface])
        if isinstance(self.device, Stage):
            await self.ask("touch_alarm")

    async def ask(self, method: str) -> None:
        """One reading, published and observed. Raises what the device raises."""
        asked_s = self.observer.now()
        value = await getattr(self.device, method)()
        self.observer.answered(self.name, method, value, asked_s)
        self.topics.reading(value)

    async def read(self, method: str) -> None:
        """Ask it something harmless for the interlocks, which see what it answers. Never raises."""
        if not self.connected or (method == "identify" and self.observer.energised(self.name)):
            return
        try:
            await self.ask(method)
        except DeviceLost as error:
            self.lost(error)
        except PicobridgeError as error:
            self.observer.failed(self.name, method)
            LOG.debug("%s does not tell its %s: %s", self.name, method, error)

    # --- use ---------------------------------------------------------------------------------------------------

    def require_connected(self) -> None:
        """Raises the reason why it is not."""
        self._require_kept()
        if self.connected:
            return
        reason = f": {self.error.message}" if self.error is not None else ""
        raise DeviceLost(f"{self.name} is not connected{reason}", device=self.name)

    def _require_kept(self) -> None:
        if self.retired:
            raise DeviceLost(f"{self.name} was taken out of the configuration", device=self.name)

    def claim(self, run: str) -> None:
        """Raises `Busy`, and `DeviceLost` for one that is no device of this rig any more."""
        self._require_kept()
        if self.run:
            raise Busy(f"{self.name} is used by run {self.run}", device=self.name, hint="Abort that run, or wait.")
        if self.busy:
            raise Busy(f"{self.name} is in the middle of another call", device=self.name)
        self.run = run
        self._released.clear()
        self.topics.state()

    def release(self) -> None:
        self.run = ""
        self._released.set()
        self.topics.state()

    async def call(self, method: str, values: Mapping[str, Any]) -> Any:
        """A method of the interface by name. Raises `InvalidValue`, `Busy`, `Unsupported`, what the method raises."""
        device = self.device
        if method == "capabilities":
            if not hasattr(device, "capabilities"):
                raise Unsupported(f"a {device.interface} has no capabilities to tell", device=self.name)
            return device.capabilities
        keywords = calls.arguments(device.interface, method, values)
        if method in _TECHNIQUES:
            raise InvalidValue(
                f"{method} is a run, not a call",
                device=self.name,
                hint='Start procedure "technique" with role potentiostat; its samples come as blocks.',
            )
        self.require_connected()
        if method in calls.HARMLESS or method in calls.SAFE:
            return await self.performed(method, lambda: getattr(device, method)(**keywords))
        if self.run:
            raise Busy(f"{self.name} is used by run {self.run}", device=self.name, hint="Abort that run, or wait.")
        if self.busy:
            raise Busy(f"{self.name} is in the middle of another call", device=self.name, hint="Stop it, or wait.")
        caller = CALLER.get()
        act = act_of_call(self.name, device.interface, method, keywords, by=caller.user or caller.sender)
        async with self._lock:
            return await self.act(act, lambda: getattr(device, method)(**keywords))

    def stated(self, name: str, value: Any, by: str, run: str) -> None:
        """What a person has seen of it, where it cannot tell; counts for a while."""
        self.guard.audit.note("state", input=name, value=value, seconds=STATED_S, by=by, run=run)
        self.observer.observations.state(name, value, by, self.observer.now(), STATED_S)

    async def act(self, act: Act, perform: Callable[[], Awaitable[T]]) -> T:
        """One act, past the guard. Raises what the guard and the device raise."""
        stops = self.stops
        async with self.guard.acting(act):
            self.require_not_stopped(stops)
            return await self.performed(act.method, perform)

    def require_not_stopped(self, stops: int) -> None:
        """Raises `Refused` if it was stopped since `stops` was read: what was about to begin then does not."""
        if self.stops != stops:
            raise Refused(f"{self.name} was stopped meanwhile; nothing was begun", device=self.name)

    async def performed(self, method: str, perform: Callable[[], Awaitable[T]]) -> T:
        """What the device answers is published and observed; an error says which device it is."""
        asked_s = self.observer.now()
        self.stops += method in calls.SAFE
        try:
            result = await perform()
        except BaseException as error:
            self.observer.failed(self.name, method)
            if isinstance(error, PicobridgeError):
                error.annotate(device=self.name, operation=method)
            if isinstance(error, DeviceLost):
                self.lost(error)
            raise
        if method in ("cell_off", "make_safe") and self.device.interface == "potentiostat":
            self.observer.cell(self.name, "off")
        # a move ends later than it is asked for: where it ended is as new as its answer
        self.observer.answered(self.name, method, result, asked_s if method in calls.HARMLESS else self.observer.now())
        self.topics.reading(result)
        return result

    async def make_safe(self) -> str | dict[str, Any]:
        """Past every queue. "safe", "not connected", or the error, as a reply has it."""
        self.stops += 1
        still_reached = self.connection == "lost" and self.device.transport.is_open
        if not self.connected and not still_reached:
            return "not connected"
        try:
            async with asyncio.timeout(SAFE_TIMEOUT_S):
                await self.device.make_safe()
        except Exception as error:
            known = self._unsafe(error)
            if isinstance(known, DeviceLost):
                self.lost(known)
            return known.to_dict()
        if self.device.interface == "potentiostat":
            self.observer.cell(self.name, "off")
        self.guard.over(UNSAFE, self.name)
        return "safe"

    def _unsafe(self, error: Exception) -> PicobridgeError:
        """Say that the device is not proven safe, whatever it was that went wrong."""
        if isinstance(error, PicobridgeError):
            known = error
        elif isinstance(error, TimeoutError):
            known = DeviceTimeout(f"no safe state within {SAFE_TIMEOUT_S:g} s")
        else:
            LOG.error("making %s safe broke", self.name, exc_info=error)
            known = PicobridgeError(f"internal error: {error!r}")
        known.annotate(device=self.name, operation="make_safe")
        text = f"{self.name} could not be brought to its safe state: {known}"
        self._events.publish("safety", text, severity="error", device=self.name, error=known)
        if isinstance(known, CellNotOff):
            self.observer.cell(self.name, "unknown")
        self.guard.latch(UNSAFE, self.name, text, hint=known.hint, detail={"cause": known.to_dict()})
        return known

    # --- what is told ------------------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """As in the answer to `devices`."""
        capabilities = getattr(self.device, "capabilities", None) if self.connected else None
        return {
            "driver": self._config.driver,
            "interface": self.device.interface,
            "address": self._config.address,
            "connection": self.connection,
            "identity": to_plain(self.device.identity),
            "capabilities": to_plain(capabilities),
            "error": None if self.error is None else self.error.to_dict(),
        }

    def _set(self, connection: str, error: PicobridgeError | None) -> None:
        self.connection = connection
        self.error = error
        self.topics.state()


def _is_cancelled() -> bool:
    """What was on its way to a safe state when this task was cancelled may have ended with an error of its own, and
    that error was raised instead."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
