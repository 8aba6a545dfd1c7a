"""One device of the daemon: claimed by runs, asked by requests, made safe."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from bridge.access.caller import CALLER
from bridge.safety.acts import Act, act_of_call
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
    PicobridgeError,
    Refused,
    Unsupported,
)
from drivers.interfaces import Device

from .config import DeviceConfig
from .connection import Connection
from .device_topics import DeviceTopics
from .events import Events
from .guard import Guard
from .heartbeat import Heartbeat
from .observing import Observer

LOG = logging.getLogger("picobridge.devices")

T = TypeVar("T")

#: Kind of the fault of a device that could not be brought to its safe state.
UNSAFE = "unsafe"

#: A device must be in its safe state by then, or it is reported not to be.
SAFE_TIMEOUT_S = 10.0
#: So long counts what a person has seen at the start of a run.
STATED_S = 1800.0

#: Calls that a remote client makes as runs.
_TECHNIQUES = frozenset({"open_circuit", "galvanostatic", "potentiostatic", "impedance"})


class DeviceSupervisor:
    """`run` is who uses it."""

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
        self.run = ""
        #: how often it was told to stop, to be off, or to be safe
        self.stops = 0
        #: set when it is taken out of the configuration: nothing is begun with it any more
        self.retired = False
        #: closing it did not prove that it is safe
        self.unproven = False
        self.pump: SamplePump | None = None
        self._config = config
        self._events = events
        self._lock = asyncio.Lock()
        self._released = asyncio.Event()
        self._released.set()
        #: what of it is published
        self.topics = DeviceTopics(self, uplink, topics)
        self.connection = Connection(
            config.name,
            device,
            config.serial,
            self.topics,
            events,
            guard,
            observer,
            heartbeat or Heartbeat(config.name),
            lambda: not self.run and not self.busy,
            self._released,
        )
        if device.interface == "potentiostat":
            self.pump = SamplePump(stream, uplink.wake, queue_bytes, spool)
            self.pump.changed = self.topics.count
            uplink.attach(self.pump, topics.samples(self.name))
        self.topics.info()
        self.topics.state()

    @property
    def connected(self) -> bool:
        return self.connection.connected

    @property
    def busy(self) -> bool:
        """Whether a call that moves or energises is under way."""
        return self._lock.locked()

    # --- life --------------------------------------------------------------------------------------------------

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
        self.connection.set("closed", None)
        self.topics.counters.flush()

    def retire(self) -> None:
        """It is no device of this rig any more: nothing is begun with it, and nobody waits for it. Close it then."""
        self.retired = True
        self.connection.made.set()
        self.connection.tried.set()

    async def read(self, method: str) -> None:
        """Ask it something harmless for the interlocks, which see what it answers. Never raises."""
        if not self.connected or (method == "identify" and self.observer.energised(self.name)):
            return
        try:
            await self.connection.ask(method)
        except DeviceLost as error:
            self.connection.lose(error)
        except PicobridgeError as error:
            self.observer.failed(self.name, method)
            LOG.debug("%s does not tell its %s: %s", self.name, method, error)
        except Exception:  # of the driver's own making
            self.observer.failed(self.name, method)
            LOG.exception("asking %s for its %s broke", self.name, method)

    # --- use ---------------------------------------------------------------------------------------------------

    def require_connected(self) -> None:
        """Raises the reason why it is not."""
        self._require_kept()
        if self.connected:
            return
        error = self.connection.error
        reason = f": {error.message}" if error is not None else ""
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
                self.connection.lose(error)
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
        still_reached = self.connection.state == "lost" and self.device.transport.is_open
        if not self.connected and not still_reached:
            return "not connected"
        try:
            async with asyncio.timeout(SAFE_TIMEOUT_S):
                await self.device.make_safe()
        except Exception as error:
            known = self._unsafe(error)
            if isinstance(known, DeviceLost):
                self.connection.lose(known)
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
            "connection": self.connection.state,
            "identity": to_plain(self.device.identity),
            "capabilities": to_plain(capabilities),
            "error": None if (error := self.connection.error) is None else error.to_dict(),
        }
