"""From just before an emergency stop is published to the moment when an instrument has the bytes that switch it off or
stop it: idle, with both cores busy, and while somebody else floods the daemon with requests.

A daemon, a real Mosquitto, and the instruments with whoever presses the button are a process each. Two sources are on
and a stage moves; the button is pressed at a random moment of what they are doing. The instruments are the simulated
ones: an EmStat and a stage on ptys, a 2400 on a socket; their own event loop is in the figure.

Also by itself: `python -m benchmarks.stop [--quick]`.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any

from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from bridge.access.options import Access
from bridge.access.permissions import Role
from bridge.client import Lab, connect
from bridge.daemon.config import DeviceConfig
from bridge.safety.interlock_options import InterlockOptions
from bridge.transfer.topics import Topics
from drivers.errors import PicobridgeError
from mocks.instrument import Instrument
from mocks.instruments.keithley24xx import Keithley24xxMock
from mocks.instruments.methodscript import MethodScriptMock
from mocks.instruments.zeiss_remcon import ZeissRemconMock
from mocks.wires import serve
from mocks.world import World

from . import daemon_process
from .broker import mosquitto
from .machine import facts, load, percentile
from .processes import Part, heard
from .results import Target, write

STOPS, QUICK_STOPS = 200, 15
BOUND_MS = 100.0
FLOOD_PER_S = 10_000
ME, FLOODER = "bench", "mallory"
#: What switches off, or stops. The 2400 opens its relay by the command before, in the same bytes.
OFF = {"pstat": b":OUTP OFF", "emstat": b"Z\n", "stage": b"ABO"}
_TECHNIQUE = {"technique": "galvanostatic", "current_a": 1e-6, "duration_s": 600.0, "interval_s": 0.02}
#: All that the button is measured with at once: these rules would not have a stage move beside a source that is on.
_RULES_OFF = ("touch-alarm", "tip-clear", "relays-open", "cell-off", "at-rest", "zero-current")
_TIMEOUT_S = 900.0
_WAIT_S = 30.0
#: The flood lasts so long before the button is pressed; for ever would keep the runs from being started at all.
_FLOODED_S = 0.5


def targets(result: dict[str, Any]) -> list[Target]:
    return [
        Target(f"p99 of an emergency stop to the bytes, {device}, {how}", figures["p99_ms"], "<=", BOUND_MS, "ms")
        for how, devices in result.items()
        for device, figures in devices.items()
        if device in OFF
    ]


def run(quick: bool) -> dict[str, Any]:
    stops = QUICK_STOPS if quick else STOPS
    return {
        "idle": _measure(stops, busy=False, flooded=False),
        "both cores busy": _measure(stops, busy=True, flooded=False),
        "flooded": _measure(stops, busy=False, flooded=True),
    }


def _measure(stops: int, *, busy: bool, flooded: bool) -> dict[str, Any]:
    flooding = multiprocessing.get_context("spawn").Event() if flooded else None
    with mosquitto() as broker, Part(serve_rig, broker.url, flooding) as rig, ExitStack() as stack:
        devices = {
            name: DeviceConfig(name=name, driver=driver, address=address)
            for name, (driver, address) in rig.ready.items()
        }
        access = Access({ME: Role.ADMINISTRATOR, FLOODER: Role.OPERATOR})
        rules = InterlockOptions(off=_RULES_OFF)
        stack.enter_context(Part(daemon_process.run, broker.url, devices, "aiomqtt", 64_000_000, False, access, rules))
        for _ in range(2 if busy else 0):
            stack.enter_context(Part(spin))
        flood = stack.enter_context(Part(flood_with_requests, broker.port, flooding)) if flooded else None
        rig.send(stops)
        times_ms: dict[str, list[float]] = rig.receive(_TIMEOUT_S)
        result: dict[str, Any] = {name: _figures(values) for name, values in times_ms.items()}
        if flood is not None:
            flood.send("how many")
            result["requests_per_s"] = flood.receive(_WAIT_S)
    return result


def _figures(values_ms: list[float]) -> dict[str, Any]:
    return {
        "p50_ms": percentile(values_ms, 50),
        "p99_ms": percentile(values_ms, 99),
        "max_ms": max(values_ms),
        "stops": len(values_ms),
    }


# --- what keeps the machine busy -------------------------------------------------------------------------------------


def spin(pipe: Connection) -> None:
    """One core's worth, until the pipe says anything."""
    pipe.send("ready")
    while not pipe.poll():
        sum(range(10_000))


def flood_with_requests(pipe: Connection, port: int, flooding: Event) -> None:
    """As a user who is known, at QoS 0, while `flooding` is set. When asked: how many a second there were."""
    client = Client(CallbackAPIVersion.VERSION2, client_id="flood", protocol=MQTTv311)
    client.connect("127.0.0.1", port)
    client.loop_start()
    topic = Topics(f"picobridge/{daemon_process.BRIDGE}").request("ping", FLOODER)
    sent, lasted_s = 0, 0.0
    pipe.send("ready")
    while not pipe.poll():
        if not flooding.wait(0.01):
            continue
        began, due = time.monotonic(), 0
        while flooding.is_set():
            wanted = int((time.monotonic() - began) * FLOOD_PER_S)
            for _ in range(wanted - due):
                client.publish(topic, b'{"id": "x", "from": "mallory"}')
            sent, due = sent + wanted - due, wanted
            time.sleep(0.001)
        lasted_s += time.monotonic() - began
    pipe.recv()
    pipe.send(sent / lasted_s)
    client.loop_stop()
    with suppress(EOFError):
        pipe.recv()


# --- instruments, and a person ---------------------------------------------------------------------------------------


def serve_rig(pipe: Connection, url: str, flooding: Event | None) -> None:
    """Sends drivers and addresses by name; when told how many stops, the times to all of them, by name, ms. Each time
    before the button is pressed `flooding` is set for a while."""
    asyncio.run(_serve(pipe, url, flooding))


async def _serve(pipe: Connection, url: str, flooding: Event | None) -> None:
    world = World(speed=1.0, flows=True, loop_resistance_ohm=1e6, stray_f=1e-12)
    world.wiring.set_relay(0, True)
    instruments: dict[str, tuple[str, str, Instrument]] = {
        "pstat": ("keithley-24xx", "tcp", Keithley24xxMock(world, "pstat", model="2400")),
        "emstat": ("methodscript", "pty", MethodScriptMock(world, "emstat")),
        "stage": ("zeiss-remcon", "pty", ZeissRemconMock(world, "stage")),
    }
    async with AsyncExitStack() as stack:
        addresses = {}
        for name, (driver, wire, instrument) in instruments.items():
            served = await stack.enter_async_context(serve(instrument, wire=wire))
            addresses[name] = driver, served.address
        pipe.send(addresses)
        stops = await heard(pipe)
        if stops is None:
            return
        plain = url.replace("mqtt://", f"mqtt://{ME}@")
        async with connect(plain, bridge=daemon_process.BRIDGE, name=ME) as lab:
            pipe.send(await _press(lab, {name: each[2] for name, each in instruments.items()}, stops, flooding))
        await heard(pipe)


@contextmanager
def _watched(name: str, instrument: Instrument) -> Iterator[asyncio.Future[float]]:
    """When the instrument has had what ends it, monotonic seconds."""
    taken: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    receive, before = instrument.receive, b""

    def watch(data: bytes) -> None:
        nonlocal before
        before = (before + data)[-200:]
        if OFF[name] in before and not taken.done():
            taken.set_result(time.monotonic())
        receive(data)

    instrument.receive = watch  # type: ignore[method-assign]
    try:
        yield taken
    finally:
        del instrument.receive


async def _press(lab: Lab, instruments: dict[str, Any], stops: int, flooding: Event | None) -> dict[str, list[float]]:
    dice = random.Random(1)
    times_ms: dict[str, list[float]] = {name: [] for name in instruments}
    for _ in range(stops):
        runs = [await lab.start("technique", _TECHNIQUE, {"potentiostat": name}) for name in ("pstat", "emstat")]
        where_m = 0.14 if instruments["stage"].position[0] < 70.0 else 0.01
        move = asyncio.ensure_future(lab.call("stage", "move_to", {"x_m": where_m}))
        await _under_way(instruments, move)
        if flooding is not None:
            flooding.set()
        await asyncio.sleep(dice.uniform(0.0, 0.25) + (_FLOODED_S if flooding is not None else 0.0))
        with ExitStack() as stack:
            taken = {name: stack.enter_context(_watched(name, each)) for name, each in instruments.items()}
            pressed_s = time.monotonic()
            stopping = asyncio.ensure_future(lab.emergency_stop())
            await asyncio.wait([*taken.values()], timeout=_WAIT_S)
            if flooding is not None:
                flooding.clear()
            outcome = await stopping
        for name, at in taken.items():
            times_ms[name].append(1e3 * (at.result() - pressed_s) if at.done() else float("inf"))
        if set(outcome["devices"].values()) != {"safe"}:
            raise RuntimeError(f"not everything is safe: {outcome['devices']}")
        with suppress(PicobridgeError):
            await move
        for run in runs:
            with suppress(PicobridgeError):
                await run.result()
        await lab.acknowledge(outcome["fault"])
    return times_ms


async def _under_way(instruments: dict[str, Any], move: asyncio.Future[Any]) -> None:
    world: World = instruments["pstat"].world
    async with asyncio.timeout(_WAIT_S):
        while True:
            last = {happening.device: happening.what for happening in world.happenings.record}
            if last.get("pstat") == last.get("emstat") == "energised" and instruments["stage"].moving:
                world.happenings.record.clear()
                return
            if move.done():
                raise RuntimeError(f"the stage does not move: {move.exception() or move.result()}")
            await asyncio.sleep(0.01)


def main() -> int:
    quick, machine = "--quick" in sys.argv[1:], facts()
    result = run(quick)
    print(json.dumps(result, indent=2))
    write("stop", quick, machine | {"load_after": load()}, result, targets(result))
    missed = [target for target in targets(result) if not target.met]
    for target in targets(result):
        print(target.row)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
