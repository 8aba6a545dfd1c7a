"""Every sample of a potentiostat as numpy arrays, and whether any was missed.

picobridge demo &          # or your own `picobridge run lab.toml`
python examples/watch_samples.py mqtt://localhost pstat
"""

import asyncio
import sys

from bridge.client import connect


async def main(url: str = "mqtt://localhost", device: str = "pstat", samples: int = 100) -> float:
    """Watch until `samples` have come; returns their mean current in amperes."""
    total, count = 0.0, 0
    async with connect(url) as lab, lab.listen_to_samples(device) as stream:
        async for block in stream:
            current = block["current_a"]  # shape (n,), float64, exactly what the instrument said
            total += float(current.sum())
            count += len(block)
            print(f"{block.first_index:8d}  {block['voltage_v'][-1]:.6f} V  {current[-1]:.4e} A")
            if count >= samples:
                break
        print(f"{stream.missing} samples missing, {stream.duplicated} delivered twice")
    return total / count


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
