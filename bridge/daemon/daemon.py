"""The daemon: devices below, a broker above, runs in between.

    async with Daemon(config) as daemon:
        await daemon.stopped.wait()

Starting: devices are connected, and so switched off, before anybody can ask for anything. Stopping: runs aborted,
sources off, motion stopped, everything flushed, `offline` published.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bridge.record.recorder import check_writable
from bridge.safety.audit import Audit
from bridge.safety.default_rules import RigDevice, default_rules, groups_of
from bridge.safety.engine import Interlocks
from bridge.safety.faults import Faults
from bridge.safety.leases import Leases
from bridge.safety.observations import Observations
from bridge.transfer.aiomqtt_session import connect
from bridge.transfer.embedded_broker import embedded_broker
from bridge.transfer.messages import CONTRACT
from bridge.transfer.mqtt import BrokerAddress, Connect, Incoming, Message
from bridge.transfer.plain import dumps
from bridge.transfer.uplink import Uplink
from drivers import registry
from drivers.clock import SYSTEM_CLOCK, Clock
from drivers.errors import PicobridgeError
from drivers.interfaces import Device

from .catalogue import Catalogue
from .clock_watch import watch_clock
from .config import Config, DeviceConfig
from .ended_runs import EndedRuns
from .events import Events
from .guard import Guard
from .health_topic import publish_health
from .heartbeat import Heartbeats
from .history import History
from .home_assistant import messages, publish_discovery
from .interrupted import latch_interrupted, settle
from .journal import Journal
from .lanes import request_filters, stop_lane
from .measurements import Measurements
from .methods import Methods
from .metrics import Metrics
from .namesakes import Namesakes
from .observing import Observer
from .past import Past
from .records import Records
from .reloading import Reloading
from .requests import Requests
from .runs import Runs
from .safety_requests import SafetyRequests
from .safety_watch import SafetyWatch
from .state import State
from .streams import Streams
from .supervision import Supervision
from .supervisor import DeviceSupervisor
from .systemd import notify
from .watchdog import Watchdog

LOG = logging.getLogger("picobridge.daemon")

#: How long starting waits for devices (a missing one is looked for in the background) and for the broker.
FIRST_TRY_S = 10.0
#: How long stopping waits for a broker to take what is left.
FLUSH_S = 5.0
#: A task that has not ended so long after it was cancelled is cancelled once more.
CANCEL_AGAIN_S = 5.0

MakeDevice = Callable[[DeviceConfig, Clock], Device]


def make_device(config: DeviceConfig, clock: Clock) -> Device:
    """From the table of drivers."""
    return registry.create(config.driver, config.address, config.options, device=config.name, clock=clock)


class Daemon:
    """`clock_for(name)` gives the clock of a device (a simulated one brings its own); `make` makes the devices.
    `flush_s` is how long stopping waits for a broker, `backoff_s` the first and the longest pause between connections.
    `file` is where the configuration came from, to be read again when that is asked for.

    Not to be entered again. Entering raises `ConfigurationError` (state directory, data directory), `StoreError` (state
    database), `PortBusy` (embedded broker), `InvalidValue` (an option of a driver).
    """

    def __init__(
        self,
        config: Config,
        *,
        file: Path | None = None,
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
        #: told each configuration that is in force from now on
        self.adopted: list[Callable[[Config], None]] = []
        #: samples that could not be flushed when stopping
        self.left_behind = 0
        #: devices that could not be proven safe when stopping
        self.unproven: list[str] = []
        self.broker: BrokerAddress
        self.devices: dict[str, DeviceSupervisor] = {}
        self.uplink: Uplink
        self._namesakes: Namesakes
        self.runs: Runs
        self.streams: Streams
        self.metrics: Metrics
        self._file = file
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
        self.events: Events
        self._records: Records
        self._requests: Requests
        self._supervision: Supervision
        self._reloading: Reloading
        self._reload_asked = False
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
        """SIGTERM and SIGINT call `stop`; SIGHUP reads the configuration again, or stops a program of a terminal."""
        loop = asyncio.get_running_loop()
        hung_up = self.stop if os.isatty(0) else self._reload_soon
        for number, react in ((signal.SIGTERM, self.stop), (signal.SIGINT, self.stop), (signal.SIGHUP, hung_up)):
            loop.add_signal_handler(number, react)
            self._stack.callback(loop.remove_signal_handler, number)

    def _reload_soon(self) -> None:
        if hasattr(self, "_reloading"):
            self._spawn(self._reloading.on_signal(), "reload")
        else:  # the file was read before, and devices are looked for now
            self._reload_asked = True

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
        await latch_interrupted(interrupted, self._guard)
        self._supervise(devices)
        await self._ended_runs.open()
        await self.runs.report_earlier(interrupted)
        if self.config.broker.address is None:
            self.broker = await self._stack.enter_async_context(embedded_broker(self.config.broker.port))
            self.uplink.move(self.broker)
            self._stop_lane.move(self.broker)
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_TRY_S):
                await asyncio.gather(*(supervisor.connection.tried.wait() for supervisor in self.devices.values()))
        for text in self._state.problems:
            self.events.publish("daemon", text, severity="error")
        self._spawn(settle(interrupted, self.runs, self.devices, self._guard), "what an earlier daemon left")
        self._publish_status()
        self.events.publish("daemon", f"picobridge {self.version} is up as {self.config.bridge!r}")
        self._spawn(self.uplink.run(), "uplink")
        self._spawn(self._stop_lane.run(), "stops")
        await self._tell_how_it_is()
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_TRY_S):
                await self.uplink.connected.wait()
        notify("READY=1")
        if self._reload_asked:
            self._reload_soon()

    async def _tell_how_it_is(self) -> None:
        """On a topic; and for Prometheus, if it is asked for."""
        self._reloading = Reloading(
            self._file,
            self.config,
            lambda device: self._make(device, self._clock_for(device.name)),
            self._supervision,
            self._guard,
            self.events,
            lambda config: self.metrics.serve(config.metrics),
            self._adopt,
        )
        self._requests.add(self._reloading.handlers)
        file = self._reloading.state
        measured = Measurements(
            self.version,
            self.devices,
            self.runs,
            self.uplink,
            self.streams,
            self._guard,
            self._requests,
            self._namesakes,
            file,
        )
        self.metrics = Metrics(measured.metrics)
        self._stack.push_async_callback(self.metrics.close)
        await self.metrics.serve(self.config.metrics)
        publish = partial(self.uplink.retain, self.topics.health)
        self._spawn(publish_health(measured.health, publish), "health")
        self._spawn(publish_discovery(self._discovery, self.uplink, self._state.notes), "discovery")
        self._spawn(watch_clock(self.events, self._audit), "clock")

    def _discovery(self) -> Mapping[str, bytes]:
        return messages(self.config.home_assistant, self.topics, self.version, self.devices)

    def _adopt(self, config: Config) -> None:
        """What of another configuration is handed on at once; devices and rules are `Reloading`'s."""
        self.config = config
        self.runs.use(config.watch)
        self._catalogue.use(config.procedures)
        self._records.use(config)
        self.streams.use(config.spool, config.min_free_bytes)
        self._requests.use(config.access)
        for told in self.adopted:
            told(config)
        self._publish_status()

    def _open_uplink(self) -> None:
        identifier = f"picobridge-{self.config.bridge}-{secrets.token_hex(16)}"
        users = self.config.access is not None
        self._namesakes = Namesakes(self.config.bridge, self.version, self.topics)
        changed = lambda _: self._requests.doubles.forget()  # noqa: E731
        self.uplink = Uplink(
            self.broker,
            self._open_session,
            identifier=identifier,
            will=Message(self.topics.status, dumps(self._status("offline")), retain=True),
            subscriptions=request_filters(self.topics, users),
            on_message=self._receive,
            changed=changed,
            admit=self._namesakes.admit,
            backoff_s=self._backoff_s,
        )
        self._namesakes.leave = self.uplink.leave
        self._namesakes.told = self._tell_of_namesake
        self._namesakes.status = self._publish_status
        stop = lambda incoming: self._requests.receive_stop(incoming)  # noqa: E731
        self._stop_lane = stop_lane(
            self.broker, self._open_session, identifier, self.topics, users, stop, changed, self._backoff_s
        )
        self.events = Events(self.uplink, self.topics)
        self._records = Records(self.config, self.events, self.uplink, self.topics, self._guard)
        self._catalogue = Catalogue(self.config.procedures)
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
        self._ended_runs = EndedRuns(self._state.notes, self.uplink, self.topics)
        self.runs = Runs(
            self.devices,
            self._journal,
            self.uplink,
            self.topics,
            self.events,
            self._records,
            self._guard,
            self.streams,
            self._ended_runs,
            self.config.watch,
            self._catalogue,
        )
        methods = Methods(
            self.config.bridge, self.version, self.devices, self.runs, self._catalogue, self._guard, self.events
        )
        safety = SafetyRequests(self._guard, self._observer, self.events, self.devices)
        past = Past(self.streams, lambda: self.config.data_dir)
        history = History(past.fill, past.reached)
        self._requests = Requests(
            {**methods.handlers, **safety.handlers, **self.streams.handlers, **history.handlers},
            self.uplink,
            self.topics,
            self.events,
            self.config.access,
            self._refused,
        )

    def _receive(self, incoming: Incoming) -> None:
        if not self._namesakes.receive(incoming):
            self._requests.receive(incoming)

    def _publish_status(self) -> None:
        self.uplink.retain(self.topics.status, dumps(self._status("offline" if self._over else "online")))

    def _tell_of_namesake(self, text: str) -> None:
        self.events.publish("daemon", text, severity="error")
        self._guard.audit.note("namesake", text=text)

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
        self.events.publish("safety", text, severity="error", device=device, fault=kind, hint=hint)

    def _supervise(self, devices: Mapping[str, Device]) -> None:
        self._supervision = Supervision(
            self.devices,
            self.uplink,
            self.topics,
            self.events,
            self._guard,
            self._observer,
            self.streams,
            self._heartbeats,
            self._spawn,
            self.config.queue_bytes,
        )
        for name, device in devices.items():
            self._supervision.add(self.config.devices[name], device)
        self._spawn(self.streams.retain(), "spool retention")
        watch = SafetyWatch(self._guard, self.devices, self.runs, self.events, self._heartbeats.add("safety"))
        self._spawn(watch.run(), "safety watch")
        hangs = lambda late: self.events.publish("daemon", f"{late}", severity="error", device=late.name)  # noqa: E731
        self._spawn(Watchdog(self._heartbeats, hangs).run(), "watchdog")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"picobridge {name}")
        task.add_done_callback(_report)
        self._tasks = [each for each in self._tasks if not each.done()]
        self._tasks.append(task)
        return task

    def _status(self, status: str) -> dict[str, Any]:
        return {
            "status": status,
            "bridge": self.config.bridge,
            "version": self.version,
            "contract": CONTRACT,
            "devices": list(self.config.devices),
            "access": self.config.access is not None,
            **self._namesakes.described,
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
            await _end(self._tasks)
            await self._stack.aclose()

    async def _wind_down(self) -> None:
        self._requests.refuse_new()
        running = self.runs.cancel_all()
        held = {supervisor.name for run in running for supervisor in run.supervisors}
        free = [supervisor.make_safe() for name, supervisor in self.devices.items() if name not in held]
        await asyncio.gather(*free)  # at once; a run's own are made safe as it ends
        if hasattr(self, "_reloading"):
            await self._reloading.close()
        await self._requests.close()
        await self.runs.wait(running)
        await self._records.close()
        uplink_tasks = [task for task in self._tasks if task.get_name() == "picobridge uplink"]
        await _end([task for task in self._tasks if task not in uplink_tasks])
        await asyncio.gather(*(supervisor.close() for supervisor in self.devices.values()))
        self.unproven = [name for name, supervisor in self.devices.items() if supervisor.unproven]
        await self._guard.close()
        self._publish_status()
        if uplink_tasks and not await self.uplink.flush(self._flush_s):
            pumps = [supervisor.pump for supervisor in self.devices.values() if supervisor.pump is not None]
            self.left_behind = sum(pump.pending for pump in pumps)
            LOG.error("%d samples could not be delivered before the end: no broker took them", self.left_behind)


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel until they have ended: `wait_for` swallows a cancellation that comes as what it waits for does (3.11)."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        LOG.error("%s broke", task.get_name(), exc_info=error)
