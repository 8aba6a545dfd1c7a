"""What the demonstration does: the main job, step by step, through the client, as a user's script would."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from bridge.client import Lab, Run, connect
from bridge.daemon.config import BrokerConfig, Config
from bridge.daemon.daemon import Daemon
from bridge.record import Collector
from bridge.record import Recorder as FolderRecorder
from bridge.record.files import json_text
from bridge.report import write_report
from bridge.report.recorder import Recorder, recording
from drivers.errors import InterlockViolated, PicobridgeError, RunFailed
from drivers.samples import SampleBlock
from mocks.world import World

from .rig import simulated_rig

#: Simulated seconds a second: noise tests, approach and cycle are half an hour of the instruments' time.
SPEED = 60.0
CELL_AREA_M2 = 1e-11
DEFAULT_PORT = 1883
#: How long the recorder may take to get what was published before the last step ended.
_DELIVERY_S = 10.0

PSTAT = {"potentiostat": "pstat", "feedthrough": "relays"}

NOISE_TESTS: Mapping[str, str] = {"feedthrough": "1 pA", "manipulator-ground": "10 pA"}

CYCLE = {
    "current_density_a_per_m2": "1.25 mA/cm2",
    "area_m2": "10 um2",
    "voltage_min_v": "2.0 V",
    "voltage_max_v": "4.2 V",
    "interval_s": "0.1 s",
    "rest_s": "30 s",
    "route": "cell",
    "route_floor_a": "10 pA",
}


class Face(Protocol):
    """Whoever shows the demonstration to a person."""

    def say(self, text: str = "") -> None: ...

    async def follow(self, title: str, run: Run) -> None:
        """Show a run until it has ended."""


@dataclass(slots=True)
class Outcome:
    """What the demonstration found; `to_json` is what `picobridge demo --json` prints."""

    noise: dict[str, dict[str, Any]] = field(default_factory=dict)
    cycle: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    run_folder: str = ""
    report: str = ""

    @property
    def passed(self) -> bool:
        """Whether every noise test passed, and every sample arrived once."""
        arrived = not self.samples["missing"] and self.samples["published"] == self.samples["received"]
        return arrived and all(result["passed"] for result in self.noise.values())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Stage:
    """The demonstration's daemon on its simulated rig, and a script's connection to it."""

    daemon: Daemon
    lab: Lab

    @property
    def published(self) -> int:
        """Samples that the devices gave, by the daemon's own indices."""
        pumps = [supervisor.pump for supervisor in self.daemon.devices.values()]
        return sum(pump.next_index for pump in pumps if pump is not None)


@asynccontextmanager
async def on_stage(
    *, seed: int = 0, speed: float = SPEED, port: int | None = None, data_dir: Path | None = None
) -> AsyncIterator[Stage]:
    """The rig, the daemon with the embedded broker, and a client. `port` None: 1883 if it is free, else any. Runs are
    recorded where there is a `data_dir`."""
    world = World(seed=seed, speed=speed, cell="good", area_m2=CELL_AREA_M2)
    with tempfile.TemporaryDirectory(prefix="picobridge-demo-") as state:
        async with simulated_rig(world) as rig:
            config = Config(
                bridge="demo",
                state_dir=Path(state),
                broker=BrokerConfig(port=_free_port() if port is None else port),
                devices=rig.devices,
                data_dir=data_dir,
                exports=False,
            )
            async with (
                Daemon(config, clock_for=rig.clock_for) as daemon,
                connect(str(daemon.broker), bridge="demo", name="demo") as lab,
            ):
                yield Stage(daemon, lab)


async def perform(stage: Stage, face: Face, runs: Path) -> Outcome:
    """The whole of it. Raises what an experiment raises."""
    outcome = Outcome()
    folder = _new_folder(runs)
    outcome.run_folder = str(folder.resolve())
    blocks: dict[str, dict[str, list[SampleBlock]]] = {}

    def keep(block: SampleBlock) -> None:
        run = blocks.setdefault(str(block.attributes.get("run", "")), {})
        run.setdefault(block.stream.rpartition("-")[0], []).append(block)

    results: list[tuple[str, dict[str, Any]]] = []
    async with recording(stage.lab, Collector(FolderRecorder(folder)), keep) as recorder:
        _introduce(stage.lab, face)
        await _show_refusal(stage.lab, face)
        for route, current in NOISE_TESTS.items():
            run, result = await _noise_test(stage.lab, face, route, current)
            results.append((run, result))
            outcome.noise[route] = {
                "mean_a": result["mean_a"],
                "std_a": result["std_a"],
                "passed": result["verdict"] == "pass",
            }
        await _make_contact(stage.lab, face)
        await _show_interlock(stage.lab, face)
        run, result = await _cycle(stage.lab, face)
        results.append((run, result))
        outcome.cycle = {key: result[key] for key in CYCLE_KEYS}
        outcome.samples = await _count(stage, recorder)
        await recorder.all_ended(_DELIVERY_S)
    (folder / "outcome.json").write_text(json_text(outcome.to_json()), encoding="utf-8")
    page = await asyncio.to_thread(
        write_report,
        folder,
        [result for _, result in results],
        [blocks.get(run, {}) for run, _ in results],
        title="picobridge demo: simulated rig",
    )
    outcome.report = str(page.resolve())
    return outcome


def _new_folder(runs: Path) -> Path:
    """For the page and the outcome, with a folder a run in it."""
    stem, number = f"{datetime.now(UTC):%Y%m%d-%H%M%S}_demo", 1
    while (folder := runs / (stem if number == 1 else f"{stem}_{number}")).exists():
        number += 1
    folder.mkdir(parents=True)
    return folder


CYCLE_KEYS = (
    "charge_ah",
    "discharge_ah",
    "charge_ah_per_m2",
    "voltage_min_v",
    "voltage_max_v",
    "coulombic_efficiency",
)


def _introduce(lab: Lab, face: Face) -> None:
    face.say("1. Instruments found and identified, each on its real wire")
    for name, device in lab.devices.items():
        if device.identity is None:
            raise RunFailed(f"{name} did not answer", device=name, operation="connect")
        address = str(device.info["address"]).partition("?")[0]
        who = " ".join(part for part in (device.identity.make, device.identity.model) if part)
        face.say(f"   {name:8} {device.interface:13} {who:44.44} {address.partition(':')[0]}")


async def _show_refusal(lab: Lab, face: Face) -> None:
    """An instrument that cannot do picoamperes says so, before anything is switched on."""
    run = await lab.start("noise-test", {"current_a": "1 pA"}, {"potentiostat": "tdstat"})
    try:
        await run.result()
    except PicobridgeError as error:
        face.say(f"   1 pA asked of tdstat is refused: {error.message}")
    else:
        raise RunFailed("an instrument that cannot source 1 pA passed a test at 1 pA", device="tdstat")


async def _noise_test(lab: Lab, face: Face, route: str, current: str) -> tuple[str, dict[str, Any]]:
    title = f"Noise test at {current} through {route}"
    run = await lab.start("noise-test", {"current_a": current, "route": route}, PSTAT)
    await face.follow(title, run)
    result = await run.result()
    face.say(f"   {result['verdict'].upper()}: {result['reason']}")
    return run.id, result


async def _make_contact(lab: Lab, face: Face) -> None:
    await lab.tip.move_by(z_m="-18 um")
    parameters = {"route": "cell", "max_travel_m": "4 um", "threshold_v": "1 V"}
    run = await lab.start("make-contact", parameters, {"manipulator": "tip", **PSTAT})
    await face.follow("Manipulator approaches the pad", run)
    result = await run.result()
    face.say(f"   CONTACT after {result['steps']} steps: the lead sees the cell at {result['ocv_v']:.3f} V")


async def _show_interlock(lab: Lab, face: Face) -> None:
    """Nobody tilts the stage with the tip on the sample."""
    await lab.state("stage.touch_alarm", "armed")
    try:
        await lab.stage.move_to(tilt_deg=52.0)
    except InterlockViolated as error:
        reasons = [str(rule["why"]) for rule in error.detail["rules"]]
        face.say(f"   A tilt to 52 deg now is refused: {'; '.join(reasons)}")
    else:
        raise RunFailed("the stage was tilted with the tip in contact", device="stage")


async def _cycle(lab: Lab, face: Face) -> tuple[str, dict[str, Any]]:
    run = await lab.start("cycle", CYCLE, PSTAT)
    await face.follow("Charge to 4.2 V, discharge to 2.0 V at 1.25 mA/cm2 on 10 um2 (125 pA)", run)
    result = await run.result()
    charge, discharge = result["charge_ah"] * 1e12, result["discharge_ah"] * 1e12
    face.say(
        f"   DONE: charged {charge:.2f} pAh ({result['charge_ah_per_m2'] * 100:.1f} uAh/cm2), discharged "
        f"{discharge:.2f} pAh, coulombic efficiency {result['coulombic_efficiency'] * 100:.1f} %"
    )
    return run.id, result


async def _count(stage: Stage, recorder: Recorder) -> dict[str, int]:
    published = stage.published
    await recorder.until(published, _DELIVERY_S)
    counts = recorder.counts
    return {
        "published": published,
        "received": counts.samples,
        "missing": published - counts.samples,
        "duplicated": counts.duplicated,
    }


def _free_port() -> int:
    """1883, which MQTT programs try by themselves, or 0 (any) if something listens there."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", DEFAULT_PORT))
        except OSError:
            return 0
    return DEFAULT_PORT
