"""A simulated sheet with its rig on wires: MethodSCRIPT channels, a relay board and two RemCon stages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bridge.daemon.config import DeviceConfig
from bridge.safety.interlock_options import InterlockOptions
from drivers.clock import Clock
from mocks.instrument import Instrument
from mocks.instruments.methodscript import MethodScriptMock
from mocks.instruments.modbus_relay import ModbusRelayMock
from mocks.instruments.zeiss_remcon import ZeissRemconMock
from mocks.wires import serve
from mocks.world.sheet import Placement, SheetWorld, Wire
from mocks.world.sheet_cells import SheetCells

#: the sheet lies here in the stages' coordinates, which begin at zero
ORIGIN_M = 5e-3
CONTACT_Z_M, TRAVEL_Z_M = 1e-3, 1.5e-3


@dataclass(frozen=True)
class WiredSheet:
    """Two heads with `probes` probes each; as many channels, which one relay board gives to the one head or the other.

    `table` is the sheet's description.
    """

    world: SheetWorld
    table: dict[str, Any]
    channels: tuple[str, ...]
    routes: Mapping[str, Sequence[int]]


HEADS = ("left", "right")


def wired_sheet(cells: SheetCells, probes: int = 2, **world: Any) -> WiredSheet:
    channels = tuple(f"p{number}" for number in range(probes))
    routes = {name: [probes * h + n for n in range(probes)] for h, name in enumerate(HEADS)}
    wires = {channel: [Wire(head, 0, n, coil=routes[head][n]) for head in HEADS] for n, channel in enumerate(channels)}
    built = SheetWorld(
        cells,
        wires,
        dict.fromkeys(HEADS, "stage"),
        placement=Placement(x_m=ORIGIN_M, y_m=ORIGIN_M),
        contact_z_m=CONTACT_Z_M,
        **world,
    )
    sites = {head: [{"channel": c, "route": head, "column": n} for n, c in enumerate(channels)] for head in HEADS}
    table = {
        "lot": "L1",
        "sheet": "S1",
        "grid": {"rows": cells.rows, "columns": cells.columns, "pitch": [cells.pitch_m] * 2},
        "mark": [
            {"design": [x, y], "seen": [x + ORIGIN_M, y + ORIGIN_M]} for x, y in ((0.0, 0.0), (0.03, 0.0), (0.0, 0.03))
        ],
        "head": [
            {"device": head, "site": sites[head], "contact_z": CONTACT_Z_M, "travel_z": TRAVEL_Z_M} for head in HEADS
        ],
    }
    return WiredSheet(built, table, channels, routes)


#: What docs/sheet.md says of a prober: its heads have no touch alarm and move side by side.
PROBER = InterlockOptions(
    off=("touch-alarm", "relays-open", "cell-off", "at-rest"),
    groups={name: (name,) for name in ("left", "right", "board")},
)


@asynccontextmanager
async def served_sheet(sheet: WiredSheet) -> AsyncIterator[Mapping[str, DeviceConfig]]:
    """Serve the instruments until left; gives the devices of a configuration."""
    world = sheet.world
    coils = max(coil for coils in sheet.routes.values() for coil in coils) + 1
    places: list[tuple[str, str, Instrument, dict[str, Any]]] = [
        *((name, "methodscript", MethodScriptMock(world, name), {}) for name in sheet.channels),
        *(
            (head, "zeiss-remcon", ZeissRemconMock(world.head(head), head, speed_mm_per_s=20.0), {"poll_s": 0.25})
            for head in HEADS
        ),
        (
            "board",
            "modbus-relay",
            ModbusRelayMock(world, "board", coils=coils),
            {"coils": coils, "routes": sheet.routes},
        ),
    ]
    async with AsyncExitStack() as stack:
        devices = {}
        for name, driver, mock, options in places:
            served = await stack.enter_async_context(serve(mock, wire="pty"))
            devices[name] = DeviceConfig(name=name, driver=driver, address=served.address, options=options)
        yield devices


def clock_for(sheet: WiredSheet) -> Callable[[str], Clock]:
    """For the daemon: each device's own clock."""
    return lambda name: sheet.world.clock_world(name).host_clock(name)


def cast(sheet: WiredSheet) -> dict[str, Any]:
    """Who plays what."""
    return {"potentiostat": list(sheet.channels), "stage": list(HEADS), "feedthrough": "board"}
