"""A sheet of ten thousand cells over real wires: ptys, drivers, daemon, Mosquitto, client.

Eight MethodSCRIPT channels that one Modbus relay board gives to the one or the other of two RemCon stages with eight
probes each; all but the broker in one process, in simulated time. What counts is the time on the instruments' clocks
beside its computed bound, and that every bin is the truth; what the machine takes for it is beside the point.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from bridge.client import connect
from bridge.daemon.config import BrokerConfig, Config
from bridge.daemon.daemon import Daemon
from bridge.demo.sheet_rig import ORIGIN_M, PROBER, cast, clock_for, served_sheet, wired_sheet
from bridge.transfer.mqtt import BrokerAddress
from mocks.world.sheet_cells import Defects, SheetCells

from .broker import mosquitto
from .results import Target

_EXAMPLES = Path(__file__).parent.parent / "examples" / "sheet"
#: the bin of each kind of cell by those rules
_SOFT = {
    "good": 1,
    "weak": 2,
    "short": 3,
    "soft short": 3,
    "open": 4,
    "leaky": 5,
    "outlier": 6,
    "streak": 4,
    "pitch": 4,
}
_DEFECTS = Defects(50, 30, 25, 25, 25, 40, streaks=((37, 20, 18),), pitches=((71, 3, 12),))
#: a hundred cells within the stage's travel of 152 mm
_PITCH_M = 1.4e-3
_QUICK = Defects(4, 2, 2, 2, 2, 4)


def targets(result: dict[str, Any]) -> list[Target]:
    return [
        Target(f"time of {result['cells']} cells over the computed bound", result["over_bound"] * 100, "<=", 10.0, "%"),
        Target("cells in another bin than the truth", result["wrong"], "<=", 0.0),
        Target("cells without a record", result["unmeasured"], "<=", 0.0),
    ]


def run(quick: bool) -> dict[str, Any]:
    with mosquitto() as broker, tempfile.TemporaryDirectory(prefix="picobridge-bench-") as folder:
        return asyncio.run(_map(broker.url, Path(folder), quick))


async def _map(url: str, folder: Path, quick: bool) -> dict[str, Any]:
    cells = SheetCells(20, 32, _PITCH_M, 3, _QUICK) if quick else SheetCells(100, 100, _PITCH_M, 3, _DEFECTS)
    sheet = wired_sheet(cells, probes=8, miss=0.004, seed=1)
    table = sheet.table | {"mark": []}
    table["grid"] = table["grid"] | {"origin": [ORIGIN_M, ORIGIN_M]}
    parameters = {
        "sheet": table,
        "bins": (_EXAMPLES / "bins.toml").read_text(encoding="utf-8"),
        "limits": (_EXAMPLES / "limits.toml").read_text(encoding="utf-8"),
        "ocv": "1 s",
        "retests": 3,
    }
    async with served_sheet(sheet) as devices:
        config = Config(
            bridge="lab",
            state_dir=folder,
            broker=BrokerConfig(address=BrokerAddress.parse(url)),
            devices=devices,
            interlocks=PROBER,
        )
        async with Daemon(config, clock_for=clock_for(sheet)), connect(url, name="bench") as lab:
            began = perf_counter()
            mapping = await lab.start("sheet-map", parameters, cast(sheet))
            result = await mapping.result()
            took = perf_counter() - began
    found = dict(
        zip(zip(result["cells"]["row"], result["cells"]["column"], strict=True), result["cells"]["soft"], strict=True)
    )
    time = result["time"]
    return {
        "cells": len(found),
        "wrong": sum(soft != _SOFT[cells.truth[place]] for place, soft in found.items()),
        "unmeasured": result["cells"]["record"].count(None),
        "retests": result["retests"]["records"],
        "over_bound": time["over_bound"],
        "elapsed_s": time["elapsed_s"],
        "bound_s": time["bound_s"],
        "limited_by": time["limited_by"],
        "occupancy": {name: used["occupancy"] for name, used in time["occupancy"].items()},
        "machine_s": took,
    }
