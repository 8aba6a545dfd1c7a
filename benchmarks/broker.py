"""A Mosquitto of our own, for as long as a measurement lasts."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: A slow subscriber must show as slow, not as lost samples: the queue has no end. Nagle's algorithm would measure
#: itself. Everything else is Mosquitto's own default.
SETTINGS = ("max_queued_messages 0", "set_tcp_nodelay true")
#: where it is installed and a user's path often does not lead
_ELSEWHERE = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"


@dataclass(frozen=True, slots=True)
class Broker:
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"


@contextmanager
def mosquitto() -> Iterator[Broker]:
    """Raises `RuntimeError` if there is none on this machine."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:{_ELSEWHERE}")
    if program is None:
        raise RuntimeError("mosquitto is not installed; `make mosquitto` says how to have it")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="picobridge-bench-") as folder:
        config = Path(folder) / "mosquitto.conf"
        user = f"user {getpass.getuser()}"  # started by root it would become somebody who may not read our files
        config.write_text("\n".join((user, f"listener {port} 127.0.0.1", "allow_anonymous true", *SETTINGS, "")))
        process = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_for(port)
            yield Broker(port, process.pid)
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
