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
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from importlib import metadata
from types import TracebackType
from typing import Any, Self

from bridge.record.recorder import check_writable
from bridge.transfer.aiomqtt_session import connect
from bridge.transfer.embedded_broker import embedded_broker
from bridge.transfer.mqtt import BrokerAddress, Connect, Message
from bridge.transfer.plain import dumps, to_plain
from bridge.transfer.uplink import Uplink
from drivers import registry
from drivers.clock import SYSTEM_CLOCK, Clock
from drivers.errors import InvalidValue
from drivers.interfaces import Device

from .catalogue import Catalogue
from .config import Config, DeviceConfig
from .events import Events
from .heartbeat import Heartbeats, Overdue
from .journal import Journal
from .records import Records
from .requests import SENDER, Requests
from .runs import Runs
from .state import State
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
        self._clock_for = clock_for
        self._make = make
        self._open_session = open_session
        self._flush_s = flush_s
        self._backoff_s = backoff_s
        self._state = State(config.state_dir)
        self._journal = Journal(self._state)
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
        self.broker = self.config.broker.address or BrokerAddress("127.0.0.1", self.config.broker.port)
        self._open_uplink()
        self._supervise(devices)
        await self.runs.report_earlier(interrupted)
        if self.config.broker.address is None:
            self.broker = await self._stack.enter_async_context(embedded_broker(self.config.broker.port))
            self.uplink.move(self.broker)
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_TRY_S):
                await asyncio.gather(*(supervisor.tried.wait() for supervisor in self.devices.values()))
        self._spawn(self.runs.settle_interrupted(interrupted), "interrupted runs")
        self.uplink.retain(self.topics.status, dumps(self._status("online")))
        self._events.publish("daemon", f"picobridge {self.version} is up as {self.config.bridge!r}")
        self._spawn(self.uplink.run(), "uplink")
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_TRY_S):
                await self.uplink.connected.wait()
        notify("READY=1")

    def _open_uplink(self) -> None:
        self.uplink = Uplink(
            self.broker,
            self._open_session,
            identifier=f"picobridge-{self.config.bridge}-{secrets.token_hex(4)}",
            will=Message(self.topics.status, dumps(self._status("offline")), retain=True),
            subscriptions=[self.topics.request("+")],
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
            self.config.watch,
            self._catalogue,
        )
        self._requests = Requests(self._handlers(), self.uplink, self.topics, self._events)

    def _supervise(self, devices: Mapping[str, Device]) -> None:
        epoch = f"{time.time_ns():x}"
        for name, device in devices.items():
            supervisor = DeviceSupervisor(
                self.config.devices[name],
                device,
                self.uplink,
                self.topics,
                self._events,
                stream=f"{name}-{epoch}",
                queue_bytes=self.config.queue_bytes,
                heartbeat=self._heartbeats.add(name),
            )
            self.devices[name] = supervisor
            self._spawn(supervisor.supervise(), f"supervise {name}")
        self._spawn(Watchdog(self._heartbeats, self._hangs).run(), "watchdog")

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
        self.uplink.retain(self.topics.status, dumps(self._status("offline")))
        if uplink_tasks and not await self.uplink.flush(self._flush_s):
            pumps = [supervisor.pump for supervisor in self.devices.values() if supervisor.pump is not None]
            self.left_behind = sum(pump.pending for pump in pumps)
            LOG.error("%d samples could not be delivered before the end: no broker took them", self.left_behind)

    # --- requests ----------------------------------------------------------------------------------------------

    def _handlers(self) -> dict[str, Callable[[Mapping[str, Any]], Awaitable[Any]]]:
        return {
            "ping": self._ping,
            "devices": self._describe_devices,
            "call": self._call,
            "procedures": self._describe_procedures,
            "run": self._run,
            "abort": self._abort,
            "pause": self._pause,
            "continue": self._continue,
            "resume": self._resume,
            "answer": self._answer,
            "runs": self._list_runs,
            "stop": self._stop_everything,
        }

    async def _ping(self, params: Mapping[str, Any]) -> Any:
        _accept(params)
        return {"version": self.version, "bridge": self.config.bridge, "time_s": time.time()}

    async def _describe_devices(self, params: Mapping[str, Any]) -> Any:
        _accept(params)
        return {name: supervisor.describe() for name, supervisor in self.devices.items()}

    async def _call(self, params: Mapping[str, Any]) -> Any:
        _accept(params, "device", "method", "arguments")
        name, method = params.get("device"), params.get("method")
        supervisor = self.devices.get(name) if isinstance(name, str) else None
        if supervisor is None:
            raise InvalidValue(f"device is {name!r}; accepted: {', '.join(self.devices) or 'none'}")
        if not isinstance(method, str):
            raise InvalidValue(f"method is {method!r}; accepted: text")
        return to_plain(await supervisor.call(method, _table(params, "arguments")))

    async def _describe_procedures(self, params: Mapping[str, Any]) -> Any:
        _accept(params)
        return self._catalogue.describe()

    async def _run(self, params: Mapping[str, Any]) -> Any:
        _accept(params, "procedure", "parameters", "devices", "watch")
        procedure = params.get("procedure")
        if not isinstance(procedure, str):
            raise InvalidValue(f"procedure is {procedure!r}; accepted: text")
        run = await self.runs.start(
            procedure, _table(params, "parameters"), _table(params, "devices"), params.get("watch"), by=SENDER.get()
        )
        return {"run": run.run}

    async def _resume(self, params: Mapping[str, Any]) -> Any:
        _accept(params, "run")
        return {"run": (await self.runs.resume(params.get("run"), by=SENDER.get())).run}

    async def _pause(self, params: Mapping[str, Any]) -> Any:
        _accept(params, "run")
        run = self.runs.find(params.get("run"))
        run.pause()
        return run.describe()

    async def _continue(self, params: Mapping[str, Any]) -> Any:
        _accept(params, "run")
        run = self.runs.find(params.get("run"))
        run.go_on()
        return run.describe()

    async def _answer(self, params: Mapping[str, Any]) -> Any:
        _accept(params, "run", "question", "choice", "values")
        run = self.runs.find(params.get("run"))
        run.questions.answer(params.get("question"), params.get("choice"), _table(params, "values"), SENDER.get())
        return {"run": run.run}

    async def _abort(self, params: Mapping[str, Any]) -> Any:
        _accept(params, "run")
        return (await self.runs.abort(params.get("run"))).describe()

    async def _list_runs(self, params: Mapping[str, Any]) -> Any:
        _accept(params)
        return self.runs.states()

    async def _stop_everything(self, params: Mapping[str, Any]) -> Any:
        running = self.runs.cancel_all()
        outcomes = await asyncio.gather(*(supervisor.make_safe() for supervisor in self.devices.values()))
        await self.runs.wait(running)
        self._events.publish("safety", "everything was brought to its safe state on request", severity="warning")
        return {
            "runs": [run.run for run in running],
            "devices": dict(zip(self.devices, outcomes, strict=True)),
        }


def _accept(params: Mapping[str, Any], *names: str) -> None:
    for key in params:
        if key not in names:
            raise InvalidValue(f"parameter {key!r:.100} is not known; accepted: {', '.join(names) or 'none'}")


def _table(params: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = params.get(key, {})
    if not isinstance(value, dict):
        raise InvalidValue(f"{key} is {value!r:.100}; accepted: an object")
    return value


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        LOG.error("%s broke", task.get_name(), exc_info=error)
