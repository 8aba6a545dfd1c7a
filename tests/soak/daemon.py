"""`python -m tests.soak.daemon CONFIG SPEED SOURCES`: what `picobridge run` does, in simulated time.

The drivers of the comma-separated SOURCES wait by the fast clock, all others by the system's. On SIGUSR1 the wall clock
of this process is set to what it is plus the seconds in the file `wall-clock` beside the configuration. The file
`hears` has the number of the process once it takes signals.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import signal
import sys
import time
from pathlib import Path

from bridge.daemon import logs
from bridge.daemon.config import load
from bridge.daemon.daemon import Daemon
from drivers.clock import SYSTEM_CLOCK

from .clock import FastClock

_wall, _wall_ns = time.time, time.time_ns


def set_wall_clock(file: Path) -> None:
    offset_s = float(file.read_text())
    time.time = lambda: _wall() + offset_s  # type: ignore[assignment]
    time.time_ns = lambda: _wall_ns() + round(offset_s * 1e9)  # type: ignore[assignment]


async def run(path: Path, speed: float, sources: frozenset[str]) -> int:
    logs.configure(verbose=False)
    faulthandler.enable()
    clock = FastClock(speed)
    daemon = Daemon(load(path), file=path, clock_for=lambda name: clock if name in sources else SYSTEM_CLOCK)
    daemon.handle_signals()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, set_wall_clock, path.with_name("wall-clock"))
    path.with_name("hears").write_text(str(os.getpid()))
    async with daemon:
        gc.freeze()  # as `picobridge run` does
        await daemon.stopped.wait()
    return 1 if daemon.left_behind else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(run(Path(sys.argv[1]).absolute(), float(sys.argv[2]), frozenset(sys.argv[3].split(",")))))
