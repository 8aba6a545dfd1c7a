"""The whole path: simulated instruments on real wires, drivers, a daemon, a real Mosquitto, a recorder, a client."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from bridge.client import Lab, connect
from bridge.client.runs import Run
from bridge.daemon.config import BrokerConfig, Config
from bridge.daemon.daemon import Daemon
from bridge.demo.rig import ROUTES, Place, simulated_rig
from bridge.safety.interlock_options import InterlockOptions
from bridge.transfer import aiomqtt_session
from bridge.transfer.mqtt import Session
from drivers.clock import Clock
from drivers.errors import BridgeUnreachable, PicobridgeError
from mocks.wires import Served
from mocks.world import World
from tests.bridge.conftest import Mosquitto, eventually

from .checks import Checked, check, check_error
from .recording import Recorder, recording
from .witness import Witness

PREFIX = "picobridge/lab"
#: short deadlines, so that silence costs a test little
PLACES: Mapping[str, Place] = {
    "pstat": Place("keithley-24xx", "tcp", visa=True, mock={"model": "6430"}, options={"timeout": 0.5}),
    "emstat": Place("methodscript", "pty", options={"abort_timeout_s": 1.0}),
    "twin-a": Place("methodscript", "pty"),
    "twin-b": Place("methodscript", "pty"),
    "tdstat": Place("tdstat", "usb"),
    "stage": Place("zeiss-remcon", "pty"),
    "tip": Place("newfocus-8742", "usb"),
    "relays": Place("modbus-relay", "pty", options={"routes": ROUTES, "timeout_s": 0.2}),
    "gauge": Place("pfeiffer-tpg", "pty"),
}
#: an hour: nobody waits for its end; a nanoampere charges the lead through its gigaohm, so that every
#: reading is another one
LONG = {"technique": "galvanostatic", "current_a": "1 nA", "duration_s": "1 h", "interval_s": "1 s"}
SHORT_S = "5 s"
#: What wires, processes and brokers do is tested with rules off that would refuse first; they have tests of their own.
RULES_OFF = ("touch-alarm", "tip-clear", "relays-open", "cell-off", "zero-current", "vacuum")


class Gate:
    """Makes the daemon's sessions, but only while it is open.

    A recorder that only listens misses what is published between its broker's return and its own; after an outage the
    rig lets the recorder in first.
    """

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    @asynccontextmanager
    async def __call__(self, *arguments: Any, **options: Any) -> AsyncIterator[Session]:
        await self.open.wait()
        async with aiomqtt_session.connect(*arguments, **options) as session:
            yield session


@dataclass(slots=True)
class Rig:
    """One whole path. `daemon` is the one in this process, unless the test has one elsewhere."""

    world: World
    served: Mapping[str, Served]
    clock_for: Callable[[str], Clock]
    mosquitto: Mosquitto
    recorder: Recorder
    witness: Witness
    config: Config
    gate: Gate = field(default_factory=Gate)
    #: errors judged so far
    judged: int = 0
    _daemon: Daemon | None = None
    _lab: Lab | None = None

    @property
    def daemon(self) -> Daemon:
        assert self._daemon is not None
        return self._daemon

    @property
    def lab(self) -> Lab:
        assert self._lab is not None
        return self._lab

    def mock(self, device: str) -> Any:
        return self.served[device].instrument

    async def start(self, device: str = "pstat", **parameters: Any) -> Run:
        """A technique."""
        return await self.lab.start("technique", {**LONG, **parameters}, {"potentiostat": device})

    async def measuring(self, device: str = "pstat", samples: int = 5, **parameters: Any) -> Run:
        """A technique that has begun: so many samples of it are at the recorder."""
        before = self.recorder.samples(device)
        run = await self.start(device, **parameters)
        await self.arrived(device, before + samples)
        assert self.witness.is_on(device)
        return run

    async def arrived(self, device: str, samples: int, timeout_s: float = 10.0) -> None:
        enough = lambda: self.recorder.samples(device) >= samples  # noqa: E731
        await self.recorder.until(enough, f"{samples} samples of {device}", timeout_s)

    async def measured(self, device: str = "pstat", **parameters: Any) -> None:
        """A short technique from beginning to end, on a path that must be whole."""
        await self.read(device)
        await self.lab.run("technique", {**LONG, "duration_s": SHORT_S, **parameters}, {"potentiostat": device})

    async def ended(self, run: Run, timeout_s: float = 20.0) -> Any:
        """The result of a run, as everybody was told it."""
        return await self.recorder.newest(f"runs/{run.id}/result", timeout_s=timeout_s)

    async def arrived_or_ended(self, run: Run, device: str, more: int) -> None:
        """Until so many more samples have come, or the run has ended."""
        wanted = self.recorder.samples(device) + more
        ended = f"runs/{run.id}/result"
        done = lambda: self.recorder.samples(device) >= wanted or ended in self.recorder.told  # noqa: E731
        await self.recorder.until(done, f"{wanted} samples of {device}, or the end", 20.0)

    async def connection(self, device: str, *states: str, timeout_s: float = 10.0) -> Any:
        """The device's state once its connection is one of `states`."""
        return await self.recorder.now(f"devices/{device}/state", lambda s: s["connection"] in states, timeout_s)

    async def moving(self, device: str, move: asyncio.Future[Any]) -> None:
        """Until it moves, by the mock's own record; `move` is who asked for it."""
        await eventually(lambda: self.witness.is_moving(device) or move.done())
        assert not move.done(), repr(move.result())

    @asynccontextmanager
    async def held(self, device: str) -> AsyncIterator[int]:
        """Another program has the device's port open; yields its pid. For before the daemon is there."""
        port = self.served[device].address.removeprefix("serial:")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _HOLD, port), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            await asyncio.wait_for(process.stdout.readline(), 10)
            yield process.pid
        finally:
            process.kill()
            await process.communicate()

    @asynccontextmanager
    async def running(self, **changes: Any) -> AsyncIterator[Self]:
        """A daemon in this process, and a client."""
        daemon = Daemon(
            replace(self.config, **changes),
            clock_for=self.clock_for,
            open_session=self.gate,
            flush_s=2.0,
            backoff_s=(0.01, 0.05),
        )
        async with daemon, connect(str(self.mosquitto.address), bridge="lab", name="faults") as lab:
            self._daemon, self._lab = daemon, lab
            yield self

    def second(self, folder: Path) -> Config:
        """The same devices for another bridge with a state of its own."""
        return replace(self.config, bridge="second", prefix="picobridge/second", state_dir=folder / "second")

    async def reached(self) -> None:
        """Until the client reaches the daemon (again). What is asked before the daemon listens again gets lost."""
        while True:
            try:
                async with asyncio.timeout(0.5):
                    await self.lab.request("ping")
                return
            except (BridgeUnreachable, TimeoutError):
                await asyncio.sleep(0.02)

    async def read(self, *devices: str) -> list[Any]:
        """Until the state of the devices was read; returns their open faults, each with its cause gone."""
        async with asyncio.timeout(10):
            while True:
                known = await self.lab.faults()
                mine = [fault for fault in known["open"] if fault["device"] in devices]
                if not set(devices) & set(known["starting"]) and all(fault["cause_gone"] for fault in mine):
                    return mine
                await asyncio.sleep(0.02)

    async def acknowledged(self, device: str) -> int:
        """What the user does about a device that came back: each of its faults is acknowledged. How many there were."""
        await self.connection(device, "connected", timeout_s=20.0)
        faults = await self.read(device)
        for fault in faults:
            await self.lab.acknowledge(fault["id"])
        return len(faults)

    async def restart_broker(self) -> None:
        """The killed broker again, the recorder first."""
        self.recorder.back.clear()
        self.mosquitto.start()
        await asyncio.wait_for(self.recorder.back.wait(), 10)
        self.gate.open.set()
        await self.reached()

    async def kill_broker(self) -> None:
        self.gate.open.clear()
        self.mosquitto.kill()
        connected = self.daemon.uplink.connected
        await eventually(lambda: not connected.is_set())

    async def refused(self, work: Coroutine[Any, Any, Any]) -> PicobridgeError:
        """The error that a client gets."""
        try:
            answer = await work
        except PicobridgeError as error:
            return error
        raise AssertionError(f"was not refused, but answered {answer!r}")

    def kind(self, said: Any) -> type[PicobridgeError]:
        """The class of an error that was told; it must be one of the tree."""
        assert said is not None, "no error was told"
        kind = type(PicobridgeError.from_dict(said))
        assert kind is not PicobridgeError, f"of no class in particular: {said}"
        return kind

    def told(self, said: Any, kind: type[PicobridgeError], device: str = "pstat") -> None:
        """What the user was told: see `checks.check_error`."""
        self.judged += check_error(said, kind, device)

    async def check(self, **expected: Any) -> Checked:
        """See `checks.check`."""
        return await check(self.recorder, self.witness, self.judged, **expected)


#: opens the port, says so, and keeps it until its standard input ends
_HOLD = "import serial, sys; port = serial.Serial(sys.argv[1], exclusive=True); print(flush=True); sys.stdin.read()"

Prepare = Callable[[World, Mapping[str, Served]], None]


@asynccontextmanager
async def whole_path(
    folder: Path,
    devices: tuple[str, ...],
    *,
    mosquitto: Mosquitto,
    speed: float = 200.0,
    mock: Mapping[str, Mapping[str, Any]] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    serials: Mapping[str, str] | None = None,
    address: Mapping[str, str] | None = None,
    prepare: Prepare = lambda world, served: None,
    with_daemon: bool = True,
    broker: BrokerConfig | None = None,
    **config: Any,
) -> AsyncIterator[Rig]:
    """`mock` and `options` change what a simulated instrument and its driver are made with; `address` is added to the
    device's, `serials` are those that are configured."""
    world = World(seed=4, speed=speed, loop_resistance_ohm=1e9, stray_f=100e-9)
    world.wiring.set_relay(0, True)
    world.chamber.set_stage(x_m=0.07, y_m=0.07, z_m=0.02, tilt_deg=20.0, rotation_deg=90.0)
    places = {
        name: replace(
            PLACES[name],
            mock={**PLACES[name].mock, **(mock or {}).get(name, {})},
            options={**PLACES[name].options, **(options or {}).get(name, {})},
        )
        for name in devices
    }
    async with simulated_rig(world, places) as simulated, recording(mosquitto.address, PREFIX) as recorder:
        if "relays" in simulated.served:  # a board opens its relays when it is switched on
            board: Any = simulated.served["relays"].instrument
            board.press(0, True)
        prepare(world, simulated.served)
        settings = Config(
            state_dir=folder / "state",
            broker=broker or BrokerConfig(address=mosquitto.address),
            devices={
                name: replace(
                    device,
                    serial=(serials or {}).get(name, ""),
                    address=device.address + (address or {}).get(name, ""),
                )
                for name, device in simulated.devices.items()
            },
            **{"interlocks": InterlockOptions(off=RULES_OFF), **config},
        )
        witness = Witness(world, simulated.served)
        rig = Rig(world, simulated.served, simulated.clock_for, mosquitto, recorder, witness, settings)
        if not with_daemon:
            yield rig
            return
        async with rig.running():
            yield rig
