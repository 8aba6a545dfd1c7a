"""From the sample that crosses a limit to the command that reacts, inside the daemon, over two wires.

The instrument is the simulated 2400 in a process of its own. It takes the time just before the bytes of the crossing
reading go to the socket, and again when the first bytes after it have come; what a socket and the instrument's own
event loop take is in the figure.
"""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

from bridge.client import connect
from bridge.daemon.config import DeviceConfig
from bridge.demo.rig import visa_socket
from mocks.instruments.keithley24xx import Keithley24xxMock
from mocks.wires import serve
from mocks.world import World

from . import daemon_process
from .broker import mosquitto
from .machine import percentile
from .processes import Part, heard
from .results import Target

RUNS, QUICK_RUNS = 300, 20
SAMPLES_BEFORE = 5
LIMIT_V = 4.2
_LOOP_OHM, _LOOP_OHM_AFTER = 1e6, 1e7
_TECHNIQUE = {
    "technique": "galvanostatic",
    "current_a": 1e-6,
    "duration_s": 10.0,
    "interval_s": 0.005,
    "voltage_max_v": LIMIT_V,
}
_TIMEOUT_S = 300.0


def targets(result: dict[str, Any]) -> list[Target]:
    return [
        Target(
            f"{percent} of a limit's crossing to the command, {wire}", result[wire][f"{percent}_ms"], "<", bound, "ms"
        )
        for wire in result
        for percent, bound in (("p50", 1.0), ("p99", 10.0))
    ]


def run(quick: bool) -> dict[str, Any]:
    return {wire: _over(wire, QUICK_RUNS if quick else RUNS) for wire in ("tcp", "visa socket")}


def _over(wire: str, runs: int) -> dict[str, Any]:
    with mosquitto() as broker, Part(serve_instrument) as instrument:
        address = instrument.ready if wire == "tcp" else visa_socket(instrument.ready)
        device = DeviceConfig(name="pstat", driver="keithley-24xx", address=address, options={"nplc": 0.01})
        with Part(daemon_process.run, broker.url, {"pstat": device}), Part(start_runs, broker.url) as starter:
            starter.send(runs)
            ends = starter.receive(_TIMEOUT_S)
            instrument.send(True)
            seen: list[tuple[float, str]] = instrument.receive(_TIMEOUT_S)
    wrong = [first for _, first in seen if not first.startswith((":OUTP:SMOD HIMP", ":OUTP OFF"))]
    if len(seen) != runs or wrong or set(ends) != {"voltage_max"}:
        raise RuntimeError(f"{len(seen)} reactions in {runs} runs, which ended by {set(ends)}; odd ones: {wrong[:3]}")
    times_ms = [1e3 * elapsed_s for elapsed_s, _ in seen]
    return {
        "p50_ms": percentile(times_ms, 50),
        "p99_ms": percentile(times_ms, 99),
        "max_ms": max(times_ms),
        "runs": runs,
        "first_command": seen[0][1].strip(),
    }


class _Watched(Keithley24xxMock):
    """On a loop whose resistance rises after some readings, so that the voltage crosses the limit."""

    def begin(self) -> None:
        self.reactions: list[tuple[float, str]] = []
        self.readings = 0
        self.crossed_s: float | None = None
        self.world.wiring.set_relay(0, True)

    def receive(self, data: bytes) -> None:
        if self.crossed_s is not None:
            self.reactions.append((perf_counter() - self.crossed_s, data.decode("latin-1")))
            self.crossed_s, self.readings = None, 0
            self.world.loop_resistance_ohm = _LOOP_OHM
        super().receive(data)

    def send(self, data: bytes) -> None:
        numbers = data.split(b",")
        if len(numbers) >= 3 and self.source.output:
            self.readings += 1
            if self.readings > SAMPLES_BEFORE:
                self.world.loop_resistance_ohm = _LOOP_OHM_AFTER
            if float(numbers[0]) >= LIMIT_V:
                self.crossed_s = perf_counter()
        super().send(data)


def serve_instrument(pipe: Connection) -> None:
    """Sends its address; then, when asked, each reaction's time and its first bytes."""
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    world = World(speed=1.0, flows=True, loop_resistance_ohm=_LOOP_OHM, stray_f=1e-12)
    instrument = _Watched(world, "pstat", model="2400")
    instrument.begin()
    async with serve(instrument, wire="tcp") as served:
        pipe.send(served.address)
        while await heard(pipe):
            pipe.send(instrument.reactions)


def start_runs(pipe: Connection, url: str) -> None:
    """Sends "ready", then for each number that it is told how that many runs ended."""
    asyncio.run(_start(pipe, url))


async def _start(pipe: Connection, url: str) -> None:
    async with connect(url, bridge=daemon_process.BRIDGE, name="bench") as lab:
        pipe.send("ready")
        while (count := await heard(pipe)) is not None:
            ends = [(await lab.run("technique", _TECHNIQUE, {"potentiostat": "pstat"}))["end"] for _ in range(count)]
            pipe.send(ends)
