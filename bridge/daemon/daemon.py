"""The daemon: devices below, a broker above, runs in between.

    async with Daemon(config) as daemon:
        await daemon.stopped.wait()

Starting: devices are connected, and so switched off, before anybody can ask for anything. Stopping: runs aborted,
sources off, motion stopped, everything flushed, `offline` published.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from importlib import metadata
from types import TracebackType
from typing import Any, Self

from bridge.access.permissions import STOPS
from bridge.record.recorder import check_writable
from bridge.safety.audit import Audit
from bridge.safety.default_rules import RigDevice, default_rules, groups_of
from bridge.safety.engine import Interlocks
from bridge.safety.faults import Faults
from bridge.safety.leases import Leases
from bridge.safety.observations import Observations
from bridge.transfer.aiomqtt_session import connect
from bridge.transfer.embedded_broker import embedded_broker
from bridge.transfer.mqtt import BrokerAddress, Connect, Message
from bridge.transfer.plain import dumps
from bridge.transfer.uplink import Uplink
from drivers import registry
from drivers.clock import SYSTEM_CLOCK, Clock
from drivers.errors import PicobridgeError
from drivers.interfaces import Device

from .casting import flat
from .catalogue import Catalogue
from .config import Config, DeviceConfig
from .events import Events
from .guard import Guard
from .health_topic import publish_health
from .heartbeat import Heartbeats, Overdue
from .journal import Journal
from .measurements import Measurements
from .methods import Methods
from .metrics import MetricsServer
from .observing import Observer
from .records import Records
from .requests import Requests
from .runs import Runs
from .safety_requests import SafetyRequests
from .safety_watch import SafetyWatch
from .state import JOURNAL_LOST, STATE_LOST, State
from .streams import Streams
from .supervisor import DeviceSupervisor
from .systemd import notify
from .watchdog import Watchdog

LOG = logging.getLogger("picobridge.daemon")

#: How long starting waits for devices (a missing one is looked for in the background) and for the broker.
FIRST_TRY_S = 10.0
#: How long stopping waits for a broker to take what is left.
FLUSH_S = 5.0

MakeDevice = Callable[[DeviceConfig, Clock], Device]


def make_device(config: DeviceConfig, clock: Clock) -> Device:
    """From the table of drivers."""
    return registry.create(config.driver, config.address, config.options, device=config.name, clock=clock)


class Daemon:
    """`clock_for(name)` gives the clock of a device (a simulated one brings its own); `make` makes the devices.
    `flush_s` is how long stopping waits for a broker, `backoff_s` the first and the longest pause between connections.

    Not to be entered again. Entering raises `ConfigurationError` (state directory, data directory), `StoreError` (state
    database), `PortBusy` (embedded broker), `InvalidValue` (an option of a driver).
    """

    def __init__(
        self,
        config: Config,
        *,
        clock_for: Callable[[str], Clock] = lambda _: SYSTEM_CLOCK,
        make: MakeDevice = make_device,
        open_session: Connect = connect,
        flush_s: float = FLUSH_S,
        backoff_s: tuple[float, float] = (0.1, 5.0),
    ) -> None:
        self.config = config
        self.topics = config.topics
        #: set by `stop`, and by SIGTERM and SIGINT after `handle_signals`
        self.stopped = asyncio.Event()
        #: samples that could not be flushed when stopping
        self.left_behind = 0
        self.broker: BrokerAddress
        self.devices: dict[str, DeviceSupervisor] = {}
        self.uplink: Uplink
        self.runs: Runs
        self.streams: Streams
        self.metrics: MetricsServer | None = None
        self._clock_for = clock_for
        self._make = make
        self._open_session = open_session
        self._flush_s = flush_s
        self._backoff_s = backoff_s
        self._state = State(config.state_dir)
        self._journal = Journal(self._state)
        self._audit = Audit(config.state_dir / "audit")
        self._guard: Guard
        self._observer: Observer
        self._events: Events
        self._records: Records
        self._requests: Requests
        self._heartbeats = Heartbeats()
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()
        self._over = False

    @property
    def version(self) -> str:
        return metadata.version("picobridge")

    def stop(self) -> None:
        """Ask whoever waits for `stopped` to leave the context."""
        self.stopped.set()

    def handle_signals(self) -> None:
        """SIGTERM and SIGINT call `stop`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
            self._stack.callback(loop.remove_signal_handler, number)

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    # --- start -------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        await self._state.open()
        self._stack.push_async_callback(self._state.close)
        interrupted = await self._journal.open()
        if self.config.data_dir is not None:
            await asyncio.to_thread(check_writable, self.config.data_dir)
        devices = {name: self._make(device, self._clock_for(name)) for name, device in self.config.devices.items()}
        await self._audit.open()
        self._stack.push_async_callback(self._audit.close)
        self._make_guard(devices)
        self.broker = self.config.broker.address or BrokerAddress("127.0.0.1", self.config.broker.port)
        self._open_uplink()
        await self._guard.faults.load()
        await self.streams.open()
        self._stack.push_async_callback(self.streams.close)
        await self._latch_interrupted(interrupted)
        self._supervise(devices)
        await self.runs.report_earlier(interrupted)
        if self.config.broker.address is None:
            self.broker = await self._stack.enter_async_context(embedded_broker(self.config.broker.port))
            self.uplink.move(self.broker)
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_TRY_S):
                await asyncio.gather(*(supervisor.tried.wait() for supervisor in self.devices.values()))
        for text in self._state.problems:
            self._events.publish("daemon", text, severity="error")
        self._spawn(self._settle(interrupted), "what an earlier daemon left")
        self.uplink.retain(self.topics.status, dumps(self._status("online")))
        self._events.publish("daemon", f"picobridge {self.version} is up as {self.config.bridge!r}")
        self._spawn(self.uplink.run(), "uplink")
        await self._tell_how_it_is()
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_TRY_S):
                await self.uplink.connected.wait()
        notify("READY=1")

    async def _tell_how_it_is(self) -> None:
        """On a topic; and for Prometheus, if it is asked for."""
        measured = Measurements(
            self.version, self.devices, self.runs, self.uplink, self.streams, self._guard, self._requests
        )
        publish = partial(self.uplink.retain, self.topics.health)
        self._spawn(publish_health(measured.health, publish), "health")
        if (wanted := self.config.metrics) is not None:
            self.metrics = MetricsServer(measured.metrics, wanted.address, wanted.port)
            self._stack.push_async_callback(self.metrics.close)

    def _open_uplink(self) -> None:
        self.uplink = Uplink(
            self.broker,
            self._open_session,
            identifier=f"picobridge-{self.config.bridge}-{secrets.token_hex(4)}",
            will=Message(self.topics.status, dumps(self._status("offline")), retain=True),
            subscriptions=self._filters(),
            on_message=lambda incoming: self._requests.receive(incoming),
            backoff_s=self._backoff_s,
        )
        self._events = Events(self.uplink, self.topics)
        self._records = Records(self.config, self._events)
        self._catalogue = Catalogue(self.config.procedures)
        self.runs = Runs(
            self.devices,
            self._journal,
            self.uplink,
            self.topics,
            self._events,
            self._records,
            self._guard,
            lambda: self.streams,
            self.config.watch,
            self._catalogue,
        )
        methods = Methods(
            self.config.bridge, self.version, self.devices, self.runs, self._catalogue, self._guard, self._events
        )
        self.streams = Streams(
            self.config.state_dir / "spool",
            self.config.spool,
            self.config.min_free_bytes,
            self.config.queue_bytes,
            self._state.cursors,
            self.uplink,
            self.topics,
            self._guard,
        )
        safety = SafetyRequests(self._guard, self._observer, self._events)
        self._requests = Requests(
            {**methods.handlers, **safety.handlers, **self.streams.handlers},
            self.uplink,
            self.topics,
            self._events,
            self.config.access,
            self._refused,
        )

    def _filters(self) -> list[str]:
        """A user's requests are on topics of its own where the broker proves users; a stop may come without."""
        if self.config.access is None:
            return [self.topics.request("+")]
        return [self.topics.request("+", "+"), *(self.topics.request(method) for method in STOPS)]

    def _refused(self, user: str, method: str, error: PicobridgeError, left_out: int) -> None:
        self._guard.audit.note("request refused", user=user, method=method, error=error.to_dict(), left_out=left_out)

    def _make_guard(self, devices: Mapping[str, Device]) -> None:
        """What every command passes."""
        rig = [RigDevice(name, device.interface) for name, device in devices.items()]
        options = self.config.interlocks
        rules = default_rules(rig, options)
        observations = Observations()
        self._observer = Observer(observations)
        leases = Leases(groups_of(rig, options), self._state.fences.next, time.monotonic)
        faults = Faults(self._state.faults, devices, lambda name: leases.members(leases.group_of(name)), time.time_ns)
        self._guard = Guard(
            devices, Interlocks(rules, observations), leases, faults, self._audit, self._read, self._fault_latched
        )

    async def _read(self, device: str, method: str) -> None:
        if device in self.devices:
            await self.devices[device].read(method)

    def _fault_latched(self, kind: str, device: str, text: str) -> None:
        hint = "`picobridge faults` shows it, `picobridge acknowledge` clears it once its cause is gone."
        self._events.publish("safety", text, severity="error", device=device, fault=kind, hint=hint)

    def _supervise(self, devices: Mapping[str, Device]) -> None:
        epoch = f"{time.time_ns():x}"
        for name, device in devices.items():
            supervisor = DeviceSupervisor(
                self.config.devices[name],
                device,
                self.uplink,
                self.topics,
                self._events,
                self._guard,
                self._observer,
                stream=f"{name}-{epoch}",
                queue_bytes=self.config.queue_bytes,
                spool=self.streams.spool,
                heartbeat=self._heartbeats.add(name),
            )
            if supervisor.pump is not None:
                self.streams.attach(supervisor.pump)
            self.devices[name] = supervisor
            self._spawn(supervisor.supervise(), f"supervise {name}")
        self._spawn(self.streams.retain(), "spool retention")
        watch = SafetyWatch(self._guard, self.devices, self.runs, self._events, self._heartbeats.add("safety"))
        self._spawn(watch.run(), "safety watch")
        self._spawn(Watchdog(self._heartbeats, self._hangs).run(), "watchdog")

    async def _latch_interrupted(self, left: Mapping[str, Any]) -> None:
        """Runs that an earlier daemon did not end may have left something on: a person has to look."""
        for run, entry in left.items():
            used = [name for name in flat(entry.get("devices", {})) if name in self.config.devices]
            for name in used:
                await self._guard.faults.latch(
                    "interrupted",
                    name,
                    f"run {run} was interrupted while it used {name}",
                    hint="Look at the sample, then acknowledge; `picobridge resume` goes on with a run that allows it.",
                )

    async def _settle(self, interrupted: Mapping[str, Any]) -> None:
        """Once every device was read, what an earlier daemon left is known again; a person may acknowledge it."""
        await self.runs.settle_interrupted(interrupted)
        for supervisor in self.devices.values():
            await supervisor.was_connected.wait()
        for kind in (STATE_LOST, JOURNAL_LOST):
            self._guard.over(kind, "")

    def _hangs(self, late: Overdue) -> None:
        self._events.publish("daemon", f"{late}", severity="error", device=late.name)

    def _spawn(self, work: Any, name: str) -> None:
        task = asyncio.create_task(work, name=f"picobridge {name}")
        task.add_done_callback(_report)
        self._tasks.append(task)

    def _status(self, status: str) -> dict[str, Any]:
        return {
            "status": status,
            "bridge": self.config.bridge,
            "version": self.version,
            "devices": list(self.config.devices),
            "access": self.config.access is not None,
        }

    # --- stop --------------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        if self._over:
            return
        self._over = True
        notify("STOPPING=1")
        try:
            if hasattr(self, "runs"):
                await self._wind_down()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._stack.aclose()

    async def _wind_down(self) -> None:
        running = self.runs.cancel_all()
        await self._requests.close()
        await self.runs.wait(running)
        await self._records.close()
        uplink_tasks = [task for task in self._tasks if task.get_name() == "picobridge uplink"]
        for task in self._tasks:
            if task not in uplink_tasks:
                task.cancel()
        await asyncio.gather(*(t for t in self._tasks if t not in uplink_tasks), return_exceptions=True)
        await asyncio.gather(*(supervisor.close() for supervisor in self.devices.values()))
        await self._guard.close()
        self.uplink.retain(self.topics.status, dumps(self._status("offline")))
        if uplink_tasks and not await self.uplink.flush(self._flush_s):
            pumps = [supervisor.pump for supervisor in self.devices.values() if supervisor.pump is not None]
            self.left_behind = sum(pump.pending for pump in pumps)
            LOG.error("%d samples could not be delivered before the end: no broker took them", self.left_behind)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        LOG.error("%s broke", task.get_name(), exc_info=error)
