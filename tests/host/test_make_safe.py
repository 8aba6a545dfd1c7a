"""`picobridge make-safe`: after the daemon was killed with a source on, and by hand."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from bridge.transfer.mqtt import BrokerAddress
from mocks.instruments.keithley24xx import Keithley24xxMock
from mocks.wires import serve
from mocks.world import World
from tests.bridge.conftest import free_port
from tests.bridge.listener import listen
from tests.bridge.test_process import daemon, energised, write_config


async def make_safe(*words: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from bridge.cli.main import main; raise SystemExit(main())", "make-safe", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_after_the_daemon_was_killed_with_the_source_on(tmp_path: Path) -> None:
    port = free_port()
    async with serve(Keithley24xxMock(World(speed=50.0), "pstat", model="2400")) as served:
        instrument: Any = served.instrument
        config = write_config(tmp_path, served.address, port)
        async with daemon(config, port) as process, listen(BrokerAddress("127.0.0.1", port), "picobridge/lab/#") as on:
            await energised(on, instrument)
            process.kill()
            await process.wait()
        assert instrument.source.output
        status, out, err = await make_safe(str(config), "--after-crash", SERVICE_RESULT="watchdog")
        assert status == 0, err
        assert "the output was on when picobridge connected" in err
        assert out.startswith("pstat                safe: Keithley 2400 ")
        assert not instrument.source.output


async def test_nothing_is_opened_after_an_end_in_order(tmp_path: Path) -> None:
    async with serve(Keithley24xxMock(World(), "pstat", model="2400")) as served:
        instrument: Any = served.instrument
        config = write_config(tmp_path, served.address, 1883)
        assert await make_safe(str(config), "--after-crash", SERVICE_RESULT="success") == (0, "", "")
        assert instrument.record == []


async def test_what_is_not_proven_safe_is_said_and_the_rest_is_done(tmp_path: Path) -> None:
    async with serve(Keithley24xxMock(World(), "pstat", model="2400")) as served:
        config = write_config(tmp_path, served.address, 1883)
        gone = free_port()
        # what is wrong elsewhere in the file must not keep a source on
        config.write_text(
            config.read_text().replace("reports = false", "reprots = 1")
            + f'[devices.gone]\ndriver = "keithley-24xx"\naddress = "tcp:127.0.0.1:{gone}"\n'
            + '[devices.odd]\ndriver = "keithly"\naddress = "tcp:127.0.0.1:1"\n'
            + '[devices.other]\ndriver = "keithley-24xx"\naddress = 5\n'
        )
        status, out, _ = await make_safe(str(config), "--json")
    assert status == 1
    said = json.loads(out)
    assert said["safe"] is False
    devices = said["devices"]
    assert devices["pstat"] == "safe"
    assert devices["gone"]["error"] == "DeviceLost"
    assert devices["gone"]["device"] == "gone"
    assert "driver 'keithly' is not known" in devices["odd"]["message"]
    assert devices["other"]["message"] == "devices.other.address is 5; accepted: text"


async def test_another_instrument_in_its_place_is_not_called_safe(tmp_path: Path) -> None:
    async with serve(Keithley24xxMock(World(), "pstat", model="2400")) as served:
        config = write_config(tmp_path, served.address, 1883)
        config.write_text(config.read_text() + 'serial = "999"\n')
        status, _, err = await make_safe(str(config))
    assert status == 1
    assert "pstat" in err
    assert "NOT proven safe: WrongDevice" in err
    assert "answers where 999 is configured" in err


async def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    status, _, err = await make_safe(str(tmp_path / "none.toml"))
    assert status == 1
    assert "cannot be read: No such file" in err
