"""kill -9 of a process that writes: what it was told is on disk is there, and nothing twice."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from bridge.store.cursor_table import CursorTable
from bridge.store.fault_table import FaultTable
from bridge.store.fence_table import FenceTable
from bridge.store.run_table import RunTable

from .conftest import opened

WRITER = """
import asyncio, sys
from pathlib import Path
from bridge.store.cursor_table import CursorTable
from bridge.store.database import Database
from bridge.store.fault_table import FaultTable
from bridge.store.fence_table import FenceTable
from bridge.store.run_table import RunTable

def tell(*words):
    print(*words, flush=True)

async def main():
    database = Database(Path(sys.argv[1]))
    await database.open()
    assert database.problem is None
    runs, cursors, fences = RunTable(database), CursorTable(database), FenceTable(database)
    index = max((cursor.next_index for cursor in await cursors.all()), default=0)
    await runs.begin("run", {"procedure": "cycle"})
    while True:
        index += 1
        tell("cursor", (await cursors.acknowledge("disk", "pstat-1", index, at_ns=index)).next_index)
        tell("fence", await fences.next("stage"))
        tell("fault", (await FaultTable(database).raise_fault("disk", "", "x" * 3000, at_ns=index)).count)
        await runs.save("run", [index] * 500)
        tell("saved", index)

asyncio.run(main())
"""
KILLS = 8


async def write_until_killed(path: Path, lines: int) -> dict[str, list[int]]:
    """The numbers that were acknowledged, by kind, up to what the pipe still held."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    told = [await process.stdout.readline() for _ in range(lines)]
    process.kill()
    told += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    numbers: dict[str, list[int]] = {"cursor": [], "fence": [], "fault": [], "saved": []}
    for line in told:
        if line.endswith(b"\n"):
            kind, number = line.split()
            numbers[kind.decode()].append(int(number))
    return numbers


async def test_nothing_that_was_acknowledged_is_lost(path: Path) -> None:
    chance = random.Random(5)
    fences: list[int] = []
    for _ in range(KILLS):
        told = await write_until_killed(path, chance.randrange(4, 200))
        async with opened(path) as database:
            assert database.problem is None
            cursor = await CursorTable(database).get("disk", "pstat-1")
            (fault,) = await FaultTable(database).open_faults()
            (run,) = await RunTable(database).under_way()
            fence = await FenceTable(database).current("stage")
        # what was written last may not have been told any more
        assert cursor is not None
        assert cursor.next_index - told["cursor"][-1] in (0, 1)
        assert fence - told["fence"][-1] in (0, 1)
        assert fault.count - told["fault"][-1] in (0, 1)
        assert run.entry["saved"][0] - told["saved"][-1] in (0, 1)
        assert len(set(run.entry["saved"])) == 1
        fences += told["fence"]
    assert fences == sorted(set(fences)), "a fencing number was granted twice"
