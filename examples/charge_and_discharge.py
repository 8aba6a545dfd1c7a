"""Charge a nanobattery to 4.2 V and discharge it to 2.0 V at a current density, and say what came back.

python examples/charge_and_discharge.py mqtt://localhost
"""

import asyncio
import sys
from typing import Any

from bridge.client import connect
from drivers.errors import PicobridgeError


async def main(url: str = "mqtt://localhost", **changes: Any) -> dict[str, Any]:
    """Run the experiment in the daemon; `changes` are other parameters. Returns the result."""
    parameters = {
        "current_density_a_per_m2": "1.25 mA/cm2",
        "area_m2": "10 um2",
        "voltage_min_v": "2.0 V",
        "voltage_max_v": "4.2 V",
        "interval_s": "1 s",
        **changes,
    }
    async with connect(url) as lab:
        run = await lab.start("cycle", parameters, {"potentiostat": "pstat"})
        async for state in run.states():
            print(f"{state['step']:30} {100 * (state['fraction'] or 0):5.1f} %")
        result = await run.result()
    print(f"charged {result['charge_ah']:.4e} Ah, discharged {result['discharge_ah']:.4e} Ah")
    print(f"coulombic efficiency {result['coulombic_efficiency']:.3f}")
    return result


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:2]))
    except PicobridgeError as error:
        sys.exit(f"{error}\n{error.hint}")
