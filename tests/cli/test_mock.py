"""`picobridge mock`: faults by a script and at run time, as somebody's own program would meet them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.errors import DeviceLost, InvalidValue
from drivers.gauges import PfeifferTpg

from .test_direct import run


@asynccontextmanager
async def served(*words: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge.cli.main", "mock", "pfeiffer-tpg", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip(), process
    finally:
        process.terminate()
        await process.communicate()
        assert process.returncode == 143


async def tell(process: asyncio.subprocess.Process, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line.encode() + b"\n")
    await process.stdin.drain()


async def complaint(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    return (await process.stderr.readline()).decode()


async def test_the_cable_is_pulled_and_put_back_at_run_time() -> None:
    async with served() as (address, process):
        gauge = PfeifferTpg(address)
        lost = asyncio.Event()
        await gauge.connect()
        gauge.on_lost(lambda _: lost.set())
        await tell(process, "unplug")
        await asyncio.wait_for(lost.wait(), 5)
        with pytest.raises(DeviceLost):
            await gauge.pressure()
        await tell(process, "replug")
        await tell(process, "?")  # its answer says that the line before was obeyed
        assert "'?'; accepted: unplug, replug, reboot" in await complaint(process)
        await gauge.connect()
        assert (await gauge.pressure()).valid
        await gauge.close()


async def test_a_script_of_faults(tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    script.write_text('[[fault]]\nfault = "split"\n[[event]]\nkind = "short"\nohm = 1e9\n')
    async with served("--script", str(script)) as (address, process), PfeifferTpg(address) as gauge:
        assert (await gauge.pressure()).pressure_pa == 5e-4
        await tell(process, '{"fault": "dropp"}')
        assert "fault 'dropp'; accepted: split, merge, drop" in await complaint(process)


async def test_a_wrong_script_says_what_is_accepted(tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    for text, message in (
        ("[faults]\n", "'faults'; accepted: [[fault]] and [[event]] tables"),
        ('[[fault]]\nfault = "none"\n', "fault 'none'; accepted: split"),
        ('[[event]]\nkind = "none"\n', "mock pfeiffer-tpg: "),
        ("fault = [\n", "--script"),
    ):
        script.write_text(text)
        with pytest.raises(InvalidValue) as caught:
            await run("mock", "pfeiffer-tpg", "--script", str(script))
        assert message in caught.value.message
