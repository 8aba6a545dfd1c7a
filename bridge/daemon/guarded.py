"""Stages, manipulators and feedthroughs as a run gets them: every act passes the guard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from bridge.safety.acts import Act, act_of_call
from drivers.interfaces import (
    Device,
    Feedthrough,
    FeedthroughCapabilities,
    Manipulator,
    ManipulatorCapabilities,
    ManipulatorPosition,
    Stage,
    StageCapabilities,
    StagePosition,
    TouchAlarm,
)

from .stand_in import StandIn
from .supervisor import DeviceSupervisor

T = TypeVar("T")


class _Guarded(StandIn):
    """`mode` says in which mode the run moves a tip now."""

    def __init__(self, supervisor: DeviceSupervisor, run: str, by: str, mode: Callable[[], str]) -> None:
        super().__init__(supervisor, run, by)
        self._mode = mode

    async def _act(self, method: str, arguments: Mapping[str, Any], perform: Callable[[], Awaitable[T]]) -> T:
        act: Act = act_of_call(
            self.name,
            self._supervisor.device.interface,
            method,
            {name: value for name, value in arguments.items() if value is not None},
            by=self._by,
            run=self._run_id,
            mode=self._mode(),
        )
        return await self._supervisor.act(act, perform)

    async def _read(self, method: str, perform: Callable[[], Awaitable[T]]) -> T:
        return await self._supervisor.performed(method, perform)


class GuardedStage(_Guarded, Stage):
    def __init__(self, supervisor: DeviceSupervisor, run: str, by: str, mode: Callable[[], str]) -> None:
        super().__init__(supervisor, run, by, mode)
        assert isinstance(supervisor.device, Stage)
        self._device = supervisor.device

    @property
    def capabilities(self) -> StageCapabilities:
        return self._device.capabilities

    async def position(self) -> StagePosition:
        return await self._read("position", self._device.position)

    async def move_to(
        self,
        x_m: float | None = None,
        y_m: float | None = None,
        z_m: float | None = None,
        tilt_deg: float | None = None,
        rotation_deg: float | None = None,
    ) -> StagePosition:
        axes = {"x_m": x_m, "y_m": y_m, "z_m": z_m, "tilt_deg": tilt_deg, "rotation_deg": rotation_deg}
        return await self._act("move_to", axes, lambda: self._device.move_to(**axes))

    async def move_by(
        self,
        x_m: float = 0.0,
        y_m: float = 0.0,
        z_m: float = 0.0,
        tilt_deg: float = 0.0,
        rotation_deg: float = 0.0,
    ) -> StagePosition:
        axes = {"x_m": x_m, "y_m": y_m, "z_m": z_m, "tilt_deg": tilt_deg, "rotation_deg": rotation_deg}
        return await self._act("move_by", axes, lambda: self._device.move_by(**axes))

    async def stop(self) -> StagePosition:
        return await self._read("stop", self._device.stop)

    async def home(self) -> StagePosition:
        return await self._act("home", {}, self._device.home)

    async def touch_alarm(self) -> TouchAlarm:
        return await self._read("touch_alarm", self._device.touch_alarm)


class GuardedManipulator(_Guarded, Manipulator):
    def __init__(self, supervisor: DeviceSupervisor, run: str, by: str, mode: Callable[[], str]) -> None:
        super().__init__(supervisor, run, by, mode)
        assert isinstance(supervisor.device, Manipulator)
        self._device = supervisor.device

    @property
    def capabilities(self) -> ManipulatorCapabilities:
        return self._device.capabilities

    async def position(self) -> ManipulatorPosition:
        return await self._read("position", self._device.position)

    async def move_to(
        self, x_m: float | None = None, y_m: float | None = None, z_m: float | None = None
    ) -> ManipulatorPosition:
        axes = {"x_m": x_m, "y_m": y_m, "z_m": z_m}
        return await self._act("move_to", axes, lambda: self._device.move_to(**axes))

    async def move_by(self, x_m: float = 0.0, y_m: float = 0.0, z_m: float = 0.0) -> ManipulatorPosition:
        axes = {"x_m": x_m, "y_m": y_m, "z_m": z_m}
        return await self._act("move_by", axes, lambda: self._device.move_by(**axes))

    async def stop(self) -> ManipulatorPosition:
        return await self._read("stop", self._device.stop)

    async def set_speed(self, speed_m_per_s: float) -> None:
        arguments = {"speed_m_per_s": speed_m_per_s}
        await self._act("set_speed", arguments, lambda: self._device.set_speed(speed_m_per_s))

    async def insert(self) -> ManipulatorPosition:
        return await self._act("insert", {}, self._device.insert)

    async def retract(self) -> None:
        await self._act("retract", {}, self._device.retract)


class GuardedFeedthrough(_Guarded, Feedthrough):
    def __init__(self, supervisor: DeviceSupervisor, run: str, by: str, mode: Callable[[], str]) -> None:
        super().__init__(supervisor, run, by, mode)
        assert isinstance(supervisor.device, Feedthrough)
        self._device = supervisor.device

    @property
    def capabilities(self) -> FeedthroughCapabilities:
        return self._device.capabilities

    async def route(self) -> str:
        return await self._read("route", self._device.route)

    async def select(self, route: str) -> str:
        return await self._act("select", {"route": route}, lambda: self._device.select(route))


_CLASSES: Mapping[str, type[GuardedStage | GuardedManipulator | GuardedFeedthrough]] = {
    "stage": GuardedStage,
    "manipulator": GuardedManipulator,
    "feedthrough": GuardedFeedthrough,
}


def guarded(supervisor: DeviceSupervisor, run: str, by: str, mode: Callable[[], str]) -> Device:
    """The device as a run gets it; a gauge, which moves and energises nothing, is itself."""
    cls = _CLASSES.get(supervisor.device.interface)
    return supervisor.device if cls is None else cls(supervisor, run, by, mode)
