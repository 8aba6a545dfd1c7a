"""The page of `picobridge run`, from outside: served, hung up at the end, and no port is taken silently."""

from __future__ import annotations

import socket
from pathlib import Path

import aiohttp

from mocks.instruments.keithley24xx import Keithley24xxMock
from mocks.wires import serve
from mocks.world import World
from tests.bridge.conftest import free_port
from tests.bridge.test_process import daemon, write_config

from .test_relay import CONNECT, WELCOME, farewell


async def test_the_page_lives_and_ends_with_the_daemon(tmp_path: Path) -> None:
    port, page = free_port(), free_port()
    async with serve(Keithley24xxMock(World(), "pstat")) as served, aiohttp.ClientSession() as browser:
        config = write_config(tmp_path, served.address, port)
        config.write_text(f"{config.read_text()}[web]\nport = {page}\n")
        async with daemon(config, port) as process:
            # it is answered when the daemon is up, however early it is asked
            async with browser.get(f"http://localhost:{page}/config.json") as answer:
                assert (await answer.json())["prefix"] == "picobridge/lab"
            socket = await browser.ws_connect(f"http://127.0.0.1:{page}/mqtt", protocols=("mqtt",))
            await socket.send_bytes(CONNECT)
            assert await socket.receive_bytes(timeout=10) == WELCOME
            process.terminate()
            assert (await farewell(socket)).data == 1001
            assert await process.wait() == 0


async def test_a_port_that_was_chosen_and_is_taken_is_told_before_anything_is_touched(tmp_path: Path) -> None:
    async with serve(Keithley24xxMock(World(), "pstat")) as served:
        with socket.create_server(("127.0.0.1", 0)) as other:
            config = write_config(tmp_path, served.address, free_port())
            config.write_text(f"{config.read_text()}[web]\nport = {other.getsockname()[1]}\n")
            async with daemon(config, 1) as process:
                assert await process.wait() == 1
        assert "the page cannot be served on 127.0.0.1:" in config.with_suffix(".log").read_text()
        assert not (tmp_path / "state").exists()
