"""A simulated SmartSEM stage on its wire, and the driver that talks to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from typing import Any

import pytest

from drivers.interfaces import StagePosition
from drivers.stages import ZeissRemcon, ZeissRemconOptions, remcon_protocol, zeiss_remcon
from mocks.instruments.zeiss_remcon import ZeissRemconMock
from mocks.wires import Served, serve
from mocks.world import World

HOME = StagePosition(0.020, 0.020, 0.005, 0.0, 0.0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zeiss_remcon, "_QUIET_S", 0.02)
    monkeypatch.setattr(remcon_protocol, "_AFTER_REJECTION_S", 0.02)


@contextmanager
def waiting() -> Iterator[None]:
    """Short deadlines where an answer is known not to come; elsewhere a busy machine may take its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remcon_protocol, "_ACKNOWLEDGE_S", 0.15)
        patch.setattr(remcon_protocol, "_RESULT_S", 0.15)
        yield


@asynccontextmanager
async def rig(
    options: ZeissRemconOptions | None = None, wire: str = "pty", **mock_options: Any
) -> AsyncIterator[tuple[ZeissRemcon, ZeissRemconMock, Served]]:
    world = World()
    world.chamber.set_stage(HOME.x_m, HOME.y_m, HOME.z_m)
    mock = ZeissRemconMock(world, **{"speed_mm_per_s": 10.0, "speed_deg_per_s": 50.0, **mock_options})
    async with serve(mock, wire) as served:
        stage = ZeissRemcon(served.address, options, name="stage", clock=world.host_clock("stage"))
        await stage.connect()
        mock.record.clear()
        try:
            yield stage, mock, served
        finally:
            await stage.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a mock's state changes with its bytes and has no event
            await asyncio.sleep(0)


def reported_x_m(mock: ZeissRemconMock) -> float:
    return float(Decimal(f"{mock.position[0]:.5f}").scaleb(-3))


def moves(mock: ZeissRemconMock) -> list[str]:
    return [entry for entry in mock.record if entry.startswith("C95 ")]
