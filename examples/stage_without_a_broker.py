"""One driver alone, with no daemon and no broker: read a stage, move it a little, and back.

python examples/stage_without_a_broker.py serial:/dev/ttyUSB0
"""

import asyncio
import sys

from drivers.stages import ZeissRemcon


async def main(address: str, step_m: float = 10e-6) -> tuple[float, float]:
    """Returns x before and after, in metres. Leaving the block stops the stage, whatever happened."""
    async with ZeissRemcon(address) as stage:
        before = await stage.position()
        print(f"{stage.identity}: x {before.x_m * 1e3:.4f} mm, tilt {before.tilt_deg:.2f} deg")
        await stage.move_by(x_m=step_m)
        after = await stage.move_by(x_m=-step_m)
    return before.x_m, after.x_m


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
