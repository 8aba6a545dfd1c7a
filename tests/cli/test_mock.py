"""`picobridge mock`: faults by a script and at run time, as somebody's own program would meet them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.daemon.config import load
from bridge.demo.rig import visa_socket
from drivers.errors import DeviceLost, InvalidValue
from drivers.feedthroughs import ModbusRelay
from drivers.gauges import PfeifferTpg
from drivers.potentiostats import Keithley24xx

from .test_direct import run


@asynccontextmanager
async def served(*words: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge.cli.main", "mock", *words),
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
    async with served("pfeiffer-tpg") as (address, process):
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
    async with served("pfeiffer-tpg", "--script", str(script)) as (address, process), PfeifferTpg(address) as gauge:
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


async def test_several_instruments_share_a_world_and_make_a_configuration(tmp_path: Path) -> None:
    config = tmp_path / "lab.toml"
    words = ("smu=keithley-24xx", "modbus-relay", "--touching", "--config", str(config))
    async with served(*words) as (first, process):
        assert process.stdout is not None
        second = (await process.stdout.readline()).decode().strip()
        assert first.startswith("smu tcp:127.0.0.1:")
        assert second.startswith("modbus-relay serial:")
        devices = load(config).devices
        assert devices["smu"].address == visa_socket(first.split()[1])
        relays = ModbusRelay(second.split()[1], ModbusRelay.options_type(**devices["modbus-relay"].options))
        async with relays, Keithley24xx(devices["smu"].address) as smu:
            assert abs((await smu.open_circuit(0.2))["voltage_v"][-1]) < 0.05
            await relays.select("cell")
            assert (await smu.open_circuit(1.0))["voltage_v"][-1] > 0.1
        await tell(process, "unplug")
        assert "say which instrument first: smu, modbus-relay" in await complaint(process)
        await tell(process, "modbus-relay off")
        assert "'off'; accepted: unplug" in await complaint(process)


async def test_a_lone_instrument_may_have_a_cell_on_its_terminals() -> None:
    words = ("keithley-24xx", "--route", "cell", "--touching")
    async with served(*words) as (address, _), Keithley24xx(visa_socket(address)) as smu:
        assert (await smu.open_circuit(1.0))["voltage_v"][-1] > 0.1


async def test_a_wrong_mock_says_what_is_accepted() -> None:
    for words, message in (
        (("keithley-24xx", "--route", "moon"), "--route 'moon'; accepted: feedthrough"),
        (("keithley-24xx", "keithley-24xx"), "give them names: NAME=keithley-24xx"),
        (("a=keithley-24xx", "tdstat", "--option", "x=1"), "--option is for one mock"),
    ):
        with pytest.raises(InvalidValue) as caught:
            await run("mock", *words)
        assert message in caught.value.message
