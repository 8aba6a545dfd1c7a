"""The daemon as a process of its own over the rig's simulated instruments, and the program that makes safe after it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bridge.client import connect

from .rig import PREFIX, RULES_OFF, Rig

_PROGRAM = "from bridge.cli.main import main; raise SystemExit(main())"
#: the daemon has the system's clock, so a second is a second
SECONDS = {"interval_s": "0.05 s"}


def write_config(folder: Path, rig: Rig) -> Path:
    lines = ["[bridge]", 'state_dir = "state"', "reports = false", "exports = false"]
    lines += ["[broker]", f'url = "{rig.mosquitto.address}"']
    lines += ["[interlocks]", f"off = {list(RULES_OFF)}".replace("'", '"')]
    for name, device in rig.config.devices.items():
        lines += [f"[devices.{name}]", f'driver = "{device.driver}"', f'address = "{device.address}"']
        options = ", ".join(f"{key} = {_toml(value)}" for key, value in device.options.items())
        lines += [f"options = {{ {options} }}"]
    path = folder / "lab.toml"
    path.write_text("\n".join(lines))
    return path


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return repr(value).replace("'", '"')


@asynccontextmanager
async def daemon_process(
    config: Path, rig: Rig, *, before: tuple[str, ...] = (), **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`picobridge run`, once it is online; the rig's client is connected to it. It is killed at the end, if need be.

    `before` is a command that ends by executing what follows it, in the same process.
    """
    log = config.with_suffix(".log")
    told = len(rig.recorder.told.get("status", ()))
    with log.open("a") as file:
        process = await asyncio.create_subprocess_exec(
            *(*before, sys.executable, "-c", _PROGRAM, "run", str(config)),
            stderr=file,
            env={**os.environ, **environment},
        )
    try:
        online = lambda: any(s["status"] == "online" for s in rig.recorder.told.get("status", ())[told:])  # noqa: E731
        await rig.recorder.until(online, f"{PREFIX}/status online", 30.0)
        async with connect(str(rig.mosquitto.address), bridge="lab", name="faults") as lab:
            rig._lab = lab
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        print(log.read_text())  # pytest shows it if the test fails


async def make_safe(config: Path, **environment: str) -> tuple[int, str]:
    """`picobridge make-safe --after-crash`, as the unit's ExecStopPost runs it: exit status, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, "make-safe", str(config), "--after-crash"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environment},
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


class Systemd:
    """What plays systemd: the socket to which the daemon tells its states."""

    def __init__(self, folder: Path, watchdog_s: float) -> None:
        self.environment = {
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": str(round(watchdog_s * 1e6)),
        }
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.environment["NOTIFY_SOCKET"])
        self._socket.setblocking(False)
        self._watchdog_s = watchdog_s

    async def until(self, word: str) -> None:
        async with asyncio.timeout(20):
            while word not in (await asyncio.get_running_loop().sock_recv(self._socket, 4096)).decode():
                pass

    async def starved(self) -> bool:
        """Whether the watchdog's time passes without a word; what was sent before does not count."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._socket.recv(4096)
            except BlockingIOError:
                break
        try:
            async with asyncio.timeout(self._watchdog_s):
                await loop.sock_recv(self._socket, 4096)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        self._socket.close()
