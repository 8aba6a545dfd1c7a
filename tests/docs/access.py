"""`docs/access.md` on a computer where nobody is root: a Mosquitto of its own, and folders that are ours."""

from __future__ import annotations

import asyncio
import os
import signal

from bridge.daemon.config import load
from mocks.instruments.pfeiffer_tpg import PfeifferTpgMock
from mocks.wires import serve
from mocks.world import World
from tests.access.site import Broker

from .shell import Shell


class AccessShell(Shell):
    """What needs root or systemd is done by the test."""

    _broker: Broker | None = None

    async def _set_up(self) -> None:
        (self.folder / "etc").mkdir()
        (self.folder / "eve.password").write_text("s3cret\n")
        served = await self._left.enter_async_context(serve(PfeifferTpgMock(World(), "gauge")))
        device = f'[devices.gauge]\ndriver = "pfeiffer-tpg"\naddress = "{served.address}"\n'
        (self.folder / "lab.toml").write_text(device)
        self._left.push_async_callback(self._stop_broker)

    def here(self, text: str) -> str:
        for there, here in (
            ("lab-pc.example.org", "localhost"),
            ("8883", str(self.port)),
            ("8884", str(self.port + 1)),
            ("/etc/mosquitto", str(self.folder / "etc")),
            ("chown mosquitto:", f"chown {os.geteuid()}"),
            *((f'"{name}.{kind}"', f'"broker/{where}{name}.{kind}"') for name, where, kind in _FILES),
        ):
            text = text.replace(there, here)
        return super().here(text)

    async def run(self, line: str) -> tuple[int, str]:
        line = line.removeprefix("sudo ")
        if line.startswith("systemctl "):
            await self._systemctl(line.split()[1])
            return 0, ""
        if line.startswith("picobridge broker-config"):
            line = f"{line} --port {self.port}"
        return await super().run(line)

    async def _systemctl(self, verb: str) -> None:
        if verb == "restart":
            await self._stop_broker()
            self._broker = Broker(self.folder / "etc" / "mosquitto.conf", self.port)
            await asyncio.to_thread(self._broker.start)
        else:
            assert self._broker is not None
            assert self._broker.process is not None
            self._broker.process.send_signal(signal.SIGHUP)

    async def _stop_broker(self) -> None:
        if self._broker is not None:
            await asyncio.to_thread(self._broker.stop)

    def judge(self) -> None:
        web = load(self.folder / "lab.toml").web
        assert web is not None
        assert web.tls
        assert (self.folder / "alice.p12").is_file()
        asked = [said for command, said in self.all_said if command.startswith("picobridge devices")]
        assert len(asked) == 2
        assert all("Pfeiffer Vacuum TPG 362" in said for said in asked)
        assert [said for command, said in self.all_said if command.startswith("mosquitto_pub")] == [""]
        renewed = next(said for command, said in self.all_said if "--days" in command)
        assert [line for line in renewed.splitlines() if line.startswith("wrote") and "users" in line] == [
            f"wrote {self.folder}/broker/users/eve.{kind}" for kind in ("key", "pem")
        ]


_FILES = (("ca", "", "pem"), ("alice", "users/", "pem"), ("alice", "users/", "key"))
