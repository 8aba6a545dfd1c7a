"""A sheet through everything: ptys, drivers, daemon, broker, client."""

from __future__ import annotations

from pathlib import Path

from bridge.client import connect
from bridge.daemon.config import BrokerConfig, Config
from bridge.daemon.daemon import Daemon
from bridge.demo.sheet_rig import PROBER, cast, clock_for, served_sheet, wired_sheet
from mocks.world.sheet_cells import Defects, SheetCells

from .test_ten_thousand import EXAMPLES, SOFT

LIMITS = """
[limits.ocv_v]
low = "320 mV"
high = "390 mV"
[limits.ocv_std_v]
high = "1 mV"
[limits.z_1khz_ohm]
low = 0
high = "1.7 kohm"
[constants]
contact_ohm = "5 kohm"
short_ohm = "700 ohm"
leak_drop_v = "1 mV"
z_grade_a_ohm = "1.3 kohm"
kk_limit = 0.05
repeat_limit = 0.05
"""


async def test_a_sheet_over_real_wires_aborted_and_gone_on_with(tmp_path: Path) -> None:
    cells = SheetCells(4, 8, seed=11, defects=Defects(shorts=1, opens=1, leaky=1, outliers=1))
    sheet = wired_sheet(cells)
    async with (
        served_sheet(sheet) as devices,
        Daemon(
            Config(bridge="lab", state_dir=tmp_path, broker=BrokerConfig(port=0), devices=devices, interlocks=PROBER),
            clock_for=clock_for(sheet),
        ) as daemon,
        connect(str(daemon.broker), name="test") as lab,
    ):
        run = await lab.start(
            "sheet-map",
            {
                "sheet": sheet.table,
                "bins": (EXAMPLES / "bins.toml").read_text(),
                "limits": LIMITS,
                "ocv": "1 s",
            },
            cast(sheet),
        )
        async for state in run.states():
            if state["values"].get("cells", 0) >= 8:
                break
        await run.abort()
        assert not any(sheet.world.terminals(channel).drive_is_on for channel in sheet.channels)
        before = dict(sheet.world.visits)
        again = await lab.resume(run.id)
        result = await again.result()
    assert result["verdict"] == "completed", result["reason"]
    mapped = result["cells"]
    found = dict(zip(zip(mapped["row"], mapped["column"], strict=True), mapped["soft"], strict=True))
    assert {p: s for p, s in found.items() if s != SOFT[cells.truth[p]]} == {}
    assert result["crosstalk"]["passed"] is True
    assert [i["model"] for i in result["instruments"]] == ["EmStat4 HR"] * 2
    # what the first run had kept was not touched again, but for the check of cross-talk on the first landing
    assert len(result["records"]["row"]) == 32
    kept = [place for place in before if sheet.world.visits[place] == before[place]]
    assert len(kept) >= 4
    # two heads, two channels, one board: what limits is not waited for
    assert result["time"]["over_bound"] < 0.2, result["time"]
    assert set(result["time"]["occupancy"]) == {"left", "right", "p0", "p1", "board"}
    # the relays never opened under a driven cell, and all is off
    assert not any(probe.drive_is_on for probe in (sheet.world.terminals(c) for c in sheet.channels))
