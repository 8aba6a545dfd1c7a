"""A daemon over simulated instruments on their wires, on either broker, and a script's connection to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge.client import Lab, connect
from bridge.daemon.config import BrokerConfig, Config
from bridge.daemon.daemon import Daemon
from bridge.demo.rig import PLACES, Rig, simulated_rig
from bridge.procedures.description import Procedure
from mocks.world import World
from tests.bridge.conftest import any_broker, mosquitto

__all__ = ["any_broker", "mosquitto"]


@dataclass(frozen=True)
class Bench:
    rig: Rig
    daemon: Daemon
    lab: Lab

    @property
    def url(self) -> str:
        return str(self.daemon.broker)

    def instrument(self, name: str) -> Any:
        return self.rig.served[name].instrument


BenchMaker = Callable[..., AbstractAsyncContextManager[Bench]]


@pytest.fixture
def bench(tmp_path: Path, without_debug: None) -> BenchMaker:
    """`async with bench("pstat", "stage") as b:`"""

    @asynccontextmanager
    async def make(
        *names: str,
        broker: BrokerConfig | None = None,
        procedures: tuple[Procedure, ...] = (),
        data_dir: Path | None = None,
        **world: Any,
    ) -> AsyncIterator[Bench]:
        places = {name: PLACES[name] for name in names}
        async with simulated_rig(World(**world), places) as rig:
            config = Config(
                bridge="lab",
                state_dir=tmp_path / "state",
                broker=broker or BrokerConfig(port=0),
                devices=rig.devices,
                procedures=procedures,
                data_dir=data_dir,
                exports=False,
            )
            async with (
                Daemon(config, clock_for=rig.clock_for) as daemon,
                connect(str(daemon.broker), name="test") as lab,
            ):
                if "stage" in names:
                    await lab.state("stage.touch_alarm", "armed")
                if "tip" in names:
                    await lab.state("tip.contact", False)
                yield Bench(rig, daemon, lab)

    return make
