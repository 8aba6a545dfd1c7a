"""What clients may ask of the daemon about devices and runs, by name."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bridge.access.caller import CALLER
from bridge.safety.faults import EMERGENCY_STOP
from bridge.transfer.plain import to_plain
from drivers.errors import InvalidValue

from .catalogue import Catalogue
from .events import Events
from .guard import Guard
from .params import accept, table, whole_number
from .runs import Runs
from .supervisor import DeviceSupervisor

LOG = logging.getLogger("picobridge.safety")

Handler = Callable[[Mapping[str, Any]], Awaitable[Any]]


class Methods:
    """`handlers` are the methods. `devices` are the supervisors by name."""

    def __init__(
        self,
        bridge: str,
        version: str,
        devices: Mapping[str, DeviceSupervisor],
        runs: Runs,
        catalogue: Catalogue,
        guard: Guard,
        events: Events,
    ) -> None:
        self._bridge = bridge
        self._version = version
        self._devices = devices
        self._runs = runs
        self._catalogue = catalogue
        self._guard = guard
        self._events = events
        self.handlers: Mapping[str, Handler] = {
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
            "items": self._items,
            "stop": self._stop,
            "emergency_stop": self._emergency_stop,
        }

    async def _ping(self, params: Mapping[str, Any]) -> Any:
        accept(params)
        return {"version": self._version, "bridge": self._bridge, "time_s": time.time()}

    async def _describe_devices(self, params: Mapping[str, Any]) -> Any:
        accept(params)
        return {name: supervisor.describe() for name, supervisor in self._devices.items()}

    async def _call(self, params: Mapping[str, Any]) -> Any:
        accept(params, "device", "method", "arguments")
        name, method = params.get("device"), params.get("method")
        supervisor = self._devices.get(name) if isinstance(name, str) else None
        if supervisor is None:
            raise InvalidValue(f"device is {name!r}; accepted: {', '.join(self._devices) or 'none'}")
        if not isinstance(method, str):
            raise InvalidValue(f"method is {method!r}; accepted: text")
        return to_plain(await supervisor.call(method, table(params, "arguments")))

    async def _describe_procedures(self, params: Mapping[str, Any]) -> Any:
        accept(params)
        return self._catalogue.describe()

    async def _run(self, params: Mapping[str, Any]) -> Any:
        accept(params, "procedure", "parameters", "devices", "watch")
        procedure = params.get("procedure")
        if not isinstance(procedure, str):
            raise InvalidValue(f"procedure is {procedure!r}; accepted: text")
        run = await self._runs.start(
            procedure, table(params, "parameters"), table(params, "devices"), params.get("watch"), by=CALLER.get().name
        )
        return {"run": run.run}

    async def _resume(self, params: Mapping[str, Any]) -> Any:
        accept(params, "run")
        return {"run": (await self._runs.resume(params.get("run"), by=CALLER.get().name)).run}

    async def _pause(self, params: Mapping[str, Any]) -> Any:
        accept(params, "run")
        run = self._runs.find(params.get("run"))
        run.pause()
        return run.describe()

    async def _continue(self, params: Mapping[str, Any]) -> Any:
        accept(params, "run")
        run = self._runs.find(params.get("run"))
        run.go_on()
        return run.describe()

    async def _answer(self, params: Mapping[str, Any]) -> Any:
        accept(params, "run", "question", "choice", "values")
        run = self._runs.find(params.get("run"))
        run.questions.answer(params.get("question"), params.get("choice"), table(params, "values"), CALLER.get().name)
        return {"run": run.run}

    async def _abort(self, params: Mapping[str, Any]) -> Any:
        accept(params, "run")
        return await self._runs.abort(params.get("run"))

    async def _list_runs(self, params: Mapping[str, Any]) -> Any:
        accept(params)
        return self._runs.states()

    async def _items(self, params: Mapping[str, Any]) -> Any:
        accept(params, "run", "since", "edition")
        items = self._runs.items(params.get("run"))
        return items.page(whole_number(params, "since", 0), whole_number(params, "edition", 0))

    async def _stop(self, params: Mapping[str, Any]) -> Any:
        stopped = await self._stop_everything()
        self._events.publish("safety", "everything was brought to its safe state on request", severity="warning")
        return stopped

    async def _emergency_stop(self, params: Mapping[str, Any]) -> Any:
        """As `stop`; and nothing moves or is energised after it until somebody has acknowledged it. With a disk that
        takes nothing, too: the fault gets its number later."""
        who = CALLER.get().name or "somebody"
        text = f"emergency stop, pressed by {who}"
        hint = "Look at the instruments; then acknowledge. Nothing starts again by itself."
        stopped: dict[str, Any] = {}

        async def stop_everything() -> None:
            stopped.update(await self._stop_everything())

        try:
            await self._guard.latch_and_make_safe(EMERGENCY_STOP, "", text, stop_everything, hint=hint)
        except Exception as error:
            if not stopped:
                raise
            LOG.error("the emergency stop is in force and could not be stored: %s", error)
        finally:
            fault = await self._guard.gone(EMERGENCY_STOP, "")
        return {
            **stopped,
            "fault": None if fault is None else fault.id,
            "stored": fault is not None and fault.stored,
        }

    async def _stop_everything(self) -> dict[str, Any]:
        running = self._runs.cancel_all()
        devices = dict(self._devices)
        outcomes = await asyncio.gather(*(supervisor.make_safe() for supervisor in devices.values()))
        await self._runs.wait(running)
        return {
            "runs": [run.run for run in running],
            "devices": dict(zip(devices, outcomes, strict=True)),
        }
